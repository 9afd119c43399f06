"""Records of what happens across depth: a logit lens, and heads patched between two inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from whence.core.arrays import FloatMatrix
from whence.core.attention_record import ReadToken
from whence.core.errors import unknown
from whence.core.explanations import Decision, Outcome
from whence.core.features import Document
from whence.core.provenance import Provenance
from whence.core.record import Migration, Record, Value, raised_to
from whence.core.targets import Output

__all__ = ["HeadEffect", "HeadPatching", "LensPosition", "LensToken", "LogitLens"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LensToken(Value):
    """A token of the vocabulary, or a label, with its probability."""

    id: int
    text: str
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LensPosition(Value):
    """Where an answer is read, and which answer is followed there.

    Attributes:
        index: token at which the next one is predicted, counted in the tokens that the stack
            reads; ``None`` for a classifier, which answers for its whole input.
        target_id, target: token or label that is followed.
    """

    index: int | None
    target_id: int
    target: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LogitLens(Record):
    """What the model would say were it to stop after each block.

    Matrices are ``[layers, positions]``; the last row is the model's own answer.

    Attributes:
        tokens: tokens that the encoder, or the only stack, read.
        decoder_tokens: tokens that the decoder of an encoder-decoder read; else empty.
        layers: blocks of the stack that the head reads, in order.
        log_probabilities: log-probability of each position's target, in nat.
        ranks: rank of the target, 1 the most probable; tokens of equal score share the better rank.
        entropies: entropy of the distribution, in nat (over independent labels: the sum of theirs).
        divergences: KL from the final distribution, ``sum p_final (log p_final - log p_layer)``,
            in nat: what reading the layer for the model's answer loses.
        top: most probable tokens or labels at each layer and position.
        certificate: largest difference of a logit when the last block's state is put back where
            it was; 0 is bit for bit.
    """

    document: Document
    decision: Decision
    tokens: tuple[ReadToken, ...]
    decoder_tokens: tuple[ReadToken, ...]
    layers: tuple[str, ...]
    positions: tuple[LensPosition, ...]
    log_probabilities: FloatMatrix
    ranks: tuple[tuple[int, ...], ...]
    entropies: FloatMatrix
    divergences: FloatMatrix
    top: tuple[tuple[tuple[LensToken, ...], ...], ...]
    certificate: float
    notes: tuple[str, ...]
    provenance: Provenance
    kind: Literal["logit-lens"] = "logit-lens"
    schema_version: Literal[1] = 1

    def __post_init__(self) -> None:
        shape = (len(self.layers), len(self.positions))
        for name in ("log_probabilities", "entropies", "divergences"):
            if getattr(self, name).shape != shape:
                size = getattr(self, name).shape
                raise ValueError(f"{name} is {size}; layers x positions is {shape}")
        for name in ("ranks", "top"):
            rows = getattr(self, name)
            if len(rows) != shape[0] or any(len(row) != shape[1] for row in rows):
                raise ValueError(f"{name} must hold one entry for each of {shape} readings")

    def layer(self, name: str) -> int:
        """The row of a layer.

        Raises:
            OptionError: no such layer.
        """
        if name not in self.layers:
            raise unknown("layer", name, self.layers)
        return self.layers.index(name)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeadEffect(Value):
    """What one head's output, taken from the other input, does to the target.

    ``effect`` is in the target's unit, positive where the clean output raised the target;
    ``share`` is its share of the difference between the two inputs, ``None`` where they agree.
    """

    layer: str
    head: int
    effect: float
    share: float | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeadPatching(Record):
    """Each head's output patched at all positions between two inputs.

    Attributes:
        document, corrupted: clean input and the other one.
        output: number that is measured.
        value, base_value: output on the clean and on the corrupted input.
        direction: ``denoise``: clean outputs put into the corrupted run; ``noise``: the reverse.
        heads: every head of every layer, in the order in which they ran.
    """

    document: Document
    corrupted: Document
    decision: Decision
    output: Output
    value: float
    base_value: float
    direction: Literal["denoise", "noise"]
    heads: tuple[HeadEffect, ...]
    outcome: Outcome
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: Provenance
    kind: Literal["head-patching"] = "head-patching"
    schema_version: Literal[2] = 2
    migrations: ClassVar[Mapping[int, Migration]] = {1: raised_to(2)}

    def __post_init__(self) -> None:
        named = [(head.layer, head.head) for head in self.heads]
        if len(set(named)) != len(named):
            raise ValueError("a head is listed twice")

    def top(self, k: int = 5) -> tuple[HeadEffect, ...]:
        """The ``k`` heads of largest absolute effect; ties keep the order of running."""
        return tuple(sorted(self.heads, key=lambda head: -abs(head.effect))[:k])
