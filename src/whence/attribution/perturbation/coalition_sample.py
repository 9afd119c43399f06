"""Coalitions drawn without replacement, in strata of one size each."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["pair_sample", "size_sample"]

ENUMERATED = 4096
"""Coalitions of one size up to which all are listed; of more, draws are compared with earlier draws."""
COUNTLESS = 1 << 1000
"""More coalitions than any budget: C(n, n / 2) leaves float64 at n = 1030, and this does not."""


def pair_sample(
    n: int, count: int, rng: np.random.Generator, *, design: str = "balanced"
) -> tuple[Bool[np.ndarray, "pairs n"], Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """One coalition of each of ``count`` pairs (S, complement), with its odds and its weight.

    Strata are the sizes 1 to n // 2 (a pair's smaller side). Each gets a share: equal by leverage
    (the middle size of an even n half a share, as it holds both sides of its pairs), times
    ``1 / sqrt(s (n - s))`` in the balanced design; at most all its pairs. Shares are rounded at
    random so that their expectation is exact. The odds are those of inclusion, the weight is the
    Shapley kernel ``(n - 1) / (C(n, s) s (n - s))`` over them (Horvitz & Thompson 1952,
    doi:10.1080/01621459.1952.10483446): distinct draws without this correction are biased towards
    the sizes that are drawn often.
    """
    sizes = np.arange(1, n // 2 + 1)
    middle = (n % 2 == 0) & (sizes == n // 2)
    halves = np.where(middle, 2, 1)
    share = 1.0 / halves
    if design == "balanced":
        share = share / np.sqrt(sizes * (n - sizes))
    totals = [comb(n, int(s)) // int(h) for s, h in zip(sizes, halves, strict=True)]
    expected = _fill(_as_float(totals), share, float(count))
    drawn = _round(expected, rng)
    rows = [
        _distinct(n, int(size), int(number), total, rng, paired=True)
        for size, total, number in zip(sizes, totals, drawn, strict=True)
        if number
    ]
    # Kernel over odds, with C(n, s) cancelled: it is the stratum's total, or twice that.
    weight = (n - 1) / (sizes * (n - sizes) * halves) / np.maximum(expected, 1e-300)
    odds = np.minimum(1.0, expected / _as_float(totals))
    return np.concatenate(rows), np.repeat(odds, drawn), np.repeat(weight, drawn)


def size_sample(
    shares: Float[np.ndarray, " sizes"], n: int, count: int, rng: np.random.Generator
) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """About ``count`` coalitions, of 1 to ``len(shares)`` features each, with odds and weights.

    Args:
        shares: share of each size in the whole, from size 1 on.
        n: number of features.
        count: number of coalitions; at most all there are.
        rng: random generator.

    The weights are ``share / C(n, size) / odds``: sums over the sample estimate sums over all.
    """
    totals = [comb(n, size) for size in range(1, len(shares) + 1)]
    expected = _fill(_as_float(totals), shares, float(count))
    drawn = _round(expected, rng)
    rows = [np.zeros((0, n), dtype=bool)]
    for size, (total, number) in enumerate(zip(totals, drawn, strict=True), start=1):
        if number:
            rows.append(_distinct(n, size, int(number), total, rng, paired=False))
    weight = shares / np.maximum(expected, 1e-300)
    odds = np.minimum(1.0, expected / _as_float(totals))
    return np.concatenate(rows), np.repeat(odds, drawn), np.repeat(weight, drawn)


def _as_float(totals: list[int]) -> Float[np.ndarray, " strata"]:
    return np.array([float(min(total, COUNTLESS)) for total in totals])


def _fill(
    totals: Float[np.ndarray, " strata"], share: Float[np.ndarray, " strata"], count: float
) -> Float[np.ndarray, " strata"]:
    """``min(total, c * share)`` for the ``c`` that makes the sum ``count`` (or all there is)."""
    # Else the last round would divide by the shares of no size.
    if count >= totals.sum():
        return totals.copy()
    expected = np.zeros_like(totals)
    open_ = np.ones(len(totals), dtype=bool)
    while True:
        # Sizes whose share is more than all their coalitions are taken whole, and what they cannot
        # use raises the level of the others, until none overflows: at most one round for each size.
        rest = share[open_].sum()
        # What is left has no share: a kernel so narrow that far sizes weigh nothing.
        if rest == 0:
            return expected
        level = (count - expected[~open_].sum()) / rest
        full = open_ & (level * share >= totals)
        if not full.any():
            expected[open_] = level * share[open_]
            return expected
        expected[full] = totals[full]
        open_ &= ~full


def _round(expected: Float[np.ndarray, " strata"], rng: np.random.Generator) -> np.ndarray:
    """Whole numbers with the same sum whose expectations are those given (systematic sampling)."""
    # 1e-9: a sum of shares that is whole but for rounding counts as whole.
    # One offset for all edges: the counts then add up to the whole, and each is the floor or the
    # ceiling of its share with the share as expectation.
    edges = np.floor(np.concatenate([[0.0], np.cumsum(expected)]) + rng.random() + 1e-9)
    drawn = np.diff(edges).astype(np.int64)
    # The same 1e-9 may lift a count past its ceiling, and so past all the coalitions there are.
    return np.minimum(drawn, np.ceil(expected - 1e-9).astype(np.int64))


def _distinct(
    n: int, size: int, count: int, total: int, rng: np.random.Generator, *, paired: bool
) -> Bool[np.ndarray, "rows n"]:
    """``count`` distinct coalitions of a size; where ``paired``, no two of them complements."""
    halved = paired and 2 * size == n
    if count == total or total <= ENUMERATED:
        rows = _combinations(n, size)
        # At the middle size a set and its complement are both listed; the pair is the one with
        # feature 0.
        if halved:
            rows = rows[rows[:, 0]]
        return rows[np.sort(rng.choice(len(rows), size=count, replace=False))]
    known: set[bytes] = set()
    distinct: list[np.ndarray] = []
    # Rejection, which ends: even all but one of N sets take some N ln N draws on average.
    while len(distinct) < count:
        row = np.zeros(n, dtype=bool)
        row[rng.choice(n, size=size, replace=False)] = True
        if halved and not row[0]:
            row = ~row
        key = row.tobytes()
        if key not in known:
            known.add(key)
            distinct.append(row)
    return np.stack(distinct)


def _combinations(n: int, size: int) -> Bool[np.ndarray, "rows n"]:
    chosen = np.array(list(combinations(range(n), size)), dtype=np.int64)
    rows = np.zeros((len(chosen), n), dtype=bool)
    rows[np.arange(len(chosen))[:, None], chosen] = True
    return rows
