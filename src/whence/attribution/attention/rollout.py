"""Attention rollout: mean attention and the residual stream, multiplied through the layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.attribution.attention.relevance_propagation import mass_estimate, propagate
from whence.attribution.method import AttentionMethod, Estimate
from whence.games.attention_game import AttentionGame
from whence.models.internals.trace import Trace, TracedCall

__all__ = ["MeanAttention", "Rollout"]


class MeanAttention:
    """Attention averaged over heads, half; the position itself, half; rows made to sum to one."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def each(self, call: TracedCall) -> int:
        """All heads' weights of a row."""
        return call.heads * call.keys

    def rows(
        self, call: TracedCall, start: int, stop: int
    ) -> tuple[Float[np.ndarray, "c rows keys"], Float[np.ndarray, " rows"]]:
        """See the class."""
        mean = self.trace.weights(call, start, stop).astype(np.float64).mean(axis=0)
        # A model with a learned sink (GPT-OSS) gives part of a row to no token.
        whole = mean.sum(axis=1) + 1.0
        return (mean / whole[:, None])[None], 1.0 / whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout(AttentionMethod):
    """Mean attention multiplied through the layers, from the explained position down to the tokens.

    ``R = A_L ... A_1`` with ``A_l = (mean over heads of the weights + I) / 2``, rows summing to
    one; a token's score is its entry in the row of the explained position, a feature's the sum
    over its tokens. The explained positions are found from the model: the norm of the target's
    gradient by the last attention layer's outputs, as shares. A decoder's layer that reads an
    encoder counts half for the encoder's states, half for the position itself.

    A share of mass: 0 to 1, without a sign, summing to one with the special tokens' share, which
    is noted. It shows where the model reads, not the effect on the target, and depends on the target
    only through the positions that are read: all labels of a classifier get the same scores.

    Cost: one forward-and-backward pass, and each layer's weights once more in blocks of rows.
    Misleads where mass gathers on tokens that hold little (sinks, punctuation), since weights take
    no account of what is read.

    Abnar & Zuidema (2020), arXiv:2005.00928.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "She has missed 3 payments.", method="rollout")
        >>> e.unit, bool(e.scores.sum() < 1)
        ('share of attention', True)
    """

    quantity: ClassVar[str] = "attention rollout"
    rank: ClassVar[int] = 130

    def least(self, n: int, tokens: int) -> int:
        """1 pass."""
        return 1

    def estimate(self, game: AttentionGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`Rollout`."""
        passes = game.follow()
        per_token, written = propagate(game, passes, MeanAttention(passes.trace))
        return mass_estimate(
            game, passes, per_token, written, unit="share of attention", what="attention"
        )
