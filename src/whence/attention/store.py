"""A record of attention with its arrays, and any weight on demand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from whence.attention.attention_states import AttentionStates
from whence.attention.statistics import LayerSummary, decode_weights
from whence.attention.tensors import Tensors
from whence.core.attention_record import AttentionLayer, AttentionRecord, HeadEntry
from whence.core.display import fragment_of, page_of, text_of
from whence.core.errors import OptionError, RecordError, WriteError, unknown
from whence.core.files import write_atomic

__all__ = ["Attention", "Head", "pack_layer", "pack_states"]

RECORD = "attention.json"


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One head of a record, and its weights.

    Attributes:
        entry: roles, effect and estimates of the head.
        layer: entry of its layer.
        exact: whether weights are computed from the model's own states; else from a matrix coded in 8
            bits as ``round(255 sqrt(w))``, off by at most 1/255 of the square root.
    """

    entry: HeadEntry
    layer: AttentionLayer
    exact: bool
    _states: AttentionStates | None
    _coded: np.ndarray | None

    def rows(self, queries: Sequence[int] | Int[np.ndarray, " rows"]) -> Float[np.ndarray, "r k"]:
        """All weights of some queries: ``[queries, keys]``. No pass of the model.

        Raises:
            OptionError: no such query.
        """
        chosen = np.asarray(queries, dtype=np.int64)
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < self.layer.queries):
            raise OptionError(
                f"{self.layer.name} has no query {int(chosen.max())}; it has queries 0 to "
                f"{self.layer.queries - 1}"
            )
        if self._states is not None:
            return self._states.weights(self.entry.head, chosen, slice(None))
        assert self._coded is not None
        return decode_weights(self._coded[chosen]).astype(np.float32)

    def tile(self, queries: slice, keys: slice) -> Float[np.ndarray, "rows columns"]:
        """The weights of a range of queries and a range of keys."""
        rows = np.arange(self.layer.queries)[queries]
        if self._states is not None:
            return self._states.weights(self.entry.head, rows, keys)
        assert self._coded is not None
        return decode_weights(self._coded[rows, keys]).astype(np.float32)

    def scores(self, queries: slice, keys: slice) -> Float[np.ndarray, "rows columns"]:
        """The scores that the softmax reads, before a mask.

        Raises:
            OptionError: the layer's states were not stored.
        """
        if self._states is None:
            raise OptionError(
                f"{self.layer.name} has no scores: only its weights were stored. "
                "Attend with keep='states'."
            )
        return self._states.scores(self.entry.head, np.arange(self.layer.queries)[queries], keys)

    @property
    def states(self) -> AttentionStates | None:
        """Queries, keys and normalisers of the head's layer, where they were stored."""
        return self._states


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """A record of attention with its arrays, each read at first use."""

    record: AttentionRecord
    tensors: Tensors

    def layer(self, name: str) -> LayerSummary:
        """The summary of every head of a layer.

        Raises:
            OptionError: no such layer, or its weights failed their certificate.
            RecordError: the file of numbers is missing or damaged.
        """
        self._shown(name)
        return LayerSummary(
            **{f.name: self.tensors[f"{name}/{f.name}"] for f in fields(LayerSummary)}
        )

    def states(self, name: str) -> AttentionStates | None:
        """The states of a layer; ``None`` where they were not stored."""
        layer = self._shown(name)
        if layer.states != "kept" or layer.scaling is None:
            return None
        parts = {
            part: _widen(self.tensors[f"{name}/{part}"], layer.states_dtype)
            for part in ("query", "key")
        }
        bias = f"{name}/bias"
        return AttentionStates(
            query=parts["query"],
            key=parts["key"],
            value_norm=self.tensors[f"{name}/value_norm"],
            lse=self.tensors[f"{name}/lse"],
            interval=self.tensors[f"{name}/interval"],
            bias=self.tensors.get(bias),
            scaling=layer.scaling,
            softcap=layer.softcap,
        )

    def head(self, layer: str, head: int) -> Head:
        """One head, with any of its weights on demand.

        Raises:
            OptionError: no such head, it is not shown, or neither the states of its layer nor
                its own matrix were stored.
        """
        entry = self._shown(layer)
        if not 0 <= head < entry.heads:
            raise OptionError(f"{layer} has no head {head}; it has heads 0 to {entry.heads - 1}")
        states = self.states(layer)
        coded = f"{layer}/matrix.{head}"
        if states is None and coded not in self.tensors:
            why = {
                "over_budget": "its states would take more than size_budget",
                "not_reproduced": "its weights are no softmax of scores that can be computed again",
            }.get(entry.states, "its states were not asked for")
            raise OptionError(
                f"the weights of head {head} of {layer} were not stored: {why}. "
                f"Attend with heads=[({layer!r}, {head})], or with keep='states'."
            )
        entries = [h for h in self.record.heads if (h.layer, h.head) == (layer, head)]
        return Head(
            entry=entries[0] if entries else HeadEntry(layer=layer, head=head),
            layer=entry,
            exact=states is not None,
            _states=states,
            _coded=None if states is not None else self.tensors[coded],
        )

    def _shown(self, name: str) -> AttentionLayer:
        for layer in self.record.layers:
            if layer.name == name:
                if not layer.shown:
                    raise OptionError(
                        f"the weights of {name} are not shown: computed again they miss the "
                        f"kernel's output by {layer.certificate:.1e}, more than {layer.limit:.0e}"
                    )
                return layer
        raise unknown("layer", name, [layer.name for layer in self.record.layers])

    def ranked(self) -> tuple[HeadEntry, ...]:
        """The measured heads, the largest effect first; random ones among them."""
        measured = [entry for entry in self.record.heads if entry.effect is not None]
        return tuple(sorted(measured, key=lambda entry: -abs(entry.effect or 0.0)))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``attention.json`` and ``<digest>.safetensors`` into a folder.

        Raises:
            WriteError: a file could not be written.
        """
        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise WriteError(
                f"could not make the folder {path}: {reason}; choose another place"
            ) from error
        # Arrays first: a record that is there always has its arrays beside it, also where the
        # second write fails.
        write_atomic(path / f"{self.record.tensors}.safetensors", self.tensors.data())
        self.record.save(path / RECORD)
        return path

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Attention:
        """Open what :meth:`save` wrote. Arrays are read, and checked, at first use.

        Raises:
            RecordError: a file is missing, damaged, or not the one that the record names.
        """
        record = AttentionRecord.load(Path(folder) / RECORD)
        if not record.manifest and any(layer.shown for layer in record.layers):
            raise RecordError(
                f"the arrays beside {Path(folder) / RECORD} were stored without a manifest, by an early "
                "whence; run whence.attend again. The record itself can be read: whence.read_record."
            )
        return cls(record=record, tensors=Tensors.open(folder, record.manifest))

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """A self-contained page; with a ``path`` also written there, whole or not at all."""
        return page_of(self, path)

    def __str__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return fragment_of(self)


def pack_layer(name: str, summary: LayerSummary) -> dict[str, np.ndarray]:
    """A layer's summary as named arrays."""
    return {f"{name}/{f.name}": getattr(summary, f.name) for f in fields(summary)}


def pack_states(name: str, states: AttentionStates, dtype: str) -> dict[str, np.ndarray]:
    """A layer's states as named arrays, queries and keys in the model's own dtype."""
    arrays = {f"{name}/{part}": _narrow(getattr(states, part), dtype) for part in ("query", "key")}
    for part in ("value_norm", "lse", "interval"):
        arrays[f"{name}/{part}"] = getattr(states, part)
    if states.bias is not None:
        arrays[f"{name}/bias"] = states.bias
    return arrays


def _narrow(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "float16":
        return array.astype(np.float16)
    if dtype == "bfloat16":
        # The upper half of a float32's bits; NumPy has no bfloat16.
        return (array.view(np.uint32) >> 16).astype(np.uint16)
    return array


def _widen(array: np.ndarray, dtype: str | None) -> np.ndarray:
    if dtype == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)
