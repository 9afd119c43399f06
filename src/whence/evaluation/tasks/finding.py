"""How well a ranking finds what is known to decide; equal scores have no order, so all orders count."""

from __future__ import annotations

from math import comb

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import OptionError

__all__ = ["average_precision", "precision_at_k", "reciprocal_rank"]


def _ties(
    scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"]
) -> list[tuple[int, int, int, int]]:
    """From the top, each run of equal scores: (ranks above, relevant above, size, relevant in it)."""
    if scores.shape != relevant.shape or not relevant.any() or not np.all(np.isfinite(scores)):
        raise OptionError(
            f"{len(scores)} scores and {int(relevant.sum())} relevant features of {len(relevant)} "
            "given; one finite score a feature, and one relevant feature at least, are due"
        )
    found: list[tuple[int, int, int, int]] = []
    above = hits = 0
    for value in np.unique(scores)[::-1]:
        inside = scores == value
        size, right = int(inside.sum()), int(relevant[inside].sum())
        found.append((above, hits, size, right))
        above, hits = above + size, hits + right
    return found


def average_precision(scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"]) -> float:
    """Mean precision at the rank of each relevant feature: 1 where they all stand on top.

    Formula: (1 / R) sum over relevant features of (relevant up to its rank) / (its rank), by signed
    score, its mean over all orders of equal scores in closed form. Higher is better. No cost.

    Raises:
        OptionError: no feature is relevant, or the scores are not one finite number for each.

    Example:
        >>> relevant = np.array([True, False, True])
        >>> average_precision(np.array([3.0, 1.0, 2.0]), relevant)
        1.0
        >>> round(average_precision(np.zeros(3), relevant), 4)
        0.8056
    """
    total = 0.0
    for above, hits, size, right in _ties(scores, relevant):
        if right == 0:
            continue
        places = np.arange(1, size + 1)
        others = (places - 1) * ((right - 1) / (size - 1) if size > 1 else 0.0)
        total += float(np.sum((right / size) * (hits + 1 + others) / (above + places)))
    return total / int(relevant.sum())


def precision_at_k(
    scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"], k: int
) -> float:
    """Share of relevant features among the top ``k``, its mean over all orders of equal scores.

    Raises:
        OptionError: ``k`` is not between 1 and the number of features; or as in
            :func:`average_precision`.

    Example:
        >>> precision_at_k(np.array([1.0, 1.0, 0.0]), np.array([True, False, False]), 1)
        0.5
    """
    if not 1 <= k <= len(scores):
        raise OptionError(f"precision at {k} of {len(scores)} features asked; 1 to n is due")
    found = 0.0
    for above, _, size, right in _ties(scores, relevant):
        found += right * min(size, max(0, k - above)) / size
    return found / k


def reciprocal_rank(scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"]) -> float:
    """1 / rank of the highest relevant feature: for reasons of which any one is enough.

    Raises:
        OptionError: as in :func:`average_precision`.

    Example:
        >>> reciprocal_rank(np.array([3.0, 2.0, 1.0]), np.array([False, True, True]))
        0.5
    """
    above, _, size, right = next(run for run in _ties(scores, relevant) if run[3])
    ways = comb(size, right)
    return sum(
        comb(size - place, right - 1) / ways / (above + place)
        for place in range(1, size - right + 2)
    )
