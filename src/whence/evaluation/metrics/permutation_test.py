"""The permutation test of scores: how often shuffled scores do as well on the same masks."""

from __future__ import annotations

from itertools import combinations, product
from math import factorial, prod

import numpy as np
from jaxtyping import Bool, Float

from whence.evaluation.instance import Instance
from whence.evaluation.metrics.pool_fidelity import fidelities

__all__ = ["permutation_test"]

EXACT_UP_TO = 5_040
"""Arrangements that are tried one by one; beyond, some are drawn. 7!: all arrangements of seven
different scores, at the price of five times the draws."""


def permutation_test(
    instance: Instance,
    scores: Float[np.ndarray, " n"],
    *,
    draws: int = 999,
    within: Bool[np.ndarray, " n"] | None = None,
) -> tuple[float, float]:
    """The chance that shuffled scores do as well, and the least chance that could be found.

    One-sided. All distinct arrangements of the scores are tried where there are few (equal scores
    have fewer: one word alone marked of twelve has twelve); else p = (1 + as good) / (1 + draws),
    which is valid at any number of draws.

    Args:
        instance: input that the scores are judged on.
        scores: scores of the features.
        draws: shuffles, where not all are tried.
        within: two kinds of features; scores are shuffled within each kind only, so that telling
            content from stop words is not enough to pass.

    Cost: no evaluation.
    """
    n = instance.n
    if len(instance.pool) == 0:
        return 1.0, 1.0
    kinds = np.zeros(n, dtype=bool) if within is None else within
    places = [group for group in (np.flatnonzero(~kinds), np.flatnonzero(kinds)) if len(group)]
    count = prod(_count(scores[group]) for group in places)
    exact = count <= EXACT_UP_TO
    if exact:
        tables = [_arrangements(scores[group]) for group in places]
        rows = [np.concatenate(parts) for parts in product(*tables)]
        shuffled = np.empty((count, n))
        shuffled[:, np.concatenate(places)] = np.stack(rows)
    else:
        rng = np.random.default_rng([instance.seed, 1])
        shuffled = np.empty((draws, n))
        for row in shuffled:
            # Over the kinds apart: an arrangement never moves a score from a content word to a stop
            # word.
            for group in places:
                row[group] = rng.permutation(scores[group])
    null = fidelities(instance.pool.masks, instance.responses, shuffled)
    mine = fidelities(instance.pool.masks, instance.responses, scores[None])[0]
    # Equal arrangements may differ in the last digits; one that is equal is as good.
    as_good = int(np.count_nonzero(null >= mine - 1e-9))
    if exact:
        return as_good / count, 1.0 / count
    # The scores themselves are one of the arrangements; without the ones p could be 0, which no
    # number of draws can show (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585).
    return (1 + as_good) / (1 + draws), 1.0 / (1 + draws)


def _count(values: Float[np.ndarray, " n"]) -> int:
    """Distinct arrangements: n! over the product of m! for each value that stands m times."""
    repeats = np.unique(values, return_counts=True)[1]
    return factorial(len(values)) // prod(factorial(int(m)) for m in repeats)


def _arrangements(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, "r n"]:
    """Every distinct arrangement of some values, each once."""
    kinds, repeats = np.unique(values, return_counts=True)
    # NaN marks a place that is still free; scores are finite (see Metric._checked).
    rows = [np.full(len(values), np.nan)]
    for kind, times in zip(kinds, repeats, strict=True):
        grown: list[np.ndarray] = []
        for row in rows:
            for chosen in combinations(np.flatnonzero(np.isnan(row)), int(times)):
                filled = row.copy()
                filled[list(chosen)] = kind
                grown.append(filled)
        rows = grown
    return np.stack(rows)
