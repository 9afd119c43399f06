"""Comprehensiveness and sufficiency: the highest-scored features removed, or kept alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric
from whence.evaluation.metrics.removal import BINS, Removal, removal

__all__ = ["Comprehensiveness", "Sufficiency"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Erasure(Metric):
    """Mean fall of the answer over several numbers of features removed, or kept alone."""

    bins: str = BINS
    keep: ClassVar[bool]
    """Whether the highest-scored features are kept alone, in place of being removed."""

    def cost(self, n: int) -> int:
        """One for each bin: see :meth:`Metric.cost`."""
        return len(self.bins.split(","))

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        return self.measured(instance, self.erased(instance, scores))

    def measured(self, instance: Instance, erasure: Removal) -> Measurement:
        """The measurement of what :meth:`erased` returned; nothing is asked."""
        return self._measurement(
            instance,
            erasure.value,
            unit=instance.unit,
            n=len(erasure.sizes),
            random=erasure.random,
            best=erasure.best,
        )

    def erased(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Removal:
        """The answers at each bin, and those of random sets of the same size."""
        return removal(instance, self._checked(instance, scores), self.bins, keep=self.keep)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comprehensiveness(_Erasure):
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

    name: ClassVar[str] = "comprehensiveness"
    direction: ClassVar[Direction] = "higher"
    question: ClassVar[str] = "Does the answer need the marked words?"
    rank: ClassVar[int] = 20
    keep: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sufficiency(_Erasure):
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

    name: ClassVar[str] = "sufficiency"
    direction: ClassVar[Direction] = "lower"
    question: ClassVar[str] = "Are the marked words enough?"
    rank: ClassVar[int] = 30
    keep: ClassVar[bool] = True
