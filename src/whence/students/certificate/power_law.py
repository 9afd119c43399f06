"""A power law through the points of a learning curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float
from scipy import optimize

__all__ = ["PowerLaw", "power_law"]

STARTS = (0.2, 0.5, 1.0)
"""Exponents that the search begins with; the best of the three ends counts. Least squares in three
numbers has more than one minimum. Chosen by hand."""

STEEPEST, FLATTEST = 2.0, 0.05
"""Exponents a law may have. Chosen by hand: beyond the first two doublings close 15/16 of the gap, and
below the second it grows with the logarithm of the texts, which has no end to near."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerLaw:
    """``kappa(n) = a - b (n / unit)^-c``: ``a`` is what it comes near to with ever more texts."""

    a: float
    b: float
    c: float
    unit: float

    def __call__(self, n: float | int) -> float:
        """Kappa at ``n`` texts.

        Example:
            >>> PowerLaw(a=0.9, b=0.4, c=0.5, unit=100.0)(400)
            0.7
        """
        return self.a - self.b * (n / self.unit) ** -self.c

    def texts_for(self, value: float) -> float:
        """Texts at which kappa reaches ``value``; infinite where it never does."""
        left = self.a - value
        if left <= 0 or self.b <= 0:
            return math.inf
        # By logarithms: with a small exponent the power itself would overflow.
        log_texts = math.log(self.unit) + math.log(self.b / left) / self.c
        # More than a million times a million texts are as good as none.
        return math.exp(log_texts) if log_texts < math.log(1e12) else math.inf


def power_law(sizes: Float[np.ndarray, " sizes"], values: Float[np.ndarray, " sizes"]) -> PowerLaw:
    """The law nearest to some values in squares.

    Example:
        >>> sizes = np.array([100.0, 200.0, 400.0, 800.0])
        >>> law = power_law(sizes, 0.8 - 4.0 * sizes**-0.5)
        >>> round(law.a, 3), round(law.c, 3)
        (0.8, 0.5)
    """
    # In units of the first size all three numbers are of order 1: a - b is the first value, and
    # kappa lies between -1 and 1, so that b is about 2 at most and its bound of 10 stands out of
    # the way.
    unit = float(sizes[0])
    x = np.log(sizes / unit)

    def residuals(p: np.ndarray) -> np.ndarray:
        return p[0] - p[1] * np.exp(-p[2] * x) - values

    def slopes(p: np.ndarray) -> np.ndarray:
        power = np.exp(-p[2] * x)
        return np.stack([np.ones_like(x), -power, p[1] * x * power], axis=1)

    best, lowest = np.zeros(3), math.inf
    for c in STARTS:
        # For a given exponent the law is linear in a and b, whose best values least squares give
        # at once (Golub and Pereyra 1973, doi:10.1137/0710036): the search starts from there.
        line = np.linalg.lstsq(np.stack([np.ones_like(x), -np.exp(-c * x)], axis=1), values)[0]
        # Strictly within the bounds: least_squares refuses a start outside, and steps away from
        # one on the edge.
        first = [min(max(float(line[0]), -0.99), 0.99), min(max(float(line[1]), 0.01), 9.9), c]
        fit = cast("Any", optimize.least_squares)(
            residuals, first, jac=slopes,
            bounds=([-1.0, 0.0, FLATTEST], [1.0, 10.0, STEEPEST]), xtol=1e-10, ftol=1e-10,
        )  # fmt: skip
        # Costs that differ by rounding errors are equal: the first start counts, on any machine.
        if float(fit.cost) < lowest - 1e-12:
            best, lowest = np.asarray(fit.x), float(fit.cost)
    return PowerLaw(a=float(best[0]), b=float(best[1]), c=float(best[2]), unit=unit)
