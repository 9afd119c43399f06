"""Exact bounds of a share that was counted: Clopper & Pearson (1934), doi:10.1093/biomet/26.4.404.

``scipy.stats.binomtest`` searches for the same bounds by bisection: they differ from these by up to
5e-13, and it takes whole counts alone.
"""

from __future__ import annotations

from scipy.special import betaincinv

from whence.core.measurements import Interval

__all__ = ["lower_bound", "share_interval", "upper_bound"]


def lower_bound(hits: int | float, n: int, level: float = 0.95) -> float:
    """The one-sided lower bound of a share: the p that solves ``P(X >= hits | p) = 1 - level``.

    Where ties count as halves, ``hits`` may lie between two whole numbers.

    Example:
        >>> round(lower_bound(29, 29), 3)
        0.902
    """
    # P(X >= k | p) is the regularised incomplete beta function I_p(k, n - k + 1), whose inverse in
    # p is the bound. At k = 0 the first parameter is 0 and the inverse undefined: the bound is 0.
    return 0.0 if hits <= 0 else float(betaincinv(hits, n - hits + 1, 1 - level))


def upper_bound(hits: int | float, n: int, level: float = 0.95) -> float:
    """The one-sided upper bound of a share: the p that solves ``P(X <= hits | p) = 1 - level``.

    Example:
        >>> round(upper_bound(0, 29), 3)
        0.098
    """
    # P(X <= k | p) = 1 - I_p(k + 1, n - k), which is 1 - level where I_p is level.
    return 1.0 if hits >= n else float(betaincinv(hits + 1, n - hits, level))


def share_interval(hits: int | float, n: int, how: str) -> Interval:
    """The two-sided 95 % interval of a share; ``how`` says what was counted.

    The upper limit is one less the lower bound of the misses, which keeps the digits of stored
    measurements: :func:`upper_bound` differs from it in the last place.
    """
    return Interval(
        low=lower_bound(hits, n, 0.975),
        high=1.0 - lower_bound(n - hits, n, 0.975),
        level=0.95,
        how=f"Clopper-Pearson, {how}",
    )
