"""The record of one watched pass: what was read, by which heads, how exactly, to what effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from whence.core.explanations import Decision, NamedScore
from whence.core.features import Document
from whence.core.provenance import Cost, Provenance
from whence.core.record import Migration, Number, Record, Value
from whence.core.targets import Output

__all__ = [
    "SET_TITLES",
    "AttentionLayer",
    "AttentionRecord",
    "HeadEffects",
    "HeadEntry",
    "HeadSet",
    "ReadToken",
    "StoredTensor",
    "TokenFlow",
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReadToken(Value):
    """A token as it was read: its id and characters; ``start == end`` where it stands for none.

    ``written`` tokens are the model's own continuation; they are not in the document. ``special``
    tokens are the model's own marks and the glue of a chat template.
    """

    id: int
    text: str
    start: int
    end: int
    written: bool = False
    special: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AttentionLayer(Value):
    """One attention layer.

    Attributes:
        name: path of the module in the model.
        attention: ``bidirectional``, ``causal`` or ``cross``.
        certificate: ``max |weights @ values - output| / max |output|``, a ratio; ``None`` where
            the weights are those that the model returned.
        limit: largest certificate with which weights are kept: 1e-3, or the relative step of
            the output's dtype where that is more (bfloat16: 7.8e-3).
        shown: false where the certificate is above the limit; nothing of such a layer is kept.
        states: whether queries and keys are kept, from which every weight comes back:
            ``kept``; ``not_asked``; ``over_budget``: they would take more than was granted;
            ``not_reproduced``: the weights are no softmax of scores that are known here.
        states_error: largest difference between the weights that the states give and those
            that were watched; ``None`` where it was not measured.
        states_dtype: dtype of the model, in which the states are exact.
        scaling, softcap: settings of the scores, where states are kept.
    """

    name: str
    attention: Literal["bidirectional", "causal", "cross"]
    heads: int
    queries: int
    keys: int
    certificate: float | None
    limit: float
    shown: bool
    states: Literal["kept", "not_asked", "over_budget", "not_reproduced"] = "not_asked"
    states_error: float | None = None
    states_dtype: str | None = None
    scaling: float | None = None
    softcap: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StoredTensor(Value):
    """An array in the file of numbers: ``sha256`` is of its bytes, C-ordered, little-endian."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenFlow(Value):
    """What each token's state takes from each below it, layer by layer, as the array ``flow``.

    Attributes:
        quantity: name of the contributions, for a reader.
        target: position that is explained.
        pooled: whether the target is read from several positions; then the last matrix is no
            layer's, and its row ``target`` says how much comes from each.
    """

    quantity: str
    target: int
    pooled: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeadEntry(Value):
    """One head: what it looks like, and what it does to the target.

    Attributes:
        layer: name of the layer.
        head: number of the head, counted from 0.
        roles: names with scores: the share of mass above what a head that reads all alike would
            put there, 0 to 1.
        cluster: heads of one number look alike; ``None`` where they were not compared.
        direct: amount that the head adds to the target along the residual stream alone;
            ``gradient``: to first order what the target loses without it. Both are estimates, in
            the target's unit.
        effect: measured effect: the target as it is, less the target with the head ablated; ``low`` and
            ``high`` its interval, ``None`` where nothing was drawn.
        chosen: ``ranked``: measured for its estimate; ``random``: measured as a control; ``no``.
        output_norm: mean length of what the head gives to its projection.
    """

    layer: str
    head: int
    roles: tuple[NamedScore, ...] = ()
    cluster: int | None = None
    direct: float | None = None
    gradient: float | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    chosen: Literal["ranked", "random", "no"] = "no"
    output_norm: float | None = None


SET_TITLES = {
    "ranked": "all heads ranked by their estimate",
    "carries": "a small set that carries the answer",
    "feeds": "the heads below that feed it",
}
"""What a set of heads is, for a reader."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeadSet(Value):
    """Heads that were ablated at once.

    Attributes:
        chosen: ``ranked``: all heads that were measured for their estimates; ``carries``: a set that
            has most of the effect of all heads, found by search; ``feeds``: the same among the heads of
            the layers below that set.
        heads: layers' names and heads' numbers.
        effect: what the target loses without all of them, in the target's unit; ``low`` and
            ``high`` its interval, from draws that the search did not see.
        random: effects of random sets of as many heads; empty: not measured.
    """

    chosen: Literal["ranked", "carries", "feeds"]
    heads: tuple[tuple[str, int], ...]
    effect: float
    low: float | None
    high: float | None
    random: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeadEffects(Value):
    """How the effects of heads were measured.

    Attributes:
        output: number whose change they are; ``value``: its value on the input.
        ablation: stand-in for a head: ``resample``, ``mean`` or ``zero``.
        draws: stand-ins of each head; ``confidence``: of the intervals over them.
        agreement: Spearman correlation of the gradient estimate with the measured effect, over
            the measured heads; NaN where it is not defined.
        seed: seed of the stand-ins and of the random heads.
        cost: evaluations and gradient passes.
        sets: sets of heads that were ablated at once.
    """

    output: Output
    value: float
    ablation: Literal["resample", "mean", "zero"]
    draws: int
    confidence: float
    agreement: Number
    seed: int
    cost: Cost
    sets: tuple[HeadSet, ...] = ()


def _without_manifest(tree: dict[str, Any]) -> dict[str, Any]:
    # Version 1 kept no manifest and measured no effects; its numbers had one digest for all.
    return {**tree, "heads": [], "effects": None, "flow": None, "manifest": [], "schema_version": 2}


def _without_sets(tree: dict[str, Any]) -> dict[str, Any]:
    # Version 2 measured heads one by one alone, which is what a missing list of sets stands for.
    return {**tree, "schema_version": 3}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AttentionRecord(Record):
    """Where a model read, layer by layer: not why it decides.

    The numbers lie in a safetensors file beside it, named by their SHA-256.

    Attributes:
        tokens: tokens that the encoder, or the only stack, read.
        decoder_tokens: tokens that the decoder of an encoder-decoder read; else empty.
        layers: layers in the order in which they ran.
        heads: heads of the layers that are shown.
        effects: measurement of their effects; ``None``: there was none.
        flow: contributions of tokens to tokens, where they were computed.
        statistics: names of the statistics kept of each head, in their order.
        manifest: every array, and its SHA-256; ``tensors``: SHA-256 of the manifest, which names
            the file.
    """

    document: Document
    decision: Decision
    tokens: tuple[ReadToken, ...]
    decoder_tokens: tuple[ReadToken, ...]
    layers: tuple[AttentionLayer, ...]
    heads: tuple[HeadEntry, ...]
    effects: HeadEffects | None
    flow: TokenFlow | None
    statistics: tuple[str, ...]
    manifest: tuple[StoredTensor, ...]
    tensors: str
    notes: tuple[str, ...]
    provenance: Provenance
    kind: Literal["attention"] = "attention"
    schema_version: Literal[3] = 3
    migrations: ClassVar[Mapping[int, Migration]] = {1: _without_manifest, 2: _without_sets}
