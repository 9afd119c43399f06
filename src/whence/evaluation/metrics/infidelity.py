"""Infidelity: how far summed scores miss the fall of the answer under random removals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import UndefinedError
from whence.core.measurements import Interval, Measurement
from whence.evaluation.additive_surrogate import additive_fit
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric

__all__ = ["Infidelity", "infidelity"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Infidelity(Metric):
    """Mean squared error of summed scores against the fall of the answer, at the best scale.

    Formula: mean over masks of (beta sum of phi_i over i in R - (v(all) - v(all but R)))^2, R the
    features a mask of the pool removes, beta = E[I phi d] / E[(I phi)^2]. Scores already stand
    for a feature's presence, so the perturbation I is 1 for what is removed and 0 elsewhere.
    Sign: lower is better. Unit: that of the output, squared. Cost: none beyond the pool. The
    interval is a bootstrap over pairs of masks; the value of a complete pool is exact.
    ``random``: the mean over shuffled scores; ``best``: of the best additive scores, on masks
    they were not fitted to.

    When it misleads: with masks of all sizes much of it is size, which equal scores foretell
    too: read it beside ``random``. Unnormalised it scores the unit of phi, not its truth.

    Args:
        normalise: whether beta is fitted; else it is 1, and scores in another unit than the output's fail.
        resamples: number of resamples of the bootstrap, and of shuffles for ``random``.

    Source: Yeh et al. (2019), arXiv:1901.09392.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(3, lambda S: S @ np.array([3.0, 0.0, 1.0]))
        >>> instance = Instance(game, pool_of(game))
        >>> round(Infidelity().measure(instance, np.array([300.0, 0.0, 100.0])).value, 9)
        0.0
    """

    normalise: bool = True
    resamples: int = 200
    name: ClassVar[str] = "infidelity"
    direction: ClassVar[Direction] = "lower"
    question: ClassVar[str] = "By how much do the scores miss the effect of removals?"
    rank: ClassVar[int] = 100

    def cost(self, n: int) -> int:
        """None: see :meth:`Metric.cost`."""
        return 0

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            UndefinedError: one feature alone has no mask.
        """
        phi = self._checked(instance, scores)
        pool = instance.pool
        if not len(pool):
            raise UndefinedError(
                f"{self.name}: {instance.n} feature has no mask between all and none to judge by"
            )
        falls = instance.full - instance.responses
        value = infidelity(~pool.masks, falls, phi, normalise=self.normalise)
        rng = np.random.default_rng([instance.seed, 6])
        shuffled = [
            infidelity(~pool.masks, falls, rng.permutation(phi), normalise=self.normalise)
            for _ in range(self.resamples)
        ]
        interval = None
        if not pool.complete:
            pairs = len(pool) // 2
            resamples = np.empty(self.resamples)
            for index in range(self.resamples):
                drawn = rng.integers(pairs, size=pairs)
                rows = np.stack([2 * drawn, 2 * drawn + 1], axis=1).ravel()
                resamples[index] = infidelity(
                    ~pool.masks[rows], falls[rows], phi, normalise=self.normalise
                )
            low, high = np.quantile(resamples, [0.025, 0.975])
            how = f"percentile bootstrap over {pairs} pairs of masks, {self.resamples} resamples"
            interval = Interval(low=float(low), high=float(high), level=0.95, how=how)
        return self._measurement(
            instance,
            value,
            unit=f"squared {instance.what.unit}",
            n=len(pool),
            interval=interval,
            random=float(np.mean(shuffled)),
            best=min(value, _best(instance)),
        )


def infidelity(
    removed: Bool[np.ndarray, "m n"],
    falls: Float[np.ndarray, " m"],
    scores: Float[np.ndarray, " n"],
    *,
    normalise: bool = True,
) -> float:
    """Infidelity of scores to the falls of some removals.

    Example:
        >>> infidelity(np.eye(2, dtype=bool), np.array([2.0, 0.0]), np.array([1.0, 0.0]))
        0.0
    """
    sums = removed @ scores
    beta = 1.0
    if normalise:
        power = float(sums @ sums)
        # The slope of least squares through the origin: no other scale has a smaller error.
        beta = float(sums @ falls) / power if power > 0 else 0.0
    return float(np.mean((beta * sums - falls) ** 2))


def _best(instance: Instance) -> float:
    pool = instance.pool
    if pool.complete:
        removed, falls = ~pool.masks, instance.full - instance.responses
        # On all masks the best scores are those of plain least squares: nothing is left to overfit
        # to.
        weights = np.linalg.lstsq(removed.astype(np.float64), falls, rcond=None)[0]
        return infidelity(removed, falls, weights)
    first, second = pool.halves()
    errors: list[float] = []
    for learner, judge in ((first, second), (second, first)):
        fit = additive_fit(learner, instance.output)
        falls = judge.full[instance.output] - judge.values[:, instance.output]
        # The fit's weights are beyond the mean feature; the slope gives that feature back, which a
        # sum of falls contains.
        errors.append(infidelity(~judge.masks, falls, fit.weights + fit.slope))
    return float(np.mean(errors))
