"""Proportions with exact bounds, and intervals by resampling groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from whence.core.errors import OptionError
from whence.core.record import Number, Value
from whence.core.statistics.clopper_pearson import lower_bound, upper_bound

__all__ = [
    "Interval",
    "Proportion",
    "above",
    "below",
    "bootstrap",
    "check_shares",
    "least_certified",
    "proportion",
]


ROUNDING = 1e-9
"""Thousandths by which a bound may miss a number of three digits and still be shown as it: far above
the error of a double at this size (1e-13), far below what three digits show."""


@dataclass(frozen=True, slots=True, eq=False)
class Proportion(Value):
    """``hits`` of ``n`` with one-sided exact bounds: each is missed in ``1 - level`` of cases."""

    hits: int
    n: int
    lower: float
    upper: float
    level: float

    @property
    def value(self) -> float:
        """The share itself; NaN where n is 0."""
        return self.hits / self.n if self.n else float("nan")

    def __str__(self) -> str:
        if self.n == 0:
            return "not measured (n=0)"
        return f"{self.value:.3f} [{below(self.lower)}, {above(self.upper)}] (n={self.n})"


def below(bound: float) -> str:
    """A lower bound rounded down to three digits.

    Example:
        >>> below(0.94973), above(0.94973)
        ('0.949', '0.950')
    """
    # Outwards: to the nearest, .9498 would be shown as a certified .950.
    return f"{math.floor(bound * 1000 + ROUNDING) / 1000:.3f}"


def above(bound: float) -> str:
    """An upper bound rounded up to three digits."""
    return f"{math.ceil(bound * 1000 - ROUNDING) / 1000:.3f}"


def proportion(hits: int, n: int, *, level: float = 0.95) -> Proportion:
    """A share with the bounds of Clopper and Pearson; valid at any n, and conservative.

    See :mod:`whence.core.statistics.clopper_pearson`.

    Args:
        hits: count of what was looked for.
        n: count of all.
        level: level of each of the two one-sided bounds.

    Raises:
        OptionError: more hits than n, or a level that is not between 0 and 1.

    Example:
        >>> print(proportion(59, 59))
        1.000 [0.950, 1.000] (n=59)
    """
    if not 0 <= hits <= n or not 0.0 < level < 1.0:
        raise OptionError(
            f"expected 0 <= hits <= n and a level between 0 and 1, got {hits} of {n} at {level}"
        )
    return Proportion(hits, n, lower_bound(hits, n, level), upper_bound(hits, n, level), level)


def check_shares(target: float, level: float) -> None:
    """Refuse a target or a level out of its range.

    Raises:
        OptionError: a target outside 0 to 1, or a level that is not above .5 and below 1.
    """
    if not 0 < target < 1 or not 0.5 < level < 1:
        raise OptionError(
            f"expected a target between 0 and 1 and a level between 0.5 and 1, got target={target}, "
            f"level={level}"
        )


def least_certified(target: float, *, level: float = 0.95) -> int:
    """The fewest texts that certify an agreement of ``target``, when student and teacher agree on all.

    Example:
        >>> [least_certified(target) for target in (0.90, 0.95, 0.97, 0.99)]
        [29, 59, 99, 299]
    """
    if not 0.0 < target < 1.0:
        raise OptionError(f"expected a target between 0 and 1, got {target}")
    # Where all n agree the lower bound p solves p^n = 1 - level: it is the target or more from n =
    # log(1 - level) / log(target) on.
    return int(np.ceil(np.log(1 - level) / np.log(target)))


@dataclass(frozen=True, slots=True, eq=False)
class Interval(Value):
    """An estimate with a two-sided interval; NaN where it is undefined."""

    value: Number
    lower: Number
    upper: Number
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.lower:.3f}, {self.upper:.3f}] (n={self.n})"


def bootstrap(
    statistic: Callable[[Int[np.ndarray, " rows"]], float],
    n: int,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A statistic of rows with its percentile interval over resampled rows.

    Rows must be independent of each other; a split keeps one row a group of near-duplicates.
    Draws where the statistic is undefined are left out. Too narrow for n below about 50.
    Efron (1979), doi:10.1214/aos/1176344552. ``scipy.stats.bootstrap`` resamples in another order,
    and hands an undefined draw on as NaN.

    Args:
        statistic: function from row numbers, with repeats, to a number.
        n: count of rows.
        draws: resamples.
        level: level of the interval.
        seed: seed of the random generator.
    """
    rows = np.arange(n)
    value = statistic(rows) if n else float("nan")
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(0, n, size=n)) for _ in range(draws)]) if n else rows
    # Kappa of a resample with one label alone is 0 / 0: it is no value of the statistic, and one
    # NaN would make both quantiles NaN.
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return Interval(value, float("nan"), float("nan"), n)
    lower, upper = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(lower), float(upper), n)
