"""Leave one out: how far the target falls when one feature alone is absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from whence.attribution.method import Estimate, GameMethod
from whence.games.game import Game

__all__ = ["LeaveOneOut"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaveOneOut(GameMethod):
    """How far the target falls when one feature alone is absent.

    ``score[i] = v(N) - v(N without i)``, in the target's unit; positive raised the target. Also
    known as occlusion. Exact, so there is no standard error.

    Cost: n + 2 evaluations. Misleads where causes are redundant: two facts that each suffice
    both score zero. The scores do not add up to anything in general.

    Zeiler & Fergus (2014), arXiv:1311.2901; Li, Monroe & Jurafsky (2016), arXiv:1612.08220.

    Example:
        >>> from whence.games.game import FunctionGame
        >>> game = FunctionGame(2, lambda S: 3.0 * S[:, 0] - S[:, 1])
        >>> LeaveOneOut().estimate(game, budget=4, seed=0).scores[:, 0].tolist()
        [3.0, -1.0]
    """

    quantity: ClassVar[str] = "leave-one-out effect"
    rank: ClassVar[int] = 40

    def least(self, n: int) -> int:
        """N + 2: every feature once, and both ends; 2 where the one feature's absence is an end."""
        return n + 2 if n > 1 else 2

    def default_budget(self, n: int) -> int:
        """The least."""
        return self.least(n)

    def estimate(self, game: Game, *, budget: int, seed: int) -> Estimate:
        """See :class:`LeaveOneOut`."""
        n = game.n
        # Of one feature the last row is the empty coalition again, which the game asks once.
        coalitions = np.concatenate(
            [np.ones((1, n), dtype=bool), np.zeros((1, n), dtype=bool), ~np.eye(n, dtype=bool)]
        )
        values = game(coalitions)
        return Estimate(
            scores=values[0] - values[2:],
            values=values[0],
            base_values=values[1],
        )
