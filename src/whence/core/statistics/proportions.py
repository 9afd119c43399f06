"""Proportions with exact bounds, and intervals by resampling groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy import special

from whence.core.errors import OptionError

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


@dataclass(frozen=True, slots=True)
class Proportion:
    """``hits`` of ``n`` with one-sided exact bounds: each is missed in ``1 - level`` of cases."""

    hits: int
    n: int
    lower: float
    upper: float
    level: float

    @property
    def value(self) -> float:
        """The share itself; NaN of none."""
        return self.hits / self.n if self.n else float("nan")

    def __str__(self) -> str:
        if self.n == 0:
            return "not measured (n=0)"
        return f"{self.value:.3f} [{below(self.lower)}, {above(self.upper)}] (n={self.n})"


def below(bound: float) -> str:
    """A lower bound in three digits, never above itself.

    Example:
        >>> below(0.94973), above(0.94973)
        ('0.949', '0.950')
    """
    return f"{math.floor(bound * 1000 + 1e-9) / 1000:.3f}"


def above(bound: float) -> str:
    """An upper bound in three digits, never below itself."""
    return f"{math.ceil(bound * 1000 - 1e-9) / 1000:.3f}"


def proportion(hits: int, n: int, *, level: float = 0.95) -> Proportion:
    """A share with the bounds of Clopper and Pearson (1934), doi:10.1093/biomet/26.4.404.

    The lower bound solves ``P(X >= hits | p) = 1 - level``; valid at any n, and conservative.

    Example:
        >>> print(proportion(59, 59))
        1.000 [0.950, 1.000] (n=59)
    """
    if not 0 <= hits <= n or not 0.0 < level < 1.0:
        raise OptionError(f"{hits} of {n} at level {level}: no share")
    lower = float(special.betaincinv(hits, n - hits + 1, 1 - level)) if hits else 0.0
    upper = float(special.betaincinv(hits + 1, n - hits, level)) if hits < n else 1.0
    return Proportion(hits, n, lower, upper, level)


def check_shares(target: float, level: float) -> None:
    """Refuse a target or a level that is no share.

    Raises:
        OptionError: a target outside 0 to 1, or a level that is not above .5 and below 1.
    """
    if not 0 < target < 1 or not 0.5 < level < 1:
        raise OptionError(f"target={target}, level={level}: shares below 1 are due")


def least_certified(target: float, *, level: float = 0.95) -> int:
    """Texts needed to certify an agreement of ``target`` when not one disagrees.

    Example:
        >>> [least_certified(target) for target in (0.90, 0.95, 0.97, 0.99)]
        [29, 59, 99, 299]
    """
    if not 0.0 < target < 1.0:
        raise OptionError(f"target={target} given; a share between 0 and 1 is due")
    return int(np.ceil(np.log(1 - level) / np.log(target)))


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with a two-sided interval."""

    value: float
    lower: float
    upper: float
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
    Efron (1979), doi:10.1214/aos/1176344552.
    """
    rows = np.arange(n)
    value = statistic(rows) if n else float("nan")
    rng = np.random.default_rng(seed)
    found = np.array([statistic(rng.integers(0, n, size=n)) for _ in range(draws)]) if n else rows
    found = found[np.isfinite(found)]
    if len(found) == 0:
        return Interval(value, float("nan"), float("nan"), n)
    lower, upper = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(lower), float(upper), n)
