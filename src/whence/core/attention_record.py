"""The record of one watched pass: what was read, by which layers, how exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whence.core.explanations import Decision
from whence.core.features import Document
from whence.core.provenance import Provenance
from whence.core.record import Record, Value

__all__ = ["AttentionLayer", "AttentionRecord", "ReadToken"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReadToken(Value):
    """A token as it was read: its id and characters; ``start == end`` where it stands for none.

    ``written`` tokens are the model's own continuation; they are not in the document.
    """

    id: int
    text: str
    start: int
    end: int
    written: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AttentionLayer(Value):
    """One attention layer.

    Attributes:
        name: the module's path in the model.
        attention: ``bidirectional``, ``causal`` or ``cross``.
        certificate: ``max |weights @ values - output| / max |output|``, a ratio; ``None`` where
            the weights are those that the model returned.
        limit: the largest certificate with which weights are kept: 1e-3, or the relative step of
            the output's dtype where that is more (bfloat16: 7.8e-3).
        shown: false where the certificate is above the limit; nothing of such a layer is kept.
    """

    name: str
    attention: Literal["bidirectional", "causal", "cross"]
    heads: int
    queries: int
    keys: int
    certificate: float | None
    limit: float
    shown: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AttentionRecord(Record):
    """Where a model read, layer by layer: not why it decides.

    The numbers lie in a safetensors file beside it, named by their SHA-256.

    Attributes:
        tokens: what the encoder, or the only stack, read.
        decoder_tokens: what the decoder of an encoder-decoder read; else empty.
        layers: in the order in which they ran.
        statistics: names of the statistics kept of each head, in their order.
        tensors: SHA-256 of the file of numbers.
    """

    document: Document
    decision: Decision
    tokens: tuple[ReadToken, ...]
    decoder_tokens: tuple[ReadToken, ...]
    layers: tuple[AttentionLayer, ...]
    statistics: tuple[str, ...]
    tensors: str
    notes: tuple[str, ...]
    provenance: Provenance
    kind: Literal["attention"] = "attention"
    schema_version: Literal[1] = 1
