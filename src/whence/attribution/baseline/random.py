"""Random scores: what any method must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from whence.attribution.method import Estimate, GameMethod
from whence.games.game import Game

__all__ = ["Random"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Random(GameMethod):
    """Standard normal scores that do not depend on the model.

    They are drawn from the seed alone and have no scale: a metric that does not rank a method above
    them has measured nothing. Cost: 2 evaluations, for the values at both ends.

    Example:
        >>> from whence.games.game import FunctionGame
        >>> game = FunctionGame(2, lambda S: 1.0 * S[:, 0])
        >>> Random().estimate(game, budget=2, seed=0).scores[:, 0].round(3).tolist()
        [0.126, -0.132]
    """

    quantity: ClassVar[str] = "nothing (random numbers)"
    rank: ClassVar[int] = 140

    def least(self, n: int) -> int:
        """2: both ends."""
        return 2

    def default_budget(self, n: int) -> int:
        """2."""
        return 2

    def estimate(self, game: Game, *, budget: int, seed: int) -> Estimate:
        """See :class:`Random`."""
        n = game.n
        ends = game(np.stack([np.ones(n, dtype=bool), np.zeros(n, dtype=bool)]))
        scores = np.random.default_rng(seed).standard_normal((n, game.k))
        return Estimate(
            scores=scores,
            values=ends[0],
            base_values=ends[1],
            notes=("these scores are random numbers; they explain nothing",),
        )
