"""Sensitivity-n: whether summed scores follow the fall of the answer, at each number removed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import OptionError, UndefinedError
from whence.core.measurements import Interval, Measurement
from whence.evaluation.additive_surrogate import additive_fit
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric

__all__ = ["SensitivityN", "size_grid"]

RESAMPLES = 500
"""Resamples of the bootstrap: about a dozen then lie beyond each end of a 95 % interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SensitivityN(Metric):
    """Correlation of summed scores and the fall of the answer over random sets of one size.

    Formula: for each size s on a log grid from 1 to n - 1, corr(sum of phi_i over i in R,
    v(all) - v(all but R)) over random sets R of s features; the mean over sizes. All sets of a
    size are taken where they are no more than ``draws``. Within a size, equal scores tell
    nothing, so size alone cannot earn a correlation. Sign: +1 best. No unit. Cost: at most
    points x draws evaluations. The interval is a bootstrap over the sets within each size, and
    missing where all sets were taken. ``random`` is 0; ``best`` what the pool's best additive
    fit reaches on the same sets.

    When it misleads: with few draws the correlation at each size is coarse. Sets that follow
    the ranking instead of chance would make it another measure. Undefined for one feature.

    Args:
        points: sizes on the grid.
        draws: sets of each size.

    Source: Ancona et al. (2018), arXiv:1711.06104.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(4, lambda S: S @ np.array([3.0, 0.0, 1.0, 2.0]))
        >>> instance = Instance(game, pool_of(game))
        >>> round(SensitivityN().measure(instance, np.array([3.0, 0.0, 1.0, 2.0])).value, 9)
        1.0
    """

    points: int = 4
    draws: int = 24
    name: ClassVar[str] = "sensitivity-n"
    direction: ClassVar[Direction] = "higher"
    question: ClassVar[str] = "Do the scores follow the answer at every number of words removed?"
    rank: ClassVar[int] = 110

    def cost(self, n: int) -> int:
        """The sets of every size: see :meth:`Metric.cost`."""
        if n < 2:
            return 0
        return sum(min(self.draws, comb(n, size)) for size in size_grid(n, self.points))

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            UndefinedError: there is one feature, of which no proper part can be removed.
        """
        phi = self._checked(instance, scores)
        # Two points correlate by 1 or -1 whatever they are.
        if self.points < 1 or self.draws < 3:
            raise OptionError(
                f"{self.name}: expected points of 1 or more and draws of 3 or more, got "
                f"points={self.points} and draws={self.draws}"
            )
        if instance.n < 2:
            raise UndefinedError(f"{self.name}: one feature has no proper part to remove")
        rng = np.random.default_rng([instance.seed, 7])
        groups = [
            _sets(instance.n, size, self.draws, rng) for size in size_grid(instance.n, self.points)
        ]
        falls = [instance.full - instance.value(~removed) for removed in groups]
        value = _mean(groups, falls, phi)
        sampled = any(len(group) < comb(instance.n, int(group[0].sum())) for group in groups)
        weights = additive_fit(instance.pool, instance.output).weights
        return self._measurement(
            instance,
            value,
            unit="correlation",
            n=sum(len(group) for group in groups),
            interval=self._interval(groups, falls, phi, rng) if sampled else None,
            random=0.0,
            best=max(value, _mean(groups, falls, weights)),
        )

    def _interval(
        self,
        groups: list[np.ndarray],
        falls: list[np.ndarray],
        phi: Float[np.ndarray, " n"],
        rng: np.random.Generator,
    ) -> Interval:
        means = np.zeros(RESAMPLES)
        for removed, fall in zip(groups, falls, strict=True):
            # Within each size, as the value is a mean over sizes and not over sets.
            rows = rng.integers(len(removed), size=(RESAMPLES, len(removed)))
            means += _correlations((removed @ phi)[rows], fall[rows]) / len(groups)
        low, high = np.quantile(means, [0.025, 0.975])
        how = f"percentile bootstrap over the sets of each size, {RESAMPLES} resamples"
        return Interval(low=float(low), high=float(high), level=0.95, how=how)


def size_grid(n: int, points: int) -> tuple[int, ...]:
    """Sizes from 1 to ``n - 1``, evenly spaced in their logarithm, without repetition.

    Example:
        >>> size_grid(65, 4)
        (1, 4, 16, 64)
    """
    return tuple(sorted({int(size + 0.5) for size in np.geomspace(1, n - 1, points)}))


def _sets(n: int, size: int, draws: int, rng: np.random.Generator) -> Bool[np.ndarray, "m n"]:
    """Random sets of a size without repetition; all of them where they are few."""
    rows: dict[tuple[int, ...], None] = {}
    if comb(n, size) <= draws:
        rows = dict.fromkeys(combinations(range(n), size))
    while len(rows) < min(draws, comb(n, size)):
        rows[tuple(sorted(rng.permutation(n)[:size].tolist()))] = None
    masks = np.zeros((len(rows), n), dtype=bool)
    for mask, row in zip(masks, rows, strict=True):
        mask[list(row)] = True
    return masks


def _mean(
    groups: list[np.ndarray], falls: list[np.ndarray], scores: Float[np.ndarray, " n"]
) -> float:
    correlations = [
        float(_correlations((removed @ scores)[None], fall[None])[0])
        for removed, fall in zip(groups, falls, strict=True)
    ]
    return float(np.mean(correlations))


def _correlations(
    ones: Float[np.ndarray, "r m"], others: Float[np.ndarray, "r m"]
) -> Float[np.ndarray, " r"]:
    """Pearson's correlation of each row; 0 where either side does not vary beyond rounding."""
    left = ones - ones.mean(axis=1, keepdims=True)
    right = others - others.mean(axis=1, keepdims=True)
    norms = [np.linalg.norm(side, axis=1) for side in (left, right)]
    sizes = [np.linalg.norm(side, axis=1) for side in (ones, others)]
    # Relative to the numbers themselves: what centring leaves of equal ones is their rounding.
    flat = [norm <= 1e-10 * size for norm, size in zip(norms, sizes, strict=True)]
    varies = ~(flat[0] | flat[1])
    scale = np.where(varies, norms[0] * norms[1], 1.0)
    return np.where(varies, (left * right).sum(axis=1) / scale, 0.0)
