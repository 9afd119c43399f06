"""Standard errors of means of few observations of several features."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import stats

__all__ = ["LEAST_OBSERVATIONS", "student_errors"]

LEAST_OBSERVATIONS = 3
"""Observations from which there are standard errors. Of two, an interval of a weighted majority's
Shapley values holds 8 times in 10 and of a sum's always; of three 9 times or more (``PermutationShap``
on the games of ``benchmarks.coverage``)."""


def student_errors(
    sample: Float[np.ndarray, "m n k"], weight: Float[np.ndarray, " m"] | None = None
) -> Float[np.ndarray, "n k"]:
    """Standard errors of the means over the first axis; 1.96 of them are a 95 % interval.

    The variance of a feature is that of its ``m`` observations, and of one imagined that has the
    mean variance of all features: where a feature moves the answer seldom, few observations may agree
    by chance, and would else claim to be certain. The error of the mean is then widened by the ratio of
    Student's quantile of ``m - 1`` degrees of freedom to the normal one: who reads it as the error
    of many observations has the interval of few. NaN of fewer than 3 observations.

    Args:
        sample: observations of each feature and output.
        weight: inverse of each observation's variance, up to a factor; none: all alike.

    Example:
        >>> student_errors(np.array([1.0, 2.0, 4.0, 5.0]).reshape(4, 1, 1)).round(3).tolist()
        [[1.482]]
    """
    m = len(sample)
    if m < LEAST_OBSERVATIONS:
        return np.full(sample.shape[1:], np.nan)
    weight = np.ones(m) if weight is None else weight
    share = weight / weight.sum()
    deviation = sample - np.einsum("m,mnk->nk", share, sample)
    squares = np.einsum("m,mnk->nk", share, deviation**2)
    # Over one degree of freedom more: squares are sums over m - 1 of them, shared by m.
    pooled = ((m - 1) * squares + squares.mean(axis=0)) / m
    reach = stats.t.ppf(0.975, m - 1) / stats.norm.ppf(0.975)
    return reach * np.sqrt(pooled / (m - 1))
