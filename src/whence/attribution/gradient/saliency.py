"""Saliency: the length of the gradient at the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from whence.attribution.method import Estimate, GradientMethod
from whence.games.embedding_game import EmbeddingGame

__all__ = ["Saliency"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Saliency(GradientMethod):
    """How steep the target is by a feature's embeddings: the L2 norm of its gradient.

    ``score[i] = sqrt(sum_{t in i} |dv/de[t]|^2)``: by how much the target changes at most, to first
    order, for a step of length 1 of the feature's embeddings. Over the tokens of a feature the
    squares are added, so it is the norm of one gradient, and a mean of nothing.

    No sign, and not in the target's unit: the record says so. What a small change of an embedding
    would do is not what the word does; a feature at which the model saturates has a norm near
    zero, however decisive.

    Cost: one forward-and-backward pass.

    Simonyan, Vedaldi & Zisserman (2013), arXiv:1312.6034; Li, Chen, Hovy & Jurafsky (2016),
    doi:10.18653/v1/N16-1082.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "She has missed 3 payments.", method="saliency")
        >>> e.unit, e.provenance.cost.gradient_evaluations >= 1
        ('gradient norm', True)
    """

    quantity: ClassVar[str] = "norm of the gradient"
    rank: ClassVar[int] = 62

    def least(self, n: int) -> int:
        """1 pass."""
        return 1

    def default_budget(self, n: int) -> int:
        """1 pass."""
        return 1

    def estimate(self, game: EmbeddingGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`Saliency`."""
        values, slopes = game.at(game.point()[None])
        return Estimate(
            scores=np.sqrt(game.gather((slopes[0] ** 2).sum(axis=2).T)),
            values=values[0],
            base_values=np.full(game.k, np.nan),
            unit="gradient norm",
        )
