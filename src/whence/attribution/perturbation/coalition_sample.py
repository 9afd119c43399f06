"""Coalitions drawn without replacement, in strata of one size each, and spread over the features."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["pair_sample", "size_sample"]

ENUMERATED = 4096
"""Coalitions of one size up to which all are listed; of more, draws are compared with earlier draws."""
CANDIDATES = 8
"""Draws of which the one is taken that tells most that the earlier ones do not. With 8 the error of
KernelShap at 3 to 20 evaluations a feature is a fifth to two fifths lower than with 1 on the games of
``benchmarks.shapley_error``; with 16 hardly less."""
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
    # Kernel over odds, with C(n, s) cancelled: it is the stratum's total, or twice that.
    weight = (n - 1) / (sizes * (n - sizes) * halves) / np.maximum(expected, 1e-300)
    odds = np.minimum(1.0, expected / _as_float(totals))
    strata = [
        _Stratum(n, int(size), total, paired=True)
        for size, total in zip(sizes, totals, strict=True)
    ]
    rows, places = _spread(n, strata, drawn, weight, rng)
    return rows, odds[places], weight[places]


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
    weight = shares / np.maximum(expected, 1e-300)
    odds = np.minimum(1.0, expected / _as_float(totals))
    strata = [_Stratum(n, size, total, paired=False) for size, total in enumerate(totals, start=1)]
    present = float(shares @ np.arange(1, len(shares) + 1)) / n / max(float(shares.sum()), 1e-300)
    rows, places = _spread(n, strata, drawn, weight, rng, share=present)
    return rows, odds[places], weight[places]


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


def _round(
    expected: Float[np.ndarray, " strata"], rng: np.random.Generator
) -> Int[np.ndarray, " strata"]:
    """Whole numbers with the same sum whose expectations are those given (systematic sampling)."""
    # 1e-9: a sum of shares that is whole but for rounding counts as whole.
    # One offset for all edges: the counts then add up to the whole, and each is the floor or the
    # ceiling of its share with the share as expectation.
    edges = np.floor(np.concatenate([[0.0], np.cumsum(expected)]) + rng.random() + 1e-9)
    drawn = np.diff(edges).astype(np.int64)
    # The same 1e-9 may lift a count past its ceiling, and so past all the coalitions there are.
    return np.minimum(drawn, np.ceil(expected - 1e-9).astype(np.int64))


class _Stratum:
    """The coalitions of one size that are not taken yet.

    Args:
        n: number of features.
        size: number of features present.
        total: number of coalitions.
        paired: whether a coalition and its complement count as one.
    """

    def __init__(self, n: int, size: int, total: int, *, paired: bool) -> None:
        self.n, self.size, self.total = n, size, total
        self.halved = paired and 2 * size == n
        self._listed: Bool[np.ndarray, "rows n"] | None = None
        self._taken: set[bytes] = set()

    def every(self) -> Bool[np.ndarray, "rows n"]:
        """All coalitions, whether taken or not."""
        rows = _combinations(self.n, self.size)
        # At the middle size a set and its complement are both listed; the pair is the one with
        # feature 0.
        return rows[rows[:, 0]] if self.halved else rows

    def candidates(self, rng: np.random.Generator) -> Bool[np.ndarray, "rows n"]:
        """Some coalitions that are left, each as likely as any other."""
        if self.total <= ENUMERATED:
            if self._listed is None:
                self._listed = self.every()
            left = len(self._listed)
            return self._listed[rng.choice(left, size=min(CANDIDATES, left), replace=False)]
        # Rejection, which ends: even all but one of N sets take some N ln N draws on average.
        while True:
            rows = np.zeros((CANDIDATES, self.n), dtype=bool)
            order = np.argsort(rng.random(rows.shape), axis=1)
            np.put_along_axis(rows, order[:, : self.size], values=True, axis=1)
            if self.halved:
                rows ^= ~rows[:, :1]
            left = [row.tobytes() not in self._taken for row in rows]
            if any(left):
                return rows[left]

    def take(self, row: Bool[np.ndarray, " n"]) -> None:
        """Leave out a coalition from now on."""
        if self._listed is None:
            self._taken.add(row.tobytes())
        else:
            self._listed = self._listed[(self._listed != row).any(axis=1)]


def _spread(
    n: int,
    strata: list[_Stratum],
    drawn: Int[np.ndarray, " strata"],
    weight: Float[np.ndarray, " strata"],
    rng: np.random.Generator,
    share: float | None = None,
) -> tuple[Bool[np.ndarray, "rows n"], Int[np.ndarray, " rows"]]:
    """As many distinct coalitions of each stratum as ``drawn`` says, and the stratum of each.

    Args:
        n: number of features.
        strata: coalitions of each size.
        drawn: number to draw of each.
        weight: weight of a coalition of each.
        rng: random generator.
        share: share of the features from which directions are measured; ``None`` for the
            coalition's own, where a fit is held to a sum.
    """
    whole = drawn == np.array([stratum.total for stratum in strata], dtype=object)
    rows = [np.zeros((0, n), dtype=bool)]
    rows += [stratum.every() for stratum, all_ in zip(strata, whole, strict=True) if all_]
    certain = np.concatenate(rows)
    places = np.repeat(np.arange(len(strata)), np.where(whole, drawn, 0))

    def directions(of: Bool[np.ndarray, "r n"]) -> Float[np.ndarray, "r n"]:
        return of - (of.mean(axis=1, keepdims=True) if share is None else share)

    known = directions(certain)
    # The inverse of the weighted products of the rows so far. A thousandth of one row's weight in
    # each direction keeps it finite before every direction is there.
    least = 1e-3 * float(weight[drawn > 0].mean()) if drawn.any() else 1.0
    inverse = np.linalg.inv((known.T * weight[places]) @ known + least * np.eye(n))
    chosen = list(certain)
    order = rng.permutation(np.repeat(np.arange(len(strata)), np.where(whole, 0, drawn)))
    for i in order:
        candidates = strata[i].candidates(rng)
        ways = directions(candidates)
        moved = ways @ inverse
        leverage = (moved * ways).sum(axis=1)
        # The first of equal ones: which is the largest by rounding depends on the features' order.
        best = int(np.argmax(leverage >= (1.0 - 1e-9) * leverage.max()))
        strata[i].take(candidates[best])
        # Sherman & Morrison (1950), doi:10.1214/aoms/1177729893.
        scale = weight[i] / (1.0 + weight[i] * leverage[best])
        inverse -= scale * np.outer(moved[best], moved[best])
        chosen.append(candidates[best])
    return np.array(chosen, dtype=bool).reshape(-1, n), np.concatenate([places, order])


def _combinations(n: int, size: int) -> Bool[np.ndarray, "rows n"]:
    chosen = np.array(list(combinations(range(n), size)), dtype=np.int64)
    rows = np.zeros((len(chosen), n), dtype=bool)
    rows[np.arange(len(chosen))[:, None], chosen] = True
    return rows
