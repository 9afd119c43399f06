"""Shapley values from a sample of coalitions, by constrained least squares."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from whence.attribution.method import Estimate, GameMethod
from whence.core.errors import unknown
from whence.games.game import Game

__all__ = ["KernelShap", "pair_sample"]

DESIGNS = ("balanced", "leverage")
RIDGES = 10.0 ** np.arange(-6.0, 3.1, 0.5)
"""Ridges tried, relative to the largest eigenvalue: from no effect to all effect, half decades apart."""
SHRINK_BELOW = 8
"""Evaluations per feature below which the fit is shrunk. Chosen by hand; not calibrated."""
ENUMERATED = 4096
"""Coalitions of one size up to which all are listed; of more, draws are compared with earlier draws."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelShap(GameMethod):
    """Shapley values estimated from a designed sample of coalitions.

    Solves ``min sum_S w(S) (v(S) - v(empty) - sum_{i in S} score[i])^2`` with ``sum score = v(N)
    - v(empty)`` held exactly, ``w(S)`` the Shapley kernel ``(n-1) / (C(n,|S|) |S| (n-|S|))``.

    Coalitions come with their complements and without replacement; sizes that the budget covers
    are taken whole, and each pair is weighted by the inverse of its inclusion probability. With
    ``design="leverage"`` every size gets the same share, as in Leverage SHAP (the leverage scores of
    the problem are ``1 / C(n,|S|)``). The default ``"balanced"`` draws by the geometric mean of
    leverage score and kernel weight, so small and large coalitions more often; on the games of
    ``benchmarks/shapley_error.py`` it was the more exact at 10 to 40 evaluations a feature, and as
    exact elsewhere. With 2^n evaluations either is exact.

    Below 8 n evaluations the least-squares fit is noisy; it is shrunk towards the equal split by a
    ridge whose strength leave-one-pair-out error picks. The scores still add up exactly, but the
    bias is unknown, so their standard errors are NaN.

    Standard errors: sandwich over pairs, each pair's residual inflated by its leverage (HC3), and
    deflated by the finite population factor, so that they vanish as the sample becomes the whole.

    Cost: the budget, by default min(2^n, max(8 n, 256) + 2) evaluations. The scores add up by
    construction, which is no evidence of accuracy: read the standard errors.

    Args:
        design: how the budget is shared among coalition sizes, ``balanced`` or ``leverage``.

    Lundberg & Lee (2017), arXiv:1705.07874; Covert & Lee (2021), arXiv:2012.01536; Musco & Witter
    (2025), arXiv:2410.01917.

    Example:
        >>> from whence.games.game import FunctionGame
        >>> game = FunctionGame(3, lambda S: 2.0 * S[:, 0] + S[:, 1] * S[:, 2])
        >>> KernelShap().estimate(game, budget=8, seed=0).scores[:, 0].round(9).tolist()
        [2.0, 0.5, 0.5]
    """

    design: str = "balanced"
    quantity: ClassVar[str] = "Shapley value"
    rank: ClassVar[int] = 20

    def __post_init__(self) -> None:
        if self.design not in DESIGNS:
            raise unknown("design", self.design, DESIGNS)

    def least(self, n: int) -> int:
        """N + 2, or 2^n where that is less: fewer samples cannot tell the features apart."""
        return min(1 << n, n + 2)

    def default_budget(self, n: int) -> int:
        """max(8 n, 256) + 2, or 2^n where that is less."""
        return min(1 << n, max(8 * n, 256) + 2)

    def estimate(self, game: Game, *, budget: int, seed: int) -> Estimate:
        """See :class:`KernelShap`."""
        n, k = game.n, game.k
        ends = game(np.stack([np.ones(n, dtype=bool), np.zeros(n, dtype=bool)]))
        full, empty = ends[0], ends[1]
        span = full - empty
        if n == 1:
            return self._estimate(span[None, :], full, empty, np.zeros((1, k)), ())
        rng = np.random.default_rng(seed)
        half, inclusion = pair_sample(n, (budget - 2) // 2, rng, design=self.design)
        pairs = np.concatenate([half, ~half])
        values = game(pairs)
        # A pair's mean residual cancels in the normal equations; only its odd part is left.
        odd = (values[: len(half)] - values[len(half) :]) / 2
        sizes = half.sum(axis=1)
        # The constraint is solved by substitution, score = span / n + d with sum d = 0. Then sum
        # over S of d is the product with the centred row, and every d in their span keeps the sum.
        centred = half - sizes[:, None] / n
        # The equal split explains (|S| / n - (n - |S|) / n) / 2 = |S| / n - 1/2 of the span of a
        # pair's odd part; the fit is to the rest.
        target = odd - (sizes[:, None] / n - 0.5) * span
        choose = np.array([float(comb(n, int(size))) for size in sizes])
        # Over the odds of inclusion (Horvitz & Thompson 1952, doi:10.1080/01621459.1952.10483446):
        # distinct draws without this correction are biased towards the sizes that are drawn often.
        weight = (n - 1) / (choose * sizes * (n - sizes)) / inclusion
        # With every pair taken the solution is exact, and shrinking could only spoil it.
        shrink = 2 * len(half) < SHRINK_BELOW * n and bool(np.any(inclusion < 1))
        deviation, errors = _fit(centred, target, weight / weight.sum(), inclusion, shrink)
        notes = (
            (
                f"{2 * len(half) + 2} evaluations are fewer than 8 per feature: scores are shrunk "
                "towards the equal split by an unknown amount, so no standard error is given (NaN)",
            )
            # Where nothing moved there is no bias to speak of, and more evaluations are no advice.
            if shrink and np.ptp(np.concatenate([values, ends]), axis=0).max() > 0
            else ()
        )
        if notes:
            # Measured, such errors cover the truth in as few as 4 of 10 cases: worse than none.
            errors = np.full_like(errors, np.nan)
        return self._estimate(span / n + deviation, full, empty, errors, notes)

    @staticmethod
    def _estimate(
        scores: Float[np.ndarray, "n k"],
        full: Float[np.ndarray, " k"],
        empty: Float[np.ndarray, " k"],
        errors: Float[np.ndarray, "n k"],
        notes: tuple[str, ...],
    ) -> Estimate:
        return Estimate(
            scores=scores,
            values=full,
            base_values=empty,
            std_errors=errors,
            additive=True,
            by_construction=True,
            outcome="budget_exhausted" if notes else "converged",
            advice=("raise the budget to 8 evaluations per feature or more",) if notes else (),
            notes=notes,
        )


def pair_sample(
    n: int, count: int, rng: np.random.Generator, *, design: str = "balanced"
) -> tuple[Bool[np.ndarray, "pairs n"], Float[np.ndarray, " pairs"]]:
    """One coalition of each of ``count`` pairs (S, complement), and the pairs' inclusion odds.

    Strata are the sizes 1 to n // 2 (a pair's smaller side). Each gets a share: equal by leverage
    (the middle size of an even n half a share, as it holds both sides of its pairs), times
    ``1 / sqrt(s (n - s))`` in the balanced design; at most all its pairs. Shares are rounded at
    random so that their expectation is exact.
    """
    sizes = np.arange(1, n // 2 + 1)
    middle = (n % 2 == 0) & (sizes == n // 2)
    # Python's whole numbers: C(n, n / 2) leaves int64 at n = 67.
    pairs = [comb(n, int(s)) // (2 if m else 1) for s, m in zip(sizes, middle, strict=True)]
    totals = np.array([float(p) for p in pairs])
    share = np.where(middle, 0.5, 1.0)
    if design == "balanced":
        share = share / np.sqrt(sizes * (n - sizes))
    expected = _fill(totals, share, float(count))
    drawn = _round(expected, rng)
    rows: list[np.ndarray] = []
    odds: list[np.ndarray] = []
    for size, total, chance, number in zip(sizes, pairs, expected, drawn, strict=True):
        if number == 0:
            continue
        rows.append(_distinct(n, int(size), int(number), total, rng))
        odds.append(np.full(int(number), min(1.0, chance / float(total))))
    return np.concatenate(rows), np.concatenate(odds)


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
        # Sizes whose share is more than all their pairs are taken whole, and what they cannot use
        # raises the level of the others, until none overflows: at most one round for each size.
        level = (count - expected[~open_].sum()) / share[open_].sum()
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
    # The same 1e-9 may lift a count past its ceiling, and so past all the pairs there are.
    return np.minimum(drawn, np.ceil(expected - 1e-9).astype(np.int64))


def _distinct(n: int, size: int, count: int, total: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` distinct coalitions of a size, no two of them complements; all where it is all."""
    halved = 2 * size == n
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


def _fit(
    rows: Float[np.ndarray, "pairs n"],
    target: Float[np.ndarray, "pairs k"],
    weight: Float[np.ndarray, " pairs"],
    inclusion: Float[np.ndarray, " pairs"],
    shrink: bool,
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Deviations from the equal split, and their standard errors.

    ``rows`` are orthogonal to the vector of ones, so every fit in their span keeps the sum.
    """
    root = np.sqrt(weight)[:, None]
    # By the singular values of the rows and not by the normal equations, which square their
    # condition; the same decomposition serves every ridge and the leverages.
    left, values, right = np.linalg.svd(root * rows, full_matrices=False)
    # Directions that no sampled coalition moves; float64 rounding is 1e-16 of the largest.
    significant = values > 1e-10 * values[0]
    left, values, right = left[:, significant], values[significant], right[significant]
    aim = left.T @ (root * target)
    k = target.shape[1]
    scores = np.empty((rows.shape[1], k))
    errors = np.empty_like(scores)
    for output in range(k):
        scale = np.zeros(len(values))
        if shrink:
            scale = np.full(
                len(values), _ridge(left, values, (root * target)[:, output]) * values[0] ** 2
            )
        gain = values / (values**2 + scale)
        scores[:, output] = right.T @ (gain * aim[:, output])
        # The diagonal of the hat matrix, U diag(s gain) U^T.
        leverage = np.einsum("pr,r->p", left**2, values * gain)
        residual = (root * target)[:, output] - left @ (values * gain * aim[:, output])
        # A leverage of 1 leaves no residual to judge by; the floor keeps the errors finite.
        slack = np.maximum(1.0 - leverage, 1e-3)
        # A pair that was certain to be drawn adds no sampling error.
        sampled = np.where(inclusion < 1.0, np.sqrt(1.0 - inclusion), 0.0) * residual / slack
        # (X'WX)^-1 X' sqrt(W) diag(e): its rows' norms are the sandwich's standard errors. HC3 of
        # MacKinnon & White (1985), doi:10.1016/0304-4076(85)90158-7.
        spread = (right.T * gain) @ (left.T * sampled)
        errors[:, output] = np.sqrt((spread**2).sum(axis=1))
    return scores, errors


def _ridge(
    left: Float[np.ndarray, "pairs rank"],
    values: Float[np.ndarray, " rank"],
    target: Float[np.ndarray, " pairs"],
) -> float:
    """The ridge (relative to the largest eigenvalue) of least leave-one-pair-out error."""
    aim = left.T @ target
    best, chosen = np.inf, float(RIDGES[0])
    for ridge in RIDGES:
        fit = values**2 / (values**2 + ridge * values[0] ** 2)
        leverage = (left**2) @ fit
        slack = np.maximum(1.0 - leverage, 1e-6)  # only against division by zero
        # The error of leaving out one pair in closed form: of a linear fit it is the residual over
        # 1 - leverage (Allen's PRESS, 1974), so no fit is repeated.
        loss = float((((target - left @ (fit * aim)) / slack) ** 2).sum())
        if loss < best:
            best, chosen = loss, float(ridge)
    return chosen
