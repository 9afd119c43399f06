"""How soon a ranking names any one of the features that are known to decide."""

from __future__ import annotations

from math import comb

import numpy as np
from jaxtyping import Bool, Float

from whence.evaluation.metrics.ranking import runs_of_equal_scores

__all__ = ["reciprocal_rank"]


def reciprocal_rank(scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"]) -> float:
    """1 / rank of the highest relevant feature: for reasons of which any one is enough.

    Raises:
        OptionError: as in :func:`~whence.evaluation.metrics.ranking.average_precision`.

    Example:
        >>> reciprocal_rank(np.array([3.0, 2.0, 1.0]), np.array([False, True, True]))
        0.5
    """
    above, _, size, right = next(run for run in runs_of_equal_scores(scores, relevant) if run[3])
    ways = comb(size, right)
    return sum(
        comb(size - place, right - 1) / ways / (above + place)
        for place in range(1, size - right + 2)
    )
