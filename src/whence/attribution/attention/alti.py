"""ALTI: contributions of tokens by the distance between the vector each sends and the sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from whence.attribution.attention.relevance_propagation import mass_estimate, propagate
from whence.attribution.method import AttentionMethod, Estimate
from whence.core.errors import CapabilityError
from whence.games.attention_game import AttentionGame
from whence.games.contributions import Proximity

__all__ = ["Alti"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Alti(AttentionMethod):
    """Contributions of tokens by the distance of the vector each sends to the layer's output.

    A layer sends position ``i`` from token ``j`` the vector ``T_i(x_j) = sum_h A_h[i, j] f_h(x_j)``
    (value vectors through the output projection) and, from itself, the residual ``x_i`` too. What
    comes out is ``y_i``, the residual stream after the attention layer. ``C[i, j]`` is
    ``max(0, ||y_i||_1 - ||y_i - T_i(x_j)||_1)``, rows made to sum to one. Layers are multiplied,
    ``C_L ... C_1``; a token's score is its entry in the row of the explained position (positions by
    shares, as for ``Rollout``), a feature's the sum over its tokens.

    The linearisation: weights are held; where a norm stands between the sum and ``y_i`` (norm
    last, as in BERT, or a norm of the layer's output, as in Gemma), its divisor is held at its
    value on the input, and its centring and gain are applied to each vector; its bias and the
    projection's are in ``y_i`` and in no ``T``. With the norm first (GPT-2, Llama) ``y_i`` is the
    sum itself. Feed-forward layers are taken to leave contributions as they are. In a decoder's
    layer that reads an encoder, the residual contributes beside the encoder's tokens.

    A share of mass: 0 to 1, without a sign, summing to one with the special tokens' share, which
    is noted. It knows the target only by the positions it is read from.

    Cost: one forward-and-backward pass, each layer's weights once more, and ``tokens^2 heads
    width`` multiplications a layer, in blocks of rows. Refused where the residual stream cannot be
    followed: blocks that run attention and feed-forward layer side by side.

    Ferrando, Gállego & Costa-jussà (2022), arXiv:2203.04212; for encoder-decoders
    arXiv:2205.11631.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "She has missed 3 payments.", method="alti")
        >>> e.unit, bool(e.scores.sum() < 1)
        ('share of contributions', True)
    """

    quantity: ClassVar[str] = "ALTI contribution, rolled out"
    rank: ClassVar[int] = 100

    def least(self, n: int, tokens: int) -> int:
        """1 pass."""
        return 1

    def estimate(self, game: AttentionGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`Alti`."""
        passes = game.follow(stream=True)
        try:
            per_token, written = propagate(game, passes, Proximity(passes.trace))
        except CapabilityError as error:
            also = ("Rollout", "AttentionFlow", "GradientWeightedAttention", "AttentionKnockout")
            raise game.refusal(str(error), *also) from error
        return mass_estimate(game, passes, per_token, written, unit="share of contributions")
