"""ALTI's contributions of each token to each position, layer by layer, by proximity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, OptionError
from whence.games.attention_game import row_blocks
from whence.models.access import GivesHeads
from whence.models.internals.residual_addition import Addition
from whence.models.internals.trace import Trace, TracedCall, trace
from whence.models.internals.trace_hooks import TraceParts
from whence.models.protocols import Encoding, Input, TokenModel

__all__ = ["Proximity", "contributions", "proximities"]

MEMORY = 1 << 30
"""Bytes that the matrices of all layers may take by default: 1 GiB. Chosen by hand."""


def proximities(
    sent: Float[np.ndarray, "rows keys model"], result: Float[np.ndarray, "rows model"]
) -> Float[np.ndarray, "rows keys"]:
    """``max(0, ||y||_1 - ||y - t_j||_1)``: how much nearer a vector brings zero to the result.

    Example:
        >>> y = np.array([[2.0, 1.0]])
        >>> proximities(np.array([[[2.0, 0.0], [0.0, 0.5], [-1.0, 0.0]]]), y).tolist()
        [[2.0, 0.5, 0.0]]
    """
    whole = np.abs(result).sum(axis=1, keepdims=True)
    return np.maximum(whole - np.abs(result[:, None] - sent).sum(axis=2), 0.0)


class Proximity:
    """A layer's contributions, rows summing to one; the residual is on the diagonal where it can be."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._layer_cache: tuple[int, np.ndarray, Addition] | None = None

    def each(self, call: TracedCall) -> int:
        """The vector that each key sends to a row, and its distance."""
        # The vectors sent, their difference to the result and its size exist at the same time.
        return 3 * call.keys * self._layer(call)[1].shape[2]

    def _layer(self, call: TracedCall) -> tuple[int, np.ndarray, Addition]:
        if self._layer_cache is None or self._layer_cache[0] != call.index:
            vectors = self.trace.value_vectors(call) @ self.trace.projection(call)
            self._layer_cache = (call.index, vectors.transpose(1, 0, 2), self.trace.addition(call))
        return self._layer_cache

    def rows(
        self, call: TracedCall, start: int, stop: int
    ) -> tuple[Float[np.ndarray, "c rows keys"], Float[np.ndarray, " rows"]]:
        """See the class; for a layer that reads another stack, the residual's part is apart."""
        _, vectors, joins = self._layer(call)
        weights = self.trace.weights(call, start, stop)
        # A product for each key, [rows, heads] @ [heads, model]: BLAS does these, where einsum
        # without a path sums over heads in a plain loop.
        sent = (weights.transpose(2, 1, 0) @ vectors).transpose(1, 0, 2)
        if joins.inner is not None:
            sent = joins.inner.of(sent, start)
        residual = joins.residual[start:stop, None]
        lines = np.arange(stop - start)
        # Keys of another stack have no place for this stack's residual; it competes as one key
        # more.
        if call.kind == "cross":
            sent = np.concatenate([sent, residual], axis=1)
        else:
            sent[lines, lines + start] += residual[:, 0]
        if joins.outer is not None:
            sent = joins.outer.of(sent, start)
        # float32 as long as there is a vector for each pair; shares are multiplied through all
        # layers, so from here on in double precision.
        near = proximities(sent, joins.result[start:stop]).astype(np.float64)
        total = near.sum(axis=1)
        near /= np.where(total > 0, total, 1.0)[:, None]
        # Where no vector comes nearer to the output, the position keeps its share.
        stay = np.where(total > 0, 0.0, 1.0)
        if call.kind == "cross":
            return near[None, :, :-1], stay + near[:, -1]
        return near[None], stay


def contributions(
    model: Any,
    source: Input | Encoding,
    *,
    forced: Sequence[int] = (),
    memory: int = MEMORY,
) -> Float[np.ndarray, "layers tokens tokens"]:
    """ALTI's matrices, one a layer: row ``i`` is what position ``i`` gets from each token.

    Rows sum to one. Tokens are the input's, special ones included, and the ``forced`` ones after
    them; layers are in the order in which they run. See
    ``whence.Alti`` for what is computed.

    Cost: one forward pass, nothing differentiated; ``4 layers tokens^2`` bytes are returned.

    Raises:
        OptionError: the matrices would take more than ``memory`` bytes; the message says how many
            tokens fit.
        CapabilityError: no attention, an encoder-decoder, or a stream that cannot be followed.

    Example:
        >>> import whence
        >>> matrices = contributions(whence.load("embedded:credit"), "She has missed 3 payments.")
        >>> matrices.shape[0], bool(np.allclose(matrices.sum(axis=2), 1))
        (3, True)
    """
    if not isinstance(model, GivesHeads) or not isinstance(model, TokenModel):
        raise CapabilityError(
            f"{type(model).__name__} gives no attention; load a local transformers model by folder or "
            "Hugging Face id"
        )
    # An Encoding is taken as it is: encoding its text again may give other tokens (decision 4).
    encoding = source if isinstance(source, Encoding) else model.encode(source)
    size = len(encoding.ids) + len(forced)
    passes = trace(model, encoding, forced=forced, parts=TraceParts(stream=True))
    if any(call.kind == "cross" for call in passes.calls):
        raise CapabilityError(
            f"{model.identity.ref} reads with an encoder and writes with a decoder, whose layers share "
            "no set of tokens; use method='alti' of explain"
        )
    layers = len(passes.calls)
    if 4 * layers * size**2 > memory:
        fits = int((memory / (4 * layers)) ** 0.5)
        raise OptionError(
            f"contributions of {layers} layers and {size:,} tokens take "
            f"{4 * layers * size**2 / 2**20:,.0f} MiB; memory={memory:,} allows {fits:,} tokens. "
            "Shorten the text, or raise memory."
        )
    mixing = Proximity(passes)
    result = np.empty((layers, size, size), dtype=np.float32)
    for layer, call in enumerate(passes.calls):
        for start, stop in row_blocks(call, mixing.each(call)):
            parts, stay = mixing.rows(call, start, stop)
            result[layer, start:stop] = parts[0]
            lines = np.arange(start, stop)
            result[layer, lines, lines] += stay
    return result
