"""An ensemble of explanations of one input: scores on one scale, weighted by what they proved."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError
from whence.evaluation.mask_pool import Pool
from whence.evaluation.metrics.pool_fidelity import fidelities

__all__ = ["cross_fitted", "ensemble"]


def ensemble(
    scores: Mapping[str, Float[np.ndarray, " n"]], pool: Pool, *, output: int = 0
) -> tuple[Float[np.ndarray, " n"], dict[str, float]]:
    """Scores of several methods averaged, each weighted by its pool fidelity squared.

    Formula: sum over methods of w (phi - mean) / sd, with w = max(0, fidelity)^2 scaled to add up
    to one. Sign as in the members; no unit. A method that is worse than chance has no part in
    it; where all are, every score is 0. Cost: none beyond the pool.

    Args:
        scores: scores of each method, for the same features.
        pool: masks that weigh the members; those that judge the ensemble must be others.
        output: index of the output.

    Returns:
        The scores, and each member's weight.
    """
    if not scores:
        raise OptionError("expected the scores of one method or more, got none")
    table = np.stack(list(scores.values()))
    fidelity = (
        fidelities(pool.masks, pool.values[:, output], table) if len(pool) else np.zeros(len(table))
    )
    raw = np.clip(fidelity, 0.0, None) ** 2
    # All zero where every member is worse than chance: an average of such scores would look as good
    # as any other.
    weights = raw / raw.sum() if raw.sum() > 0 else raw
    spread = table.std(axis=1, keepdims=True)
    # Methods' scores are in different units. The fidelity that weighs a member sees neither its
    # shift nor its scale, but its part in the sum would follow both.
    standard = (table - table.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    return weights @ standard, dict(zip(scores, weights.tolist(), strict=True))


def cross_fitted(
    scores: Mapping[str, Float[np.ndarray, " n"]], pool: Pool, *, output: int = 0
) -> float:
    """The ensemble's pool fidelity on masks that did not weigh its members.

    Each half of the pool weighs, the other judges; the mean of both. Choosing and judging on the
    same masks would flatter the ensemble.
    """
    # Four pairs: fewer leave a half nothing to correlate once size is regressed out.
    if len(pool) < 8:
        return 0.0
    halves = pool.halves()
    values = [
        fidelities(
            judge.masks, judge.values[:, output], ensemble(scores, half, output=output)[0][None]
        )[0]
        for half, judge in (halves, halves[::-1])
    ]
    return float(np.mean(values))
