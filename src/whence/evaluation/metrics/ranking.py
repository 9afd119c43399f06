"""How well a ranking puts the relevant features on top; equal scores stand for every order."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import OptionError

__all__ = ["average_precision", "precision_at_k", "runs_of_equal_scores"]


def runs_of_equal_scores(
    scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"]
) -> list[tuple[int, int, int, int]]:
    """From the top, each run: (ranks above, relevant above, features in it, relevant in it).

    Raises:
        OptionError: no feature is relevant, or the scores are not one finite number for each.
    """
    if scores.shape != relevant.shape or not relevant.any() or not np.all(np.isfinite(scores)):
        raise OptionError(
            f"expected one finite score for each of {len(relevant)} features, and at least one "
            f"relevant feature; got {len(scores)} scores and {int(relevant.sum())} relevant"
        )
    runs: list[tuple[int, int, int, int]] = []
    above = hits = 0
    for value in np.unique(scores)[::-1]:
        inside = scores == value
        size, right = int(inside.sum()), int(relevant[inside].sum())
        runs.append((above, hits, size, right))
        above, hits = above + size, hits + right
    return runs


def average_precision(scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"]) -> float:
    """Mean precision at the rank of each relevant feature: 1 where they all stand on top.

    Formula: (1 / R) sum over relevant features of (relevant up to its rank) / (its rank), by
    signed score. No interpolation, which trapezoids under a precision-recall curve would add. Of
    equal scores the mean over all their orders, in closed form: among m of them, r relevant,
    below c features of which a are relevant, rank c + j holds a relevant one with probability
    r / m, and then a + 1 + (j - 1)(r - 1) / (m - 1) relevant stand at or above it. Sign: higher
    is better. No cost.

    Source: McSherry & Najork (2008), doi:10.1007/978-3-540-78646-7_38.

    Raises:
        OptionError: as in :func:`runs_of_equal_scores`.

    Example:
        >>> relevant = np.array([True, False, True])
        >>> average_precision(np.array([3.0, 1.0, 2.0]), relevant)
        1.0
        >>> round(average_precision(np.zeros(3), relevant), 4)
        0.8056
    """
    total = 0.0
    for above, hits, size, right in runs_of_equal_scores(scores, relevant):
        if right == 0:
            continue
        places = np.arange(1, size + 1)
        # Given that a relevant feature stands at this place, each earlier place of the run holds
        # one of the other right - 1 with this chance.
        others = (places - 1) * ((right - 1) / (size - 1) if size > 1 else 0.0)
        total += float(np.sum((right / size) * (hits + 1 + others) / (above + places)))
    return total / int(relevant.sum())


def precision_at_k(
    scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"], k: int
) -> float:
    """Share of relevant features among the top ``k``: the mean over all orders of equal scores.

    Raises:
        OptionError: ``k`` is not between 1 and the number of features; or as in
            :func:`runs_of_equal_scores`.

    Example:
        >>> precision_at_k(np.array([1.0, 1.0, 0.0]), np.array([True, False, False]), 1)
        0.5
    """
    if not 1 <= k <= len(scores):
        raise OptionError(f"expected k from 1 to {len(scores)}, the number of features; got k={k}")
    hits = 0.0
    for above, _, size, right in runs_of_equal_scores(scores, relevant):
        # Of a run cut by the k-th place each feature is inside with the same chance.
        hits += right * min(size, max(0, k - above)) / size
    return hits / k
