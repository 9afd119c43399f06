"""Deletion and insertion: the area under the answer as features go, or come, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric
from whence.evaluation.metrics.curves import (
    area,
    best_along,
    kept_along,
    random_along,
    removed_along,
)

__all__ = ["Deletion", "Insertion"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _CurveArea(Metric):
    """Area under the answer along the order of the scores."""

    keep: ClassVar[bool]
    """Whether features are put in, in place of being removed."""

    def cost(self, n: int) -> int:
        """Two curves: see :meth:`Metric.cost`."""
        return 2 * n

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        along = kept_along if self.keep else removed_along
        curve = along(instance, self._checked(instance, scores))
        best = best_along(instance, curve, lowest=not self.keep, keep=self.keep)
        return self._measurement(
            instance,
            area(curve),
            unit=instance.unit,
            n=len(curve),
            random=area(random_along(instance)),
            best=area(best),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletion(_CurveArea):
    """Area under the answer as features are removed, the highest-scored first.

    Formula: trapezoids over v (all but the top k), k = 0 .. n, both ends in; the x axis is
    the share removed, 0 to 1. Sign: lower is better. Unit: probability where the output's scale
    tells it, else the output's own. Of equal scores the order is drawn from the seed. Cost: at
    most 2 n evaluations, n of them for ``best``, the better of these scores and the best additive
    fit to the pool. ``random``: the area under the mean answer of random sets of each size,
    exact where the pool is complete, else estimated from it.

    When it misleads: half-empty texts are texts the model never saw; areas of different texts or
    models have different limits. Others leave out an end, or the x axis in steps.

    Source: Petsiuk et al. (2018), arXiv:1806.07421.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(2, lambda S: S @ np.array([3.0, 1.0]))
        >>> instance = Instance(game, pool_of(game))
        >>> Deletion().measure(instance, np.array([3.0, 1.0])).value
        1.5
    """

    name: ClassVar[str] = "deletion"
    direction: ClassVar[Direction] = "lower"
    question: ClassVar[str] = "Does the answer go when the marked words go?"
    rank: ClassVar[int] = 60
    keep: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Insertion(_CurveArea):
    """Area under the answer as features are put in, the highest-scored first.

    Formula: trapezoids over v (only the top k), k = 0 .. n, both ends in; the x axis is
    the share put in, 0 to 1. Sign: higher is better. Unit: probability where the output's scale
    tells it, else the output's own. Of equal scores the order is drawn from the seed. Cost: at
    most 2 n evaluations, n of them for ``best``, the better of these scores and the best additive
    fit to the pool. ``random``: the area under the mean answer of random sets of each size,
    exact where the pool is complete, else estimated from it.

    When it misleads: half-empty texts are texts the model never saw; areas of different texts or
    models have different limits. Others leave out an end, or the x axis in steps.

    Source: Petsiuk et al. (2018), arXiv:1806.07421.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(2, lambda S: S @ np.array([3.0, 1.0]))
        >>> instance = Instance(game, pool_of(game))
        >>> Insertion().measure(instance, np.array([3.0, 1.0])).value
        2.5
    """

    name: ClassVar[str] = "insertion"
    direction: ClassVar[Direction] = "higher"
    question: ClassVar[str] = "Does the answer come when the marked words come?"
    rank: ClassVar[int] = 70
    keep: ClassVar[bool] = True
