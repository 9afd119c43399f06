"""Sufficiency: how far the answer falls when only the highest-scored features are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric
from whence.evaluation.metrics.removal import BINS, Removal, removal

__all__ = ["Sufficiency"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sufficiency(Metric):
    """Mean fall of the answer when only the top 5, 10, 20 and 50 % of the features are kept.

    Formula: mean over bins q of v(all) - v(only the top q), at least one feature kept, q n
    rounded half up; features in order of signed score, of equal ones in an order drawn from the
    seed. Sign: lower is better, and below zero the kept features alone raise the answer. Unit:
    probability where the output's scale tells it, else the output's own. Cost: one evaluation
    for each bin that differs. ``random``: the same fall for random sets of the same sizes,
    estimated from the pool at no cost; ``best``: the smallest that any set of the pool of that
    size shows.

    When it misleads: a few words alone are texts the model never saw. Others give the name to
    1 - max(0, fall), where higher is better, and to quite different quantities.

    Args:
        bins: shares kept, separated by commas.

    Source: DeYoung et al. (2020), arXiv:1911.03429.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(4, lambda S: S @ np.array([3.0, 0.0, -1.0, 0.5]))
        >>> instance = Instance(game, pool_of(game))
        >>> Sufficiency(bins="0.25").measure(instance, np.array([3.0, 0, -1, 0.5])).value
        -0.5
    """

    bins: str = BINS
    name: ClassVar[str] = "sufficiency"
    direction: ClassVar[Direction] = "lower"
    question: ClassVar[str] = "Are the marked words enough?"

    def cost(self, n: int) -> int:
        """One for each bin: see :meth:`Metric.cost`."""
        return len(self.bins.split(","))

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        return self.measured(instance, self.kept(instance, scores))

    def measured(self, instance: Instance, found: Removal) -> Measurement:
        """The measurement of what :meth:`kept` found; nothing is asked."""
        return self._measurement(
            instance,
            found.value,
            unit=instance.unit,
            n=len(found.sizes),
            random=found.random,
            best=found.best,
        )

    def kept(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Removal:
        """What happened at each bin, and how random sets of the same size fared."""
        return removal(instance, self._checked(instance, scores), self.bins, keep=True)
