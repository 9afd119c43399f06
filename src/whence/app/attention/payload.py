"""The numbers of the attention views: one tree, and its arrays by name.

The tree's form is the contract of ``web/src/core/contract.ts``. Arrays are little-endian; weights
are coded as ``round(255 sqrt(w))`` in 8 bits and ``round(65535 w)`` in 16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from whence.app.shared.formatting import answer, layer_names, number
from whence.attention.statistics import STATISTICS, LayerSummary, code_weights
from whence.attention.store import Attention, Head
from whence.core.attention_record import SET_TITLES, AttentionLayer, AttentionRecord, HeadEntry
from whence.core.errors import OptionError

__all__ = ["Budget", "Payload", "payload_of"]

Tree = dict[str, Any]

TITLE = 80
"""Characters of a page's title, at most: about what a tab or a window shows. Chosen by hand."""

BLOCK = 256
"""Rows of a head's matrix that are in float32 at once: 8 MB for 8,192 keys. Chosen by hand."""

_DTYPES = {"uint8": "u8", "uint16": "u16", "uint32": "u32", "float32": "f32"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Bytes of a page, before they are coded as text. Chosen by hand; not calibrated.

    Attributes:
        lenses: bytes for the heaviest keys of heads, largest effect first.
        matrices: bytes for whole matrices, queries and keys of heads, largest effect first; one head
            is always there, however large.
    """

    lenses: int = 6_000_000
    matrices: int = 6_000_000


@dataclass(slots=True, eq=False)
class Payload:
    """The tree and its arrays."""

    tree: Tree = field(default_factory=dict[str, Any])
    arrays: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def pack(self, array: np.ndarray) -> Tree:
        """Put an array beside the tree, and name it."""
        ref = f"a{len(self.arrays)}"
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        self.arrays[ref] = little.tobytes()
        return {"dtype": _DTYPES[array.dtype.name], "shape": list(array.shape), "ref": ref}


def payload_of(attention: Attention, budget: Budget | None = None) -> Payload:
    """The numbers that the views read of a record, within a budget of bytes."""
    budget = budget or Budget()
    record = attention.record
    payload = Payload()
    tokens = _tokens(record)
    decoder = [
        {"text": t.text, "written": position > 0, "special": t.special}
        for position, t in enumerate(record.decoder_tokens)
    ]
    model = record.provenance.model
    names = layer_names([layer.name for layer in record.layers])
    order = _order(record.heads)
    summaries = {x.name: attention.layer(x.name) for x in record.layers if x.shown}
    lenses = _lenses(payload, attention, order, summaries, budget)
    payload.tree = {
        "version": 1,
        "title": _title(record.document.text),
        "model": f"{model.ref} ({model.architecture})",
        "decision": {
            "text": answer(record.decision),
            "scores": [{"name": s.name, "value": s.value} for s in record.decision.scores],
            "unit": record.decision.unit,
        },
        "tokens": tokens,
        "decoderTokens": decoder,
        "statistics": [{"name": name, "unit": STATISTICS[name]} for name in record.statistics],
        "layers": [
            _layer(payload, layer, summaries, lenses, name=names[layer.name], decodes=bool(decoder))
            for layer in record.layers
        ],
        "effects": _effects(attention),
        "flow": _flow(payload, attention),
        "notes": [*record.notes, *_agreement(attention)],
    }
    return payload


def _tokens(record: AttentionRecord) -> list[Tree]:
    """Tokens with the white space before them, which their characters leave out."""
    text, reached = record.document.text, 0
    tokens: list[Tree] = []
    for token in record.tokens:
        if token.written or token.end == token.start:
            label = token.text
        else:
            # A character that several tokens share is shown once, at the first of them.
            gap = text[reached : token.start]
            rest = text[max(token.start, reached) : token.end]
            label = gap + rest if gap.isspace() else rest
        tokens.append({"text": label, "written": token.written, "special": token.special})
        if not token.written:
            reached = max(reached, token.end)
    return tokens


def _title(text: str, most: int = TITLE) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "\u2026"


def _order(heads: Sequence[HeadEntry]) -> list[tuple[str, int]]:
    """Heads by measured effect, then by estimate, the largest first."""

    def size(entry: HeadEntry) -> tuple[float, float]:
        return (-abs(entry.effect or 0.0), -abs(entry.gradient or 0.0))

    return [(entry.layer, entry.head) for entry in sorted(heads, key=size)]


def _lenses(
    payload: Payload,
    attention: Attention,
    order: Sequence[tuple[str, int]],
    summaries: dict[str, LayerSummary],
    budget: Budget,
) -> dict[str, list[Tree]]:
    lenses: dict[str, list[Tree]] = {}
    spent_lenses = spent_matrices = 0
    for name, head in order:
        if name not in summaries:
            continue
        summary = summaries[name]
        keys = summary.top_keys[head]
        size = keys.size * (keys.dtype.itemsize + 2) + 4 * len(keys)
        # The end and no gap: heads come by effect, and a small one further down must not be shown
        # in place of a larger one.
        if lenses and spent_lenses + size > budget.lenses:
            break
        spent_lenses += size
        weights = np.rint(65535 * summary.top_weights[head].astype(np.float64))
        lens: Tree = {
            "head": head,
            "keys": payload.pack(keys),
            "weights": payload.pack(weights.astype(np.uint16)),
            "captured": payload.pack(summary.captured[head]),
        }
        whole = _whole(attention, name, head)
        if whole is not None:
            cells = whole.layer.queries * whole.layer.keys
            if spent_matrices == 0 or spent_matrices + cells <= budget.matrices:
                spent_matrices += cells
                lens["full"] = payload.pack(_coded(whole))
                lens.update(_states(payload, whole))
        lenses.setdefault(name, []).append(lens)
    return lenses


def _whole(attention: Attention, name: str, head: int) -> Head | None:
    try:
        return attention.head(name, head)
    except OptionError:  # neither its states nor its matrix were stored
        return None


def _coded(head: Head, block: int = BLOCK) -> np.ndarray:
    rows = range(0, head.layer.queries, block)
    tiles = [head.tile(slice(start, start + block), slice(None)) for start in rows]
    return code_weights(np.concatenate(tiles))


def _states(payload: Payload, head: Head) -> Tree:
    states = head.states
    # The views multiply queries and keys; scores with a cap or a bias are more than that.
    if states is None or states.softcap is not None or states.bias is not None:
        return {}
    group = states.group(head.entry.head)
    return {
        "states": {
            "query": payload.pack(states.query[head.entry.head]),
            "key": payload.pack(states.key[group]),
            "valueNorm": payload.pack(states.value_norm[group]),
            "scaling": states.scaling,
        }
    }


def _layer(
    payload: Payload,
    layer: AttentionLayer,
    summaries: dict[str, LayerSummary],
    lenses: dict[str, list[Tree]],
    *,
    name: str,
    decodes: bool,
) -> Tree:
    writes = decodes and layer.attention != "bidirectional"
    tree: Tree = {
        "name": name,
        "attention": layer.attention,
        "heads": layer.heads,
        "queries": layer.queries,
        "keys": layer.keys,
        "queryTokens": "decoderTokens" if writes else "tokens",
        "keyTokens": "decoderTokens" if writes and layer.attention == "causal" else "tokens",
        "certificate": layer.certificate,
        "limit": layer.limit,
        "shown": layer.shown,
        "lens": sorted(lenses.get(layer.name, []), key=lambda lens: int(lens["head"])),
    }
    if layer.name in summaries:
        summary = summaries[layer.name]
        tree["statistics"] = payload.pack(summary.statistics.astype(np.float32))
        tree["largest"] = payload.pack(summary.largest)
        tree["mean"] = payload.pack(summary.mean)
    return tree


def _effects(attention: Attention) -> Tree | None:
    effects = attention.record.effects
    if effects is None:
        return None
    # The views name layers by place, which is shorter than a path in each of some hundred rows.
    indices = {layer.name: index for index, layer in enumerate(attention.record.layers)}
    return {
        "output": effects.output.name,
        "unit": effects.output.unit,
        "value": effects.value,
        "ablation": effects.ablation,
        "draws": effects.draws,
        "confidence": effects.confidence,
        "rows": [
            {
                "layer": indices[entry.layer],
                "head": entry.head,
                "chosen": entry.chosen,
                "direct": entry.direct,
                "gradient": entry.gradient,
                "effect": entry.effect,
                "low": entry.low,
                "high": entry.high,
                "roles": [{"name": r.name, "score": r.value} for r in entry.roles],
                "cluster": entry.cluster,
            }
            for entry in attention.record.heads
        ],
        "sets": [
            {
                "title": SET_TITLES[each.chosen],
                "heads": [[indices[layer], head] for layer, head in each.heads],
                "effect": each.effect,
                "low": each.low,
                "high": each.high,
                "random": list(each.random),
            }
            for each in effects.sets
        ],
    }


def _flow(payload: Payload, attention: Attention) -> Tree | None:
    flow = attention.record.flow
    if flow is None:
        return None
    return {
        "quantity": flow.quantity,
        "tokens": "tokens",
        "target": flow.target,
        "pooled": flow.pooled,
        "contributions": payload.pack(attention.tensors["flow"].astype(np.float32)),
    }


def _agreement(attention: Attention) -> list[str]:
    effects = attention.record.effects
    if effects is None or math.isnan(effects.agreement):
        return []
    count = sum(entry.effect is not None for entry in attention.record.heads)
    return [
        f"The gradient estimate ranks the {count} measured heads as their effects do to a Spearman "
        f"correlation of {number(effects.agreement)}; {effects.cost.evaluations:,} evaluations."
    ]
