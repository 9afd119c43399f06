"""Gradient-weighted attention: weights that raise the target, propagated through the layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.attribution.attention.relevance_propagation import mass_estimate, propagate
from whence.attribution.method import AttentionMethod, Estimate
from whence.games.attention_game import AttentionGame, Passes, Run, row_blocks
from whence.models.internals.trace import Trace, TracedCall

__all__ = ["GradientWeightedAttention", "RaisingAttention"]


class RaisingAttention:
    """``E_h[(A * dv/dA)^+]`` for each output, without a gradient by the weights.

    A head's output is ``o[i] = sum_j A[i, j] v[j]``, so ``dv/dA[i, j] = dv/do[i] . v[j]`` exactly.
    """

    def __init__(self, trace: Trace, k: int) -> None:
        self.trace = trace
        self.k = k
        self._layer_cache: tuple[int, np.ndarray] | None = None

    def each(self, call: TracedCall) -> int:
        """All heads' weights of a row, and their gradients."""
        return (2 * call.heads + self.k) * call.keys

    def rows(
        self, call: TracedCall, start: int, stop: int
    ) -> tuple[Float[np.ndarray, "c rows keys"], Float[np.ndarray, " rows"]]:
        """See the class; everything stays besides, for relevance is added up."""
        if self._layer_cache is None or self._layer_cache[0] != call.index:
            self._layer_cache = (call.index, self.trace.value_vectors(call))
        values = self._layer_cache[1]
        weights = self.trace.weights(call, start, stop)
        products = np.empty((self.k, stop - start, call.keys))
        for output in range(self.k):
            # Weights are never stored, so there is no dv/dA to ask torch for; a head's output is
            # linear in them, which makes dv/do . v the same number.
            slope = self.trace.gradients(call, output)[start:stop].transpose(1, 0, 2)
            product = weights * (slope @ values.transpose(0, 2, 1))
            # The positive part of each head before the mean over heads: after it, a head against
            # the target would cancel one for it (equation 5).
            products[output] = np.maximum(product, 0.0).astype(np.float64).mean(axis=0)
        return products, np.ones(stop - start)


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientWeightedAttention(AttentionMethod):
    """Attention weighted by its gradient, the positive part propagated through the layers.

    ``R = (I + B_L) ... (I + B_1) - I`` with ``B_l = E_h[(A_h * dv/dA_h)^+]``; a token's score is
    its entry in the row of the explained position (positions by shares, as for ``Rollout``), a
    feature's the sum over its tokens. The identity that the recursion begins with is no
    evidence and is subtracted. Encoder-decoders follow the paper's rules for two streams: what a
    decoder's layer reads of the encoder is ``B`` times the encoder's relevance, rows normalised.

    Relevance: at least 0, without a sign and without a unit. Only what raises the target counts, so
    evidence against it scores zero.

    Cost: one forward-and-backward pass (a backward pass for each output), and each layer's weights
    once more. The model runs its own kernel and no weights are kept: the gradient by a weight is
    the gradient by the head's output times the value it reads, which is exact.

    Chefer, Gur & Wolf (2021), arXiv:2103.15679.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(
        ...     model, "She has missed 3 payments.", method="gradient-weighted-attention"
        ... )
        >>> e.unit, bool((e.scores >= 0).all())
        ('relevance', True)
    """

    quantity: ClassVar[str] = "gradient-weighted attention"
    rank: ClassVar[int] = 80

    def least(self, n: int, tokens: int) -> int:
        """1 pass."""
        return 1

    def estimate(self, game: AttentionGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`GradientWeightedAttention`."""
        passes = game.follow(slopes=True)
        mixing = RaisingAttention(passes.trace, game.k)
        if passes.encoder:
            per_token, written = _two_streams(game, passes, mixing)
        else:
            per_token, written = propagate(game, passes, mixing)
            for run in passes.runs:
                # The rows of the identity that the shares pick are the shares themselves.
                per_token = per_token - run.shares[:, : game.size].T
                written = written - run.shares[:, game.size :].sum(axis=1)
            # Subtracting the identity may leave rounding errors on either side of zero.
            per_token, written = np.maximum(per_token, 0.0), np.maximum(written, 0.0)
        return mass_estimate(game, passes, per_token, written, unit="relevance", what="relevance")


def _two_streams(
    game: AttentionGame, passes: Passes, mixing: RaisingAttention
) -> tuple[Float[np.ndarray, "tokens k"], Float[np.ndarray, " k"]]:
    """The paper's equations 6, 7, 10 and 11: relevance of the encoder's tokens to the decoder."""
    # Whole matrices here and not a row vector: cross layers read the encoder's relevance with its
    # rows normalised, which is not linear in it.
    encoder = np.repeat(np.eye(game.size)[None], game.k, axis=0)
    for call in passes.encoder:
        encoder = encoder + _whole(mixing, call) @ encoder
    source = _normalised(encoder)
    text = np.zeros((game.size, game.k))
    written = np.zeros(game.k)
    for run in passes.runs:
        decoder, other = _decoded(run, mixing, source)
        text += np.einsum("kq,kqj->jk", run.shares, other)
        written += np.einsum("kq,kqj->k", run.shares, decoder - np.eye(decoder.shape[1]))
    return text, written


def _decoded(
    run: Run, mixing: RaisingAttention, source: Float[np.ndarray, "k tokens tokens"]
) -> tuple[Float[np.ndarray, "k queries queries"], Float[np.ndarray, "k queries tokens"]]:
    size = run.shares.shape[1]
    decoder = np.repeat(np.eye(size)[None], mixing.k, axis=0)
    other = np.zeros((mixing.k, size, source.shape[1]))
    for call in run.calls:
        raising = _whole(mixing, call)
        if call.kind == "cross":
            # Equation 10: relevance that the decoder has mixed by then is passed on to what it
            # reads.
            other = other + _normalised(decoder).transpose(0, 2, 1) @ raising @ source
        else:
            decoder, other = decoder + raising @ decoder, other + raising @ other
    return decoder, other


def _whole(mixing: RaisingAttention, call: TracedCall) -> Float[np.ndarray, "k queries keys"]:
    blocks = [mixing.rows(call, *block)[0] for block in row_blocks(call, mixing.each(call))]
    return np.concatenate(blocks, axis=1)


def _normalised(
    relevance: Float[np.ndarray, "k rows rows"],
) -> Float[np.ndarray, "k rows rows"]:
    """Rows of what was added to the identity made to sum to one, and the identity again."""
    eye = np.eye(relevance.shape[1])
    added = relevance - eye
    total = added.sum(axis=2, keepdims=True)
    # A row to which nothing was added has only the rounding of the subtraction, about 1e-16.
    return np.divide(added, total, out=np.zeros_like(added), where=total > 1e-15) + eye
