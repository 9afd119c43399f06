"""Exact Shapley values from all coalitions."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from whence.attribution.method import Estimate, GameMethod
from whence.core.errors import OptionError
from whence.games.game import Game

__all__ = ["MOST_ENUMERATED", "MOST_FEATURES", "ShapleyValues", "all_coalitions"]

MOST_FEATURES = 14
"""2^14 evaluations take about ten seconds of a small model; each further feature doubles it."""
MOST_ENUMERATED = 20
"""Features from which on no method lists all coalitions: a million rows. Chosen by hand."""


def all_coalitions(n: int) -> Bool[np.ndarray, "m n"]:
    """All 2^n coalitions; row ``r`` holds feature ``i`` where bit ``i`` of ``r`` is set."""
    return (np.arange(1 << n)[:, None] >> np.arange(n) & 1).astype(bool)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapleyValues(GameMethod):
    """The Shapley value of every feature, from all coalitions.

    ``score[i]`` is the mean, over all orders in which features can join, of what ``i`` adds when
    it joins: the sum over S without i of ``|S|! (n-|S|-1)! / n! * (v(S + i) - v(S))``. In the
    target's unit; the scores add up to ``v(N) - v(empty)`` exactly.

    Cost: 2^n evaluations, so at most 14 features. Exact, so there is no standard error. Misleads
    where absent features make texts the model was never meant to read.

    Shapley (1953), doi:10.1515/9781400881970-018; Lundberg & Lee (2017), arXiv:1705.07874.

    Example:
        >>> from whence.games.game import FunctionGame
        >>> both = FunctionGame(2, lambda S: 1.0 * (S[:, 0] & S[:, 1]))
        >>> ShapleyValues().estimate(both, budget=4, seed=0).scores[:, 0].tolist()
        [0.5, 0.5]
    """

    quantity: ClassVar[str] = "Shapley value"
    rank: ClassVar[int] = 10

    def least(self, n: int) -> int:
        """2^n.

        Raises:
            OptionError: more than 14 features.
        """
        if n > MOST_FEATURES:
            raise OptionError(
                f"ShapleyValues needs 2^n evaluations and takes at most {MOST_FEATURES} features; "
                f"there are {n}. Use KernelShap, or a coarser unit (sentence, paragraph)."
            )
        return 1 << n

    def default_budget(self, n: int) -> int:
        """2^n."""
        return self.least(n)

    def estimate(self, game: Game, *, budget: int, seed: int) -> Estimate:
        """See :class:`ShapleyValues`."""
        n = game.n
        values = game(all_coalitions(n))
        rows = np.arange(1 << n)
        sizes = np.array([int(row).bit_count() for row in rows])
        # |S|! (n - |S| - 1)! / n! = 1 / (n C(n - 1, |S|)).
        weight = np.array([1.0 / (n * comb(n - 1, s)) if s < n else 0.0 for s in range(n + 1)])
        scores = np.empty((n, game.k))
        for i in range(n):
            # A row's number is its coalition in bits (see all_coalitions), so the partner is one
            # bit away.
            without = rows[(rows >> i & 1) == 0]
            gain = values[without | 1 << i] - values[without]
            scores[i] = weight[sizes[without]] @ gain
        return Estimate(
            scores=scores,
            values=values[-1],
            base_values=values[0],
            additive=True,
            by_construction=True,
        )
