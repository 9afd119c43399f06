"""A power law through the points of a learning curve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["PowerLaw", "power_law", "power_laws"]

EXPONENTS = 40
"""Exponents that are tried; the search goes on between the neighbours of the best. Least squares in three
numbers has more than one minimum. Chosen by hand."""

ROUNDS = 40
"""Steps of golden section: from the distance of two neighbours to less than 1e-8 of it."""

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
    return power_laws(sizes, values[None])[0]


def power_laws(
    sizes: Float[np.ndarray, " sizes"], values: Float[np.ndarray, "laws sizes"]
) -> list[PowerLaw]:
    """The law nearest to each row of values in squares, with ``-1 <= a <= 1`` and ``0 <= b <= 10``.

    For a given exponent the law is linear in ``a`` and ``b``, whose best values have a formula (Golub
    and Pereyra 1973, doi:10.1137/0710036); so one number is searched for, of all rows at once.
    """
    # In units of the first size all three numbers are of order 1: a - b is the first value, and
    # kappa lies between -1 and 1, so that b is about 2 at most and its bound of 10 stands out of
    # the way.
    unit = float(sizes[0])
    x = np.log(sizes / unit)
    grid = np.geomspace(FLATTEST, STEEPEST, EXPONENTS)
    losses = np.stack([_best(np.full(len(values), c), x, values)[0] for c in grid], axis=1)
    # Losses that differ by rounding errors are equal: the first exponent counts, on any machine.
    first = np.argmax(losses <= losses.min(axis=1, keepdims=True) + 1e-12, axis=1)
    low = grid[np.maximum(first - 1, 0)]
    high = grid[np.minimum(first + 1, EXPONENTS - 1)]
    golden = (np.sqrt(5.0) - 1) / 2
    for _ in range(ROUNDS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        lower = _best(left, x, values)[0] <= _best(right, x, values)[0]
        low, high = np.where(lower, low, left), np.where(lower, right, high)
    # An end of the range, which the search comes near to, is in the grid itself.
    found = np.stack([(low + high) / 2, grid[first]])
    fits = [_best(c, x, values) for c in found]
    which = (fits[1][0] <= fits[0][0]).astype(int)
    a, b, c = (
        np.where(which, other, one)
        for one, other in zip((*fits[0][1:], found[0]), (*fits[1][1:], found[1]), strict=True)
    )
    return [
        PowerLaw(a=float(each[0]), b=float(each[1]), c=float(each[2]), unit=unit)
        for each in zip(a, b, c, strict=True)
    ]


def _best(
    c: Float[np.ndarray, " laws"],
    x: Float[np.ndarray, " sizes"],
    values: Float[np.ndarray, "laws sizes"],
) -> tuple[Float[np.ndarray, " laws"], Float[np.ndarray, " laws"], Float[np.ndarray, " laws"]]:
    """The least squares, and a and b of it, for an exponent of each row."""
    powers = np.exp(-c[:, None] * x)
    mean, level = powers.mean(axis=1), values.mean(axis=1)
    apart = powers - mean[:, None]
    b = -(apart * values).sum(axis=1) / np.maximum((apart**2).sum(axis=1), 1e-300)

    def a_at(value: float) -> tuple[np.ndarray, np.ndarray]:
        """The best b where a is at a bound."""
        line = (powers * (value - values)).sum(axis=1) / (powers**2).sum(axis=1)
        return np.full(len(c), value), np.clip(line, 0.0, 10.0)

    def b_at(value: float) -> tuple[np.ndarray, np.ndarray]:
        """The best a where b is at a bound."""
        return np.clip(level + value * mean, -1.0, 1.0), np.full(len(c), value)

    # Squares of a line are convex: within the bounds the best is the free one, else one of the four
    # edges of the square of bounds.
    a = level + b * mean
    inside = (np.abs(a) <= 1.0) & (b >= 0.0) & (b <= 10.0)
    pairs = np.array([(a, b), a_at(-1.0), a_at(1.0), b_at(0.0), b_at(10.0)])
    squares = ((pairs[:, 0, :, None] - pairs[:, 1, :, None] * powers - values) ** 2).sum(axis=2)
    squares[0, ~inside] = np.inf
    best = squares.argmin(axis=0), np.arange(len(c))
    return squares[best], pairs[:, 0][best], pairs[:, 1][best]
