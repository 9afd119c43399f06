"""Norm-based attention: the length of the vector that each token adds to a position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.attribution.attention.relevance_propagation import mass_estimate, propagate
from whence.attribution.method import AttentionMethod, Estimate
from whence.core.errors import CapabilityError
from whence.games.attention_game import AttentionGame
from whence.models.internals.trace import Trace, TracedCall

__all__ = ["NormBased", "NormShares", "written_norms"]

_KEYS = 256
"""Keys whose Gram matrices are computed at a time: 256 vectors of each head; chosen by hand."""


def written_norms(
    weights: Float[np.ndarray, "heads rows keys"], grams: Float[np.ndarray, "keys heads heads"]
) -> Float[np.ndarray, "rows keys"]:
    """``||sum_h A_h[i, j] F_h[j]||`` from Gram matrices ``G_j = F_j F_j^T`` of the heads' vectors.

    ``||sum_h a_h F_h||^2 = a^T G a``: no vector of every pair of tokens is made.
    """
    # Where heads' vectors oppose each other a^T G a is a small difference of large squares: in
    # float32 half of its digits would be gone, and it may come out below zero.
    pairs = weights.astype(np.float64).transpose(2, 1, 0)
    squares = ((pairs @ grams) * pairs).sum(axis=2).T
    return np.sqrt(np.maximum(squares, 0.0))


class NormShares:
    """Norms of the vectors that each key adds to a position, half; the position itself, half."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._layer_cache: tuple[int, np.ndarray] | None = None

    def each(self, call: TracedCall) -> int:
        """All heads' weights of a row, in double precision, twice."""
        # In numbers of float32: the weights once, and two arrays of twice their width.
        return 5 * call.heads * call.keys

    def norms(self, call: TracedCall, start: int, stop: int) -> Float[np.ndarray, "rows keys"]:
        """``||sum_h A_h[i, j] f_h(x_j)||`` of some rows of a layer."""
        if self._layer_cache is None or self._layer_cache[0] != call.index:
            self._layer_cache = (call.index, self._grams(call))
        return written_norms(self.trace.weights(call, start, stop), self._layer_cache[1])

    def _grams(self, call: TracedCall) -> Float[np.ndarray, "keys heads heads"]:
        values, projection = self.trace.value_vectors(call), self.trace.projection(call)
        grams = np.empty((call.keys, call.heads, call.heads))
        for start in range(0, call.keys, _KEYS):
            vectors = (values[:, start : start + _KEYS] @ projection).transpose(1, 0, 2)
            # The squares begin here; see written_norms.
            vectors = vectors.astype(np.float64)
            grams[start : start + _KEYS] = vectors @ vectors.transpose(0, 2, 1)
        return grams

    def rows(
        self, call: TracedCall, start: int, stop: int
    ) -> tuple[Float[np.ndarray, "c rows keys"], Float[np.ndarray, " rows"]]:
        """See the class; a row to which nothing is added keeps all."""
        norms = self.norms(call, start, stop)
        total = norms.sum(axis=1)
        half = np.where(total > 0, 0.5, 0.0)
        return (norms * (half / np.where(total > 0, total, 1.0))[:, None])[None], 1.0 - half


@dataclass(frozen=True, kw_only=True, slots=True)
class NormBased(AttentionMethod):
    """Attention measured by the length of the vector it adds, propagated through the layers.

    In each layer ``N[i, j] = ||sum_h A_h[i, j] f_h(x_j)||``, where ``f_h(x_j)`` is the head's value
    vector of token ``j`` through the head's part of the output projection, biases of the
    projection left out. The paper compares these norms layer by layer; to score tokens, each row is
    made to sum to one and propagated through the layers as in ``Rollout``: half of it, and half the
    position itself. A feature's score is the sum over its tokens.

    A share of mass: 0 to 1, without a sign, summing to one with the special tokens' share, which
    is noted. Where weights gather on a token that holds little, its vectors are short and it gets
    little. It knows the target only by the positions it is read from, and neither the feed-forward
    layers nor the direction in which a vector points.

    Cost: one forward-and-backward pass, each layer's weights once more, and ``tokens^2 heads^2``
    multiplications a layer: norms come from a Gram matrix of the heads for each token. Needs a
    linear output projection, which is found by what it reads; a gated one is refused.

    Kobayashi, Kuribayashi, Yokoi & Inui (2020), arXiv:2004.10102.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "She has missed 3 payments.", method="norm-based")
        >>> e.unit, bool(e.scores.sum() < 1)
        ('share of norms', True)
    """

    quantity: ClassVar[str] = "norm-based attention, rolled out"
    rank: ClassVar[int] = 110

    def least(self, n: int, tokens: int) -> int:
        """1 pass."""
        return 1

    def estimate(self, game: AttentionGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`NormBased`."""
        passes = game.follow()
        try:
            per_token, written = propagate(game, passes, NormShares(passes.trace))
        except CapabilityError as error:
            also = ("Rollout", "AttentionFlow", "GradientWeightedAttention", "AttentionKnockout")
            raise game.refusal(str(error), *also) from error
        return mass_estimate(game, passes, per_token, written, unit="share of norms")
