"""Input times gradient: the first-order estimate of what each feature adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from whence.attribution.method import Estimate, GradientMethod
from whence.games.embedding_game import EmbeddingGame

__all__ = ["InputXGradient"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InputXGradient(GradientMethod):
    """The gradient at the input, times the input's embedding, summed over each feature.

    ``score[i] = sum_{t in i} e[t] . dv/de[t]``: the change of the target, to first order, were the
    feature's embeddings scaled from one to zero. In the target's unit.

    Cost: one forward-and-backward pass, and one pass for the base value at the zero embedding.
    Misleads where the model saturates: a decisive word can have a flat gradient. The scores do not
    add up in general.

    Shrikumar, Greenside & Kundaje (2016), arXiv:1605.01713.
    """

    quantity: ClassVar[str] = "input times gradient"
    rank: ClassVar[int] = 60

    def least(self, n: int) -> int:
        """2 passes."""
        return 2

    def default_budget(self, n: int) -> int:
        """2 passes."""
        return 2

    def estimate(self, game: EmbeddingGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`InputXGradient`."""
        point = game.point()
        # The value where the features' embeddings are scaled to zero; frozen tokens keep theirs, as
        # no score is of them.
        values, slopes = game.at(np.stack([point, game.baseline("zero")]))
        per_token = (slopes[0] * point[None]).sum(axis=2).T
        return Estimate(
            scores=game.gather(per_token),
            values=values[0],
            base_values=values[1],
            notes=("a first-order estimate at one point: the scores need not add up",),
        )
