"""Intervals that hold near the edge: the rows seen, and one imagined row that speaks against each end.

Where all of n rows agree, every resample of them agrees too, and a bootstrap says "1.000 [1.000,
1.000]". Here each row has a random weight, all weights together drawn evenly from those that sum
to 1, ``Dirichlet(1, ..., 1)`` (Rubin 1981, doi:10.1214/aos/1176345338), and one row more is imagined
that has the worst value for the lower end and the best for the upper. Of a share this is the
interval of Clopper and Pearson, but for the luck of the draws; of a mean of bounded values it is
the bound of Gaffke (2005), see Learned-Miller & Thomas (2019), arXiv:1905.06208, that no case is
known to break and that is not proved in general. Of Cohen's kappa and F1 it has no such name:
``benchmarks/table_intervals.py`` measures its coverage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import InputError
from whence.core.statistics.proportions import Interval

__all__ = ["Statistic", "mean_interval", "table_interval"]

ROUNDING = 1e-9
"""How far a value may lie beyond its ends: far above the error of a double near 1 (1e-16)."""

DRAWS = 2000
"""Draws of the weights: fifty lie beyond each end of a 95 % interval, whose place then varies by a
seventh (1 / sqrt(50)) of the chance beyond it."""

Statistic = Callable[
    [Float[np.ndarray, "*draws labels"], Float[np.ndarray, "*draws labels"], np.ndarray],
    Float[np.ndarray, "*draws"],
]
"""A statistic of tables of counts or weights: of what both say, of what the first and the second
say, each for every label."""


def mean_interval(
    values: Float[np.ndarray, " rows"],
    ends: tuple[float, float],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The mean of independent rows, whose values lie between two ends, with its interval.

    Args:
        values: values of the rows; NaN everywhere in the result where there are none.
        ends: lowest and highest value that a row can have.
        level: level of the two-sided interval.
        seed: seed of the random generator.

    Raises:
        InputError: a value outside the ends.

    Example:
        >>> interval = mean_interval(np.ones(59), (0.0, 1.0))
        >>> interval.value, round(interval.lower, 2), interval.upper
        (1.0, 0.94, 1.0)
    """
    n = len(values)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    # Sums of doubles overshoot their end in the last digits.
    if not (ends[0] - ROUNDING <= values.min() and values.max() <= ends[1] + ROUNDING):
        raise InputError(
            f"expected values from {ends[0]} to {ends[1]}, got {values.min()} to {values.max()}; give "
            "the ends that hold for every row"
        )
    known, counts = np.unique(np.clip(values, *ends), return_counts=True)
    # Weights of equal rows are only ever added: a gamma variable of their count is their sum.
    weights, imagined = _weights(counts, np.random.default_rng(seed))
    total = weights.sum(axis=1) + imagined
    lower, upper = ((weights @ known + imagined * end) / total for end in ends)
    return _interval(float(values.mean()), lower, upper, level, n)


def table_interval(
    statistic: Statistic,
    first: Int[np.ndarray, " rows"],
    second: Int[np.ndarray, " rows"],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A statistic of the table of two deciders, the higher the more they agree, with its interval.

    The imagined row is one on which the two disagree for the lower end, and one on which they agree
    for the upper; which labels it has is drawn evenly from those that either gave. NaN where the
    statistic of the rows themselves is none, or where both give one and the same label.

    Args:
        statistic: statistic of the table, such as :func:`whence.students.certificate.fidelity.table_kappa`.
        first: labels by the first decider.
        second: labels by the second.
        level: level of the two-sided interval.
        seed: seed of the random generator.
    """
    n = len(first)
    labels, codes = np.unique(np.stack([first, second]), return_inverse=True)
    a, b = codes.reshape(2, n)
    k = len(labels)
    unit = np.eye(k)
    value = float(
        statistic((unit[a] * unit[b]).sum(axis=0), unit[a].sum(axis=0), unit[b].sum(axis=0))
    )
    if not np.isfinite(value) or k < 2:
        return Interval(value, float("nan"), float("nan"), n)
    cells, counts = np.unique(a * k + b, return_counts=True)
    rng = np.random.default_rng(seed)
    weights, imagined = _weights(counts, rng)
    row, column = unit[cells // k], unit[cells % k]
    hits, rows, columns = weights @ (row * column), weights @ row, weights @ column
    one = rng.integers(k, size=DRAWS)
    # A label other than the first, each as likely: a step of 1 to k - 1 around the circle of labels.
    other = (one + rng.integers(1, k, size=DRAWS)) % k
    extra, elsewhere = unit[one] * imagined[:, None], unit[other] * imagined[:, None]
    lower = statistic(hits, rows + extra, columns + elsewhere)
    upper = statistic(hits + extra, rows + extra, columns + extra)
    return _interval(value, lower, upper, level, n)


def _weights(
    counts: Int[np.ndarray, " kinds"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "draws kinds"], Float[np.ndarray, " draws"]]:
    """Weights of the rows of each kind, and of the imagined row; not yet divided by their sum."""
    weights = rng.standard_gamma(counts, size=(DRAWS, len(counts)))
    return weights, rng.standard_exponential(DRAWS)


def _interval(value: float, lower: np.ndarray, upper: np.ndarray, level: float, n: int) -> Interval:
    low, high = np.quantile(lower, (1 - level) / 2), np.quantile(upper, (1 + level) / 2)
    return Interval(value, float(low), float(high), n)
