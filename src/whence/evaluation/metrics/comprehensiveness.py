"""Comprehensiveness: how far the answer falls when the highest-scored features are removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric
from whence.evaluation.metrics.removal import BINS, Removal, removal

__all__ = ["Comprehensiveness"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comprehensiveness(Metric):
    """Mean fall of the answer when the top 5, 10, 20 and 50 % of the features are removed.

    Formula: mean over bins q of v(all) - v(all but the top q), at least one feature removed, q n
    rounded half up; features in order of signed score, of equal ones in an order drawn from the
    seed. Sign: higher is better. Unit: probability where the output's scale tells it, else the
    output's own. Cost: one evaluation for each bin that differs. The interval is missing, since
    nothing is sampled. ``random``: the same fall for random sets of the same sizes, estimated
    from the pool at no cost; ``best``: the largest that any set of the pool of that size shows.

    When it misleads: removal makes texts the model never saw; a saturated probability does not
    fall until much is gone. Read it beside its percentile among sets of the same size.

    Args:
        bins: shares removed, separated by commas.

    Source: DeYoung et al. (2020), arXiv:1911.03429.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(4, lambda S: S @ np.array([3.0, 0.0, -1.0, 0.5]))
        >>> instance = Instance(game, pool_of(game))
        >>> Comprehensiveness(bins="0.25").measure(instance, np.array([3.0, 0, -1, 0.5])).value
        3.0
    """

    bins: str = BINS
    name: ClassVar[str] = "comprehensiveness"
    direction: ClassVar[Direction] = "higher"
    question: ClassVar[str] = "Does the answer need the marked words?"

    def cost(self, n: int) -> int:
        """One for each bin: see :meth:`Metric.cost`."""
        return len(self.bins.split(","))

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        return self.measured(instance, self.removed(instance, scores))

    def measured(self, instance: Instance, found: Removal) -> Measurement:
        """The measurement of what :meth:`removed` found; nothing is asked."""
        return self._measurement(
            instance,
            found.value,
            unit=instance.unit,
            n=len(found.sizes),
            random=found.random,
            best=found.best,
        )

    def removed(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Removal:
        """What happened at each bin, and how random sets of the same size fared."""
        return removal(instance, self._checked(instance, scores), self.bins, keep=False)
