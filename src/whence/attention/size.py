"""How many bytes a record of attention will take, computed before the run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from whence.attention.common import local_model
from whence.attention.statistics import STATISTICS, THUMBNAIL, TOP
from whence.core.errors import ModelOutputError, OptionError, unknown
from whence.models.access import GivesAttention
from whence.models.internals.attention_capture import AttentionCall, LayerStates
from whence.models.protocols import Encoding, Input

__all__ = ["AttentionSize", "Heads", "Shapes", "attention_size"]

Heads = Sequence[tuple[str | int, int]]
"""Heads as a caller names them: pairs of a layer (name or number) and a head."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionSize:
    """Bytes that each part of a record takes, exact but for the files' headers.

    Attributes:
        tokens: number of tokens that are read, forced ones included.
        layers, heads: number of attention layers, and of heads in all of them.
        summary: bytes of statistics, thumbnails and heaviest keys of every head.
        states: bytes of queries and keys of every layer, from which every weight can be computed.
        matrices: bytes of the matrices of the heads named.
        weights: for comparison, bytes of all weights in float32.
    """

    tokens: int
    layers: int
    heads: int
    summary: int
    states: int
    matrices: int
    weights: int


class Shapes:
    """The attention layers of a model, and the sizes that a text's length does not change.

    Cost: one pass over two tokens of the input.
    """

    def __init__(self, model: GivesAttention, encoding: Encoding) -> None:
        self.calls: list[AttentionCall] = []
        self._states: dict[str, LayerStates] = {}
        self._read = len(encoding.ids)
        # The last token, since some classifiers read at the end token and refuse a text without.
        cut = [0, -1] if self._read > 1 else [0]
        types = encoding.token_types
        short = Encoding(
            document=encoding.document,
            ids=encoding.ids[cut],
            offsets=encoding.offsets[cut],
            frozen=encoding.frozen[cut],
            token_types=None if types is None else types[cut],
        )
        try:
            model.attention(short, self)
        except ModelOutputError:
            # Some layers take no text so short (pooled or chunked positions).
            self.calls.clear()
            model.attention(encoding, self)

    def states(self, call: AttentionCall, states: LayerStates) -> None:
        """Store the states of two tokens, for their sizes."""
        self._states[call.name] = states

    def rows(
        self,
        call: AttentionCall,
        start: int,
        weights: Float[np.ndarray, "batch heads rows keys"],
        seen: Bool[np.ndarray, "batch rows"],
    ) -> None:
        """No weight is stored."""

    def close(self, call: AttentionCall, error: float, rounding: float) -> None:
        """Store the layer's name and sizes."""
        self.calls.append(call)

    def resolve(self, heads: Heads | None) -> tuple[tuple[str, int], ...]:
        """Heads by the name of their layer.

        Raises:
            OptionError: no such layer or head.
        """
        names = {call.name: call.heads for call in self.calls}
        resolved: list[tuple[str, int]] = []
        for layer, head in heads or ():
            if isinstance(layer, int):
                if not 0 <= layer < len(self.calls):
                    raise OptionError(
                        f"there is no layer {layer}; expected 0 to {len(self.calls) - 1}, or a name: "
                        f"{', '.join(names)}"
                    )
                layer = self.calls[layer].name
            if layer not in names:
                raise unknown("layer", layer, list(names))
            if not 0 <= head < names[layer]:
                raise OptionError(
                    f"{layer} has no head {head}; it has heads 0 to {names[layer] - 1}"
                )
            resolved.append((layer, head))
        return tuple(dict.fromkeys(resolved))

    def size(self, *, forced: int, heads: Collection[tuple[str, int]]) -> AttentionSize:
        """The size of a record of the input and so many forced tokens."""
        decodes = any(call.kind == "cross" for call in self.calls)
        # A decoder reads its start token before what is forced.
        written = 1 + forced if decodes else 0
        read = self._read + (0 if decodes else forced)
        total = {"summary": 0, "states": 0, "matrices": 0, "weights": 0, "heads": 0}
        for call in self.calls:
            # Cross attention reads the text from the decoder's tokens.
            in_decoder = decodes and call.kind != "bidirectional"
            queries = written if in_decoder else read
            keys = written if in_decoder and call.kind == "causal" else read
            total["heads"] += call.heads
            total["weights"] += call.heads * queries * keys * 4
            total["summary"] += _summary_size(call.heads, queries, keys)
            chosen = sum(name == call.name for name, _ in heads)
            total["matrices"] += chosen * queries * keys
            states = self._states.get(call.name)
            if states is not None:
                total["states"] += _states_size(states, queries, keys)
        return AttentionSize(tokens=read + written, layers=len(self.calls), **total)


def attention_size(
    model: Any,
    source: Input,
    *,
    new_tokens: int = 0,
    heads: Heads | None = None,
) -> AttentionSize:
    """The size of what ``whence.attend`` will store of an input, without running it.

    Cost: one pass over two tokens.

    Args:
        model: local transformers model from :func:`whence.load`.
        source: text, pair of texts, or messages.
        new_tokens: number of written tokens that are read with it.
        heads: heads whose whole matrix is stored as well.

    Raises:
        CapabilityError: the model gives no attention.
        OptionError: no such layer or head.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> size = whence.attention_size(model, "She has missed 3 payments.")
        >>> size.layers, size.heads
        (3, 12)
    """
    known = local_model(model, "attention", gives=GivesAttention)
    if new_tokens < 0:
        raise OptionError(f"expected new_tokens of 0 or more, got new_tokens={new_tokens}")
    shapes = Shapes(model, known.encode(source))
    return shapes.size(forced=max(0, new_tokens - 1), heads=shapes.resolve(heads))


def _summary_size(heads: int, queries: int, keys: int) -> int:
    cells = min(THUMBNAIL, queries) * min(THUMBNAIL, keys)
    key = 2 if keys <= 1 << 16 else 4
    top = queries * (min(TOP, keys) * (key + 2) + 4)
    # Statistics are float64, of every head and of one with equal weights; each thumbnail takes a
    # byte a cell; each query its keys, a float16 for each of their weights, and a float32 for the
    # mass they hold.
    return heads * (8 * len(STATISTICS) + 2 * cells + top) + 8 * len(STATISTICS)


def _states_size(states: LayerStates, queries: int, keys: int) -> int:
    heads, _, width = states.query.shape
    groups = len(states.key)
    each = 2 if states.dtype in ("float16", "bfloat16") else 4
    bias = 0 if states.bias is None else 4 * heads * (queries + keys - 1)
    # Beside queries and keys: the length of each value and the normaliser of each row in float32,
    # and two int32 for the interval of each query.
    projections = each * width * (heads * queries + groups * keys)
    return projections + 4 * groups * keys + 4 * heads * queries + 8 * queries + bias
