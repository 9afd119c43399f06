"""Pool fidelity: whether scores tell which masks raise the output, better than shuffled scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.core.measurements import Interval, Measurement
from whence.evaluation.additive_surrogate import beyond_size
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric

__all__ = ["PoolFidelity", "fidelities"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolFidelity(Metric):
    """Partial correlation of summed scores and the model's answer over random masks.

    Formula: corr(sum of phi_i over i in S, v(S)), after the size of S and its square are
    regressed out of both: scores that are all alike would otherwise correlate with v(S) simply
    because more words say more. Sign: +1 best, 0 as good as chance, -1 upside down. No unit.
    Cost: none beyond the pool, which all explanations of an input share. The interval is a
    bootstrap over pairs of masks; the value of a complete pool is exact and has none.
    ``random`` is 0, the mean over shuffled scores; ``best`` the most that any scores reach on
    these masks (with more features than pairs of masks it is 1 or near it, whatever the model).

    When it misleads: where the answer depends on combinations of words no scores do well, and
    this is a fault of their form; see :func:`~whence.evaluation.additive_surrogate.additive_fit`.

    Args:
        resamples: number of resamples of the bootstrap.

    Source: after faithfulness correlation, Bhatt et al. (2020), arXiv:2005.00631.

    Example:
        >>> from whence.evaluation.instance import Instance
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> weights = np.array([3.0, 0.0, -1.0, 0.5])
        >>> game = FunctionGame(4, lambda S: S @ weights)
        >>> instance = Instance(game, pool_of(game))
        >>> round(PoolFidelity().measure(instance, weights).value, 6)
        1.0
    """

    resamples: int = 500
    name: ClassVar[str] = "pool-fidelity"
    direction: ClassVar[Direction] = "higher"
    question: ClassVar[str] = "Better than chance?"
    rank: ClassVar[int] = 10

    def cost(self, n: int) -> int:
        """None: see :meth:`Metric.cost`."""
        return 0

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        phi = self._checked(instance, scores)
        pool = instance.pool
        value = 0.0
        interval = None
        if len(pool):
            value = float(fidelities(pool.masks, instance.responses, phi[None])[0])
            if not pool.complete:
                interval = self._interval(instance, phi)
        best = instance.additive.best if len(pool) else None
        return self._measurement(
            instance,
            value,
            unit="correlation",
            n=len(pool),
            interval=interval,
            random=0.0,
            best=best,
        )

    def _interval(self, instance: Instance, phi: Float[np.ndarray, " n"]) -> Interval:
        rng = np.random.default_rng(instance.seed)
        pairs = len(instance.pool) // 2
        drawn = rng.integers(pairs, size=(self.resamples, pairs))
        # A mask and its complement are one draw: apart, they would count as twice the evidence.
        rows = np.stack([2 * drawn, 2 * drawn + 1], axis=2).reshape(self.resamples, -1)
        resampled = _resampled(instance.pool.masks, instance.responses, phi, rows)
        low, high = np.quantile(resampled, [0.025, 0.975])
        how = f"percentile bootstrap over {pairs} pairs of masks, {self.resamples} resamples"
        return Interval(low=float(low), high=float(high), level=0.95, how=how)


def fidelities(
    masks: Bool[np.ndarray, "m n"],
    values: Float[np.ndarray, " m"],
    scores: Float[np.ndarray, "r n"],
) -> Float[np.ndarray, " r"]:
    """Partial correlations of several rankings at once; 0 where either side does not vary."""
    # Out of the masks and not out of each ranking's sums: a sum is linear in its columns, so one
    # regression serves every ranking (Frisch & Waugh 1933).
    design, response = beyond_size(masks, values)
    sums = design @ scores.T
    # What is left of equal scores is rounding, which must not be read as a correlation.
    floor = 1e-10 * np.abs(masks.astype(np.float64) @ np.abs(scores.T)).max(axis=0, initial=0.0)
    norms = np.linalg.norm(sums, axis=0)
    varies = norms > floor * np.sqrt(len(masks))
    norms = np.where(varies, norms, 1.0)
    scale = np.linalg.norm(response)
    # An answer that varies by rounding in double precision alone does not vary.
    if scale <= 1e-12 * max(1.0, float(np.abs(values).max(initial=0.0))):
        return np.zeros(len(scores))
    return np.where(varies, (response @ sums) / (norms * scale), 0.0)


def _resampled(
    masks: Bool[np.ndarray, "m n"],
    values: Float[np.ndarray, " m"],
    scores: Float[np.ndarray, " n"],
    rows: Int[np.ndarray, "draws m"],
) -> Float[np.ndarray, " draws"]:
    """:func:`fidelities` of one ranking over resampled masks, all draws in one product each."""
    sums, sizes = masks @ scores, masks.sum(axis=1) / max(1, masks.shape[1])
    powers = np.stack([np.ones_like(sizes), sizes, sizes**2], axis=1)[rows]
    basis, singular, _ = np.linalg.svd(powers, full_matrices=False)
    # As in beyond_size: directions that the sizes of a draw lack.
    basis *= (singular > 1e-9 * singular[:, :1])[:, None, :]

    def beyond(numbers: Float[np.ndarray, "draws m"]) -> Float[np.ndarray, "draws m"]:
        along = np.einsum("dmk,dm->dk", basis, numbers)
        return numbers - np.einsum("dmk,dk->dm", basis, along)

    drawn = values[rows]
    mine, theirs = beyond(sums[rows]), beyond(drawn)
    norms, scales = np.linalg.norm(mine, axis=1), np.linalg.norm(theirs, axis=1)
    floors = 1e-10 * (masks @ np.abs(scores))[rows].max(axis=1, initial=0.0)
    varies = norms > floors * np.sqrt(rows.shape[1])
    varies &= scales > 1e-12 * np.maximum(1.0, np.abs(drawn).max(axis=1, initial=0.0))
    product = np.where(varies, norms * scales, 1.0)
    return np.where(varies, np.einsum("dm,dm->d", mine, theirs) / product, 0.0)
