"""What keeping attention is going to take, told before the run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from whence.attention.statistics import STATISTICS, THUMBNAIL, TOP
from whence.core.errors import OptionError, unknown
from whence.models.internals.attention_capture import AttentionCall, LayerStates
from whence.models.protocols import Encoding, GivesAttention

__all__ = ["AttentionSize", "Shapes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionSize:
    """Bytes that each part of a record takes, exact but for the files' headers.

    Attributes:
        tokens: read, forced ones included.
        layers, heads: of attention, all layers together.
        summary: statistics, thumbnails and heaviest keys of every head.
        states: queries and keys of every layer, from which every weight comes back.
        matrices: of the heads asked for.
        weights: for comparison, what all weights would take in float32.
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
        cut = slice(0, 2)
        types = encoding.token_types
        short = Encoding(
            document=encoding.document,
            ids=encoding.ids[cut],
            offsets=encoding.offsets[cut],
            frozen=encoding.frozen[cut],
            token_types=None if types is None else types[cut],
        )
        model.attention(short, self)

    def states(self, call: AttentionCall, states: LayerStates) -> None:
        """Look at the sizes."""
        self._states[call.name] = states

    def rows(
        self,
        call: AttentionCall,
        start: int,
        weights: Float[np.ndarray, "batch heads rows keys"],
        seen: Bool[np.ndarray, "batch rows"],
    ) -> None:
        """Nothing is kept."""

    def close(self, call: AttentionCall, error: float, rounding: float) -> None:
        """Note the layer."""
        self.calls.append(call)

    def resolve(self, heads: Sequence[tuple[str | int, int]] | None) -> tuple[tuple[str, int], ...]:
        """Heads by the name of their layer.

        Raises:
            OptionError: no such layer or head.
        """
        names = {call.name: call.heads for call in self.calls}
        found: list[tuple[str, int]] = []
        for layer, head in heads or ():
            if isinstance(layer, int):
                if not 0 <= layer < len(self.calls):
                    raise OptionError(
                        f"layer {layer} asked; there are {len(self.calls)} attention layers: "
                        f"{', '.join(names)}"
                    )
                layer = self.calls[layer].name
            if layer not in names:
                raise unknown("layer", layer, list(names))
            if not 0 <= head < names[layer]:
                raise OptionError(f"head {head} asked; {layer} has heads 0 to {names[layer] - 1}")
            found.append((layer, head))
        return tuple(dict.fromkeys(found))

    def size(self, *, forced: int, heads: Collection[tuple[str, int]]) -> AttentionSize:
        """What a record of the input and so many forced tokens is going to take."""
        decodes = any(call.kind == "cross" for call in self.calls)
        written = 1 + forced if decodes else 0
        read = self._read + (0 if decodes else forced)
        total = {"summary": 0, "states": 0, "matrices": 0, "weights": 0, "heads": 0}
        for call in self.calls:
            in_decoder = decodes and call.kind != "bidirectional"
            queries = written if in_decoder else read
            keys = written if in_decoder and call.kind == "causal" else read
            total["heads"] += call.heads
            total["weights"] += call.heads * queries * keys * 4
            total["summary"] += _summary(call.heads, queries, keys)
            chosen = sum(name == call.name for name, _ in heads)
            total["matrices"] += chosen * queries * keys
            states = self._states.get(call.name)
            if states is not None:
                total["states"] += _kept(states, queries, keys)
        return AttentionSize(tokens=read + written, layers=len(self.calls), **total)


def _summary(heads: int, queries: int, keys: int) -> int:
    cells = min(THUMBNAIL, queries) * min(THUMBNAIL, keys)
    key = 2 if keys <= 1 << 16 else 4
    top = queries * (min(TOP, keys) * (key + 2) + 4)
    return heads * (8 * len(STATISTICS) + 2 * cells + top) + 8 * len(STATISTICS)


def _kept(states: LayerStates, queries: int, keys: int) -> int:
    heads, _, width = states.query.shape
    groups = len(states.key)
    each = 2 if states.dtype in ("float16", "bfloat16") else 4
    bias = 0 if states.bias is None else 4 * heads * (queries + keys - 1)
    kept = each * width * (heads * queries + groups * keys)
    return kept + 4 * groups * keys + 4 * heads * queries + 8 * queries + bias
