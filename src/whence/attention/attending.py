"""Watch a model read one input, and keep what every head did."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float, Int
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from whence._version import __version__
from whence.attention.statistics import STATISTICS, HeadStatistics, LayerSummary
from whence.core.attention_record import AttentionLayer, AttentionRecord, ReadToken
from whence.core.errors import CapabilityError, OptionError, RecordError, unknown
from whence.core.files import write_atomic
from whence.core.provenance import Cost, MethodSpec, Provenance, Setting
from whence.models.interface import Encoding, GivesAttention, Input, TokenModel
from whence.models.watching import AttentionCall

__all__ = ["LIMIT", "Attention", "attend"]

LIMIT = 1e-3
"""The largest certificate with which a layer's weights are kept, in full precision."""


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """A record of attention with its numbers, by layer name."""

    record: AttentionRecord
    layers: Mapping[str, LayerSummary]

    def layer(self, name: str) -> LayerSummary:
        """What was kept of a layer.

        Raises:
            OptionError: no such layer, or its weights failed their certificate.
        """
        if name in self.layers:
            return self.layers[name]
        for layer in self.record.layers:
            if layer.name == name:
                raise OptionError(
                    f"the weights of {name} are not shown: computed again they miss the kernel's "
                    f"output by {layer.certificate:.1e}, more than {layer.limit:.0e}"
                )
        raise unknown("layer", name, list(self.layers))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``attention.json`` and ``<digest>.safetensors`` into a folder.

        Raises:
            WriteError: a file could not be written.
        """
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        data = _pack(self.layers)
        write_atomic(place / f"{self.record.tensors}.safetensors", data)
        self.record.save(place / "attention.json")
        return place

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Attention:
        """Read back what :meth:`save` wrote.

        Raises:
            RecordError: a file is missing, damaged, or not the one that the record names.
        """
        record = AttentionRecord.load(Path(folder) / "attention.json")
        path = Path(folder) / f"{record.tensors}.safetensors"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RecordError(f"could not read {path}: {error.strerror or error}") from error
        found = hashlib.sha256(data).hexdigest()
        if found != record.tensors:
            raise RecordError(
                f"{path} has SHA-256 {found[:12]}..., the record names {record.tensors[:12]}...: "
                "the file was changed or cut off"
            )
        tensors = read_tensors(data)
        names = [layer.name for layer in record.layers if layer.shown]
        parts = [field.name for field in fields(LayerSummary)]
        layers = {
            name: LayerSummary(**{part: tensors[f"{name}/{part}"] for part in parts})
            for name in names
        }
        return cls(record=record, layers=layers)


def attend(
    model: Any,
    source: Input,
    *,
    generate: bool = False,
    max_new_tokens: int = 64,
    row_block: int = 64,
) -> Attention:
    """Where a model reads: statistics, thumbnails and heaviest keys of every attention head.

    The model runs its own kernel; its output is not changed. Weights are computed again in blocks
    of ``row_block`` queries and reduced at once, so memory grows with ``heads x row_block x n``,
    not with ``n^2``. Each layer carries a certificate; above 1e-3 (in half precision: above
    the rounding of its dtype) nothing of it is kept.

    With ``generate`` the model's greedy continuation, of at most ``max_new_tokens``, is read with
    the prompt in one pass: one lower-triangular matrix over both, which is what step-by-step
    generation with a cache reads, up to the rounding of floats.

    Cost: two passes (one watched, one for the decision) and the weights of each layer once more;
    with ``generate`` a pass for each token before that. ``provenance.cost`` counts the first two.

    Raises:
        CapabilityError: the model gives no attention, or does not generate.
        OptionError: ``max_new_tokens`` or ``row_block`` below 1.

    Example:
        >>> import whence
        >>> found = whence.attend(whence.load("embedded:credit"), "She has missed 3 payments.")
        >>> [(layer.heads, layer.shown) for layer in found.record.layers]
        [(4, True), (4, True), (4, True)]
    """
    if not isinstance(model, GivesAttention) or not isinstance(model, TokenModel):
        raise CapabilityError(
            f"attention asked of {type(model).__name__}, which gives only scores. Attention needs "
            "a local transformers model, given by folder or id."
        )
    for name, value in (("max_new_tokens", max_new_tokens), ("row_block", row_block)):
        if value < 1:
            raise OptionError(f"{name}={value} asked; it must be 1 or more")
    if generate and model.task not in {"causal", "seq2seq"}:
        raise CapabilityError(
            f"generate=True asked of a model for {model.task}; only causal and seq2seq models write"
        )
    started = time.perf_counter()
    encoding = model.encode(source)
    forced = cast("Any", model).greedy(encoding, max_new_tokens) if generate else []
    # The last token written is read by no one.
    read = forced[:-1]
    tokens, decoder = _tokens(model, encoding, read)
    sink = _Summaries(
        ids=np.array([token.id for token in tokens], dtype=np.int64),
        decoder_ids=np.array([token.id for token in decoder], dtype=np.int64),
    )
    notes = model.attention(encoding, sink, forced=read, row_block=row_block)
    layers = {name: found.summary() for name, found in sink.found.items() if sink.shown(name)}
    options: dict[str, Setting] = {
        "generate": generate,
        "max_new_tokens": max_new_tokens if generate else None,
        "row_block": row_block,
    }
    record = AttentionRecord(
        document=encoding.document,
        decision=model.decide(encoding),
        tokens=tokens,
        decoder_tokens=decoder,
        layers=tuple(sink.layer(call) for call in sink.calls),
        statistics=tuple(STATISTICS),
        tensors=hashlib.sha256(_pack(layers)).hexdigest(),
        notes=notes,
        provenance=Provenance(
            whence=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            model=model.identity,
            method=MethodSpec(name="attend", options=options),
            masker=None,
            segmenter=MethodSpec(name="Tokens"),
            seed=0,
            cost=Cost(
                evaluations=2,
                distinct_evaluations=1,
                tokens=len(tokens) + len(decoder),
                seconds=time.perf_counter() - started,
            ),
            environment={
                name: version(name) for name in ("numpy", "torch", "transformers", "tokenizers")
            },
        ),
    )
    return Attention(record=record, layers=layers)


def _tokens(
    model: TokenModel, encoding: Encoding, read: list[int]
) -> tuple[tuple[ReadToken, ...], tuple[ReadToken, ...]]:
    end = len(encoding.document.text)
    given = tuple(
        ReadToken(
            id=int(token),
            text=encoding.document.text[start:stop] if stop > start else model.decode([int(token)]),
            start=int(start),
            end=int(stop),
        )
        for token, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True)
    )
    written = tuple(
        ReadToken(id=token, text=model.decode([token]), start=end, end=end, written=True)
        for token in read
    )
    if model.task != "seq2seq":
        return given + written, ()
    start = cast("Any", model).config.decoder_start_token_id
    first = ReadToken(id=start, text=model.decode([start]), start=end, end=end, written=True)
    return given, (first, *written)


class _Summaries:
    """The sink: statistics of each layer, and its certificate."""

    def __init__(
        self, *, ids: Int[np.ndarray, " tokens"], decoder_ids: Int[np.ndarray, " written"]
    ) -> None:
        self.ids = ids
        self.decoder_ids = decoder_ids
        self.calls: list[AttentionCall] = []
        self.errors: dict[str, float] = {}
        self.limits: dict[str, float] = {}
        self.found: dict[str, HeadStatistics] = {}

    def rows(
        self,
        call: AttentionCall,
        start: int,
        weights: Float[np.ndarray, "batch heads rows keys"],
        seen: Bool[np.ndarray, "batch rows"],
    ) -> None:
        """Reduce one block of rows."""
        if call.name not in self.found:
            of_decoder = self.decoder_ids.size > 0 and call.kind == "causal"
            ids = self.decoder_ids if of_decoder else self.ids
            self.found[call.name] = HeadStatistics(
                call.heads, call.queries, call.keys, ids=None if call.kind == "cross" else ids
            )
        self.found[call.name].add(start, weights[0])

    def close(self, call: AttentionCall, error: float, rounding: float) -> None:
        """Note the certificate, and what it may be."""
        self.calls.append(call)
        self.errors[call.name] = error
        self.limits[call.name] = max(LIMIT, rounding)

    def shown(self, name: str) -> bool:
        """Whether the certificate holds, or none could be made."""
        return bool(np.isnan(self.errors[name]) or self.errors[name] <= self.limits[name])

    def layer(self, call: AttentionCall) -> AttentionLayer:
        """The layer's entry in the record."""
        error = self.errors[call.name]
        return AttentionLayer(
            name=call.name,
            attention=call.kind,
            heads=call.heads,
            queries=call.queries,
            keys=call.keys,
            certificate=None if np.isnan(error) else error,
            limit=self.limits[call.name],
            shown=self.shown(call.name),
        )


def _pack(layers: Mapping[str, LayerSummary]) -> bytes:
    tensors = {
        f"{name}/{field.name}": np.ascontiguousarray(getattr(layer, field.name))
        for name, layer in layers.items()
        for field in fields(layer)
    }
    return write_tensors(tensors)
