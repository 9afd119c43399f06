"""Sobol indices: the share of the answer's variance, over random removals, that a feature is behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from whence.attribution.method import Estimate, GameMethod
from whence.attribution.perturbation.shapley_values import all_coalitions
from whence.core.errors import unknown
from whence.core.statistics.student_error import student_errors
from whence.games.game import Game

__all__ = ["Sobol"]

ORDERS = ("total", "first")
DESIGNS = 16
"""Coalitions, each with its n neighbours, that are taken by default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sobol(GameMethod):
    """The share of the answer's variance over random coalitions that a feature is behind.

    Every feature is present with probability 1/2. The total index is the share of the variance
    that is left when all others are known, ``E[Var(v | all but i)] / Var(v) = E[d_i^2] / (4 Var(v))``
    with ``d_i = v(S + i) - v(S without i)``: the feature's own effect and every effect it has a part
    in. The first-order index is the share that goes when ``i`` alone is known, ``(E d_i)^2 / (4
    Var(v))``: the squared Banzhaf value. Where both agree, a feature acts alone; total indices
    add up to 1 in additive games and to more in others, first-order ones to 1 at most.

    No sign: an index tells how much a feature moves the answer and not which way, and the record
    says so by its unit. No share of ``v(N) - v(empty)`` either: it is of random halves of the text.

    Jansen's estimator, with each coalition's n neighbours: where Jansen takes a second draw of a
    feature, which is the first again in half of the cases, the feature is always changed. The variance
    is taken from all coalitions. Squares of means are products of different coalitions', which makes
    them unbiased; a first-order index that so falls below 0 is given as 0. Standard errors: jackknife
    over coalitions with their neighbours, widened as Student's t is; NaN below 3.

    Cost: the budget, 2 (n + 1) + 2 evaluations at least, by default 2 + (n + 1) max(16, 256 / (n +
    1)). From 2^n on all coalitions are taken, and the indices are exact.

    Args:
        order: index, ``total`` or ``first``.

    Sobol (2001), doi:10.1016/S0378-4754(00)00270-6; Jansen (1999), doi:10.1016/S0010-4655(98)00154-4;
    Fel, Cadene, Chalvidal, Cord, Vigouroux & Serre (2021), arXiv:2111.04138.

    Example:
        >>> from whence.games.game import FunctionGame
        >>> game = FunctionGame(3, lambda S: 3.0 * S[:, 0] - S[:, 1])
        >>> Sobol().estimate(game, budget=8, seed=0).scores[:, 0].round(3).tolist()
        [0.9, 0.1, 0.0]
    """

    order: str = "total"
    quantity: ClassVar[str] = "Sobol index"
    rank: ClassVar[int] = 42

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise unknown("order", self.order, ORDERS)

    def least(self, n: int) -> int:
        """Both ends and two coalitions with their neighbours, or 2^n where that is less."""
        return min(1 << n, 2 * (n + 1) + 2)

    def default_budget(self, n: int) -> int:
        """Both ends and 16 coalitions with their neighbours, 256 evaluations or more; at most 2^n."""
        return min(1 << n, 2 + (n + 1) * max(DESIGNS, -(-256 // (n + 1))))

    def estimate(self, game: Game, *, budget: int, seed: int) -> Estimate:
        """See :class:`Sobol`."""
        n = game.n
        ends = game(np.stack([np.ones(n, dtype=bool), np.zeros(n, dtype=bool)]))
        whole = budget >= 1 << n
        count = 1 << n if whole else (budget - 2) // (n + 1)
        rng = np.random.default_rng(seed)
        rows = all_coalitions(n) if whole else rng.random((count, n)) < 0.5
        values, changes = _neighbours(game, rows)
        everything = np.ones((1, count))
        scores = self._index(values, changes, everything, whole=whole)[0]
        errors = np.zeros_like(scores)
        note = f"{self.order} index, from {count} coalitions with all their neighbours"
        if not whole:
            without = self._index(values, changes, 1.0 - np.eye(count), whole=False)
            errors = student_errors(count * scores - (count - 1) * without)
            left = budget - 2 - count * (n + 1)
            if left:
                note += f"; {left} evaluations were not spent, another coalition takes {n + 1}"
        return Estimate(
            scores=np.maximum(scores, 0.0),
            values=ends[0],
            base_values=ends[1],
            std_errors=errors,
            unit="total Sobol index" if self.order == "total" else "first-order Sobol index",
            notes=(note,),
        )

    def _index(
        self,
        values: Float[np.ndarray, "m all k"],
        changes: Float[np.ndarray, "m n k"],
        take: Float[np.ndarray, "samples m"],
        *,
        whole: bool,
    ) -> Float[np.ndarray, "samples n k"]:
        """The index from each of several choices of the coalitions."""
        m = take.sum(axis=1)[:, None]

        def mean(terms: Float[np.ndarray, "m ..."]) -> Float[np.ndarray, "samples ..."]:
            return np.tensordot(take / m, terms, axes=1)

        def squared_mean(terms: Float[np.ndarray, "m n k"]) -> Float[np.ndarray, "samples n k"]:
            # Of all coalitions there is no sampling to be freed from.
            if whole:
                return mean(terms) ** 2
            count = m[:, :, None]
            return (count * mean(terms) ** 2 - mean(terms**2)) / np.maximum(count - 1, 1)

        # Around a common centre, for large values with small differences.
        values = values - values.mean(axis=(0, 1))
        variance = mean((values**2).mean(axis=1))[:, None] - squared_mean(
            values.mean(axis=1, keepdims=True)
        )
        part = (mean(changes**2) if self.order == "total" else squared_mean(changes)) / 4
        return np.divide(part, variance, out=np.zeros_like(part), where=variance > 0)


def _neighbours(
    game: Game, rows: Bool[np.ndarray, "m n"]
) -> tuple[Float[np.ndarray, "m all k"], Float[np.ndarray, "m n k"]]:
    """Values of each coalition and its n neighbours; what each feature adds in it."""
    m, n = rows.shape
    around = rows[:, None, :] ^ np.concatenate(
        [np.zeros((1, n), dtype=bool), np.eye(n, dtype=bool)]
    )
    values = game(around.reshape(-1, n)).reshape(m, n + 1, game.k)
    sign = np.where(rows, 1.0, -1.0)[:, :, None]
    return values, sign * (values[:, :1] - values[:, 1:])
