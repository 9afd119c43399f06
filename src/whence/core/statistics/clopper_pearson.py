"""Exact bounds of a share that was counted: Clopper and Pearson's."""

from __future__ import annotations

from scipy.special import betaincinv

from whence.core.measurements import Interval

__all__ = ["clopper_pearson", "share_interval"]


def clopper_pearson(held: int | float, tried: int, level: float = 0.95) -> float:
    """The lower limit of a share of which ``held`` of ``tried`` were seen, one-sided.

    Where ties count as halves, ``held`` may lie between two whole numbers.
    Source: Clopper & Pearson (1934), doi:10.1093/biomet/26.4.404.

    Example:
        >>> round(clopper_pearson(29, 29), 3)
        0.902
    """
    return 0.0 if held <= 0 else float(betaincinv(held, tried - held + 1, 1 - level))


def share_interval(held: int | float, tried: int, how: str) -> Interval:
    """The two-sided 95 % interval of a share; ``how`` says what was counted.

    The upper limit of a share is what the lower limit of the rest leaves.
    """
    return Interval(
        low=clopper_pearson(held, tried, 0.975),
        high=1.0 - clopper_pearson(tried - held, tried, 0.975),
        level=0.95,
        how=f"Clopper-Pearson, {how}",
    )
