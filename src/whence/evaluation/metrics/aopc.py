"""AOPC: the mean fall of the answer as features go one by one, the highest-scored first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.errors import UndefinedError
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric
from whence.evaluation.metrics.curves import (
    MOST_EXACT,
    best_along,
    chain_limits,
    random_along,
    removed_along,
)

__all__ = ["Aopc", "NormalisedAopc"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Aopc(Metric):
    """Mean fall of the answer over the removal of the top 1, 2, .., n features.

    Formula: (1 / n) sum over k of v(all) - v(all but the top k). Sign: higher is better. Unit:
    probability where the output's scale tells it, else the output's own. Of equal scores the
    order is drawn from the seed. The mean fall when only the top is *kept* is that of the
    reversed order: negate the scores. Cost: at most 2 n evaluations, n of them for ``best``, the
    better of these scores and the best additive fit to the pool. ``random``: the mean over all
    orders, exact where the pool is complete, else estimated from it.

    When it misleads: between models or texts, as its limits differ with both; see
    :class:`NormalisedAopc`. The last step, with everything removed, is the same for all scores.

    Source: Samek et al. (2017), doi:10.1109/TNNLS.2016.2599820.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(3, lambda S: S @ np.array([3.0, 0.0, 1.0]))
        >>> instance = Instance(game, pool_of(game))
        >>> round(Aopc().measure(instance, np.array([3.0, 0.0, 1.0])).value, 4)
        3.6667
    """

    name: ClassVar[str] = "aopc"
    direction: ClassVar[Direction] = "higher"
    question: ClassVar[str] = "Does the answer fall early as the marked words go?"
    rank: ClassVar[int] = 40

    def cost(self, n: int) -> int:
        """Two orders of removal: see :meth:`Metric.cost`."""
        return 2 * n

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        curve = removed_along(instance, self._checked(instance, scores))
        best = best_along(instance, curve, lowest=True, keep=False)
        return self._measurement(
            instance,
            _mean_fall(curve),
            unit=instance.unit,
            n=instance.n,
            # random_along goes from nothing present to everything; a removal goes the other way.
            random=_mean_fall(random_along(instance)[::-1]),
            best=_mean_fall(best),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class NormalisedAopc(Metric):
    """AOPC as a share of the way from the worst order of removal to the best.

    Formula: (AOPC - lo) / (hi - lo), lo and hi over all n! orders. Sign: higher is better; 0 the
    worst order, 1 the best. No unit. Cost: 2^n evaluations up to twelve features, where the
    limits are exact; beyond, at most n + beam x n (n + 1), and the limits are the best that a
    beam search met or these scores themselves reach. ``random``: of the mean over all orders.

    When it misleads: where hi - lo is small it magnifies what hardly matters; undefined where
    they are equal, as for one feature. Beyond twelve features the search can miss the limits,
    and the value is then too far from the middle.

    Args:
        beam: orders kept at each step of the search.

    Source: Edin et al. (2025), arXiv:2408.08137.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(3, lambda S: S @ np.array([3.0, 0.0, 1.0]))
        >>> instance = Instance(game, pool_of(game))
        >>> [NormalisedAopc().measure(instance, np.array(phi)).value
        ...  for phi in ([3.0, 0.0, 1.0], [0.0, 3.0, 1.0])]
        [1.0, 0.0]
    """

    beam: int = 5
    name: ClassVar[str] = "normalised-aopc"
    direction: ClassVar[Direction] = "higher"
    question: ClassVar[str] = "How near is this order to the best there is?"
    rank: ClassVar[int] = 50

    def cost(self, n: int) -> int:
        """All coalitions, or two searches: see :meth:`Metric.cost`."""
        return 1 << n if n <= MOST_EXACT else n + self.beam * n * (n + 1)

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            UndefinedError: every order of removal does alike.
        """
        phi = self._checked(instance, scores)
        limits = chain_limits(instance, beam=self.beam)
        curve = removed_along(instance, phi)
        mine, whole = float(curve[1:].mean()), abs(float(curve[0]))
        # These scores' own order is one of all orders, and a beam search may have met neither
        # limit.
        low, high = min(limits.low, mine), max(limits.high, mine)
        # Means of float64 answers along two orders differ by their rounding at least.
        if high - low <= 1e-9 * max(whole, abs(low), abs(high)):
            raise UndefinedError(
                f"{self.name}: the answer falls alike in every order of removal of "
                f"{instance.n} features; there are no limits to place these scores between"
            )
        # The last entry is the whole input, which `mine` leaves out as well.
        chance = float(random_along(instance)[:-1].mean())
        return self._measurement(
            instance,
            (high - mine) / (high - low),
            unit="share of the limits' distance",
            n=instance.n,
            random=float(np.clip((high - chance) / (high - low), 0.0, 1.0)),
            best=1.0,
        )


def _mean_fall(curve: Float[np.ndarray, " steps"]) -> float:
    return float(curve[0] - curve[1:].mean())
