"""What a model gives, as protocols that can be asked at run time.

A model is either read in token ids (:class:`TokenModel`: everything local) or in text
(:class:`TextModel`: a callable, an endpoint). What it can give beyond scores is a protocol of
its own: :class:`GivesGradients`. Values cross this border as NumPy arrays; no tensor leaves
the room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.core.explanations import Decision
from whence.core.features import Document
from whence.core.provenance import ModelIdentity
from whence.core.targets import Link, Output, Target

__all__ = [
    "Encoding",
    "Evaluated",
    "GivesAttention",
    "GivesGradients",
    "GivesHeads",
    "GivesStates",
    "Gradients",
    "HeadSlopes",
    "Input",
    "Message",
    "Model",
    "Precision",
    "Readout",
    "Row",
    "Stack",
    "Task",
    "TextModel",
    "TokenModel",
    "Vocabulary",
    "Watched",
]

Task = Literal["classification", "causal", "seq2seq", "embedding", "callable"]
Precision = Literal["native", "bfloat16"]
"""``native``: the model's own dtype. ``bfloat16``: autocast, opted into, deviation measured."""

Message = Mapping[str, str]
"""One chat turn: ``{"role": ..., "content": ...}``."""

Input = str | tuple[str, str] | Sequence[Message]
"""A text, a pair of texts, or a conversation."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """An input as the model reads it, tied to the characters it came from.

    Attributes:
        document: the characters.
        ids: the token ids, special tokens included, exactly as the tokenizer gives them.
        offsets: for each token the characters it stands for, ``start`` and ``end`` in
            ``document.text``; ``start == end`` for a token that stands for none.
        frozen: tokens that are never perturbed: special tokens, a chat template's glue.
        token_types: segment ids, for models that read them.
    """

    document: Document
    ids: Int[np.ndarray, " tokens"]
    offsets: Int[np.ndarray, "tokens 2"]
    frozen: Bool[np.ndarray, " tokens"]
    token_types: Int[np.ndarray, " tokens"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One perturbed input in token ids. ``attention`` is ``None`` where every token is seen."""

    ids: Int[np.ndarray, " tokens"]
    attention: Bool[np.ndarray, " tokens"] | None = None
    token_types: Int[np.ndarray, " tokens"] | None = None

    def key(self) -> bytes:
        """Bytes that two rows share exactly when the model would read the same."""
        attention = b"" if self.attention is None else np.packbits(self.attention).tobytes()
        types = b"" if self.token_types is None else self.token_types.astype(np.int64).tobytes()
        ids = self.ids.astype(np.int64).tobytes()
        return b"|".join((str(len(self.ids)).encode(), ids, attention, types))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What maskers need to know of a tokenizer. ``None``: the tokenizer has no such token."""

    size: int
    mask_id: int | None
    pad_id: int | None
    bos_id: int | None
    unknown_id: int | None
    limit: int | None
    """Tokens the model can read; ``None`` where it states no limit."""


class Evaluated(NamedTuple):
    """Values of a batch, and the tokens that were pushed through the model for them."""

    values: Float[np.ndarray, "rows outputs"]
    tokens: int


class Gradients(NamedTuple):
    """Values and gradients at embedded inputs.

    ``gradients[b, o, t, d]`` is the derivative of output ``o`` of input ``b`` with respect to
    coordinate ``d`` of the embedding of token ``t``.
    """

    values: Float[np.ndarray, "batch outputs"]
    gradients: Float[np.ndarray, "batch outputs tokens width"]


class Watched(NamedTuple):
    """How a watched pass went.

    ``notes``: what a reader must know of how the weights were had; nothing where the model's own
    kernel ran and was certified. ``decision``: what the model said in that very pass; ``None``
    where forced tokens were read too.
    """

    notes: tuple[str, ...]
    decision: Decision | None


class HeadSlopes(NamedTuple):
    """Heads' outputs on one input and the gradients of what is explained by them.

    ``outputs[layer][call]`` is ``[queries, heads, width]``; ``slopes[layer][call]`` is
    ``[outputs, queries, heads, width]``, or ``None`` where no gradient reaches the input.
    """

    outputs: dict[str, list[np.ndarray]]
    slopes: dict[str, list[np.ndarray | None]]


class Stack(NamedTuple):
    """The stack of blocks that the head reads, on one input.

    ``states[l]`` is the state after block ``names[l]``; ``answers`` are the logits that the
    model itself gives: at each position asked, or of all labels in one row.
    """

    names: tuple[str, ...]
    states: Float[np.ndarray, "layers tokens width"]
    answers: Float[np.ndarray, "positions logits"]


@runtime_checkable
class Readout(Protocol):
    """Targets resolved against one input of one model: which numbers to read off a pass.

    It may keep what its model can reuse between batches (the keys and values of a prefix), and
    drops it when it is itself dropped.
    """

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The numbers, one output each."""
        ...

    @property
    def key(self) -> str:
        """Text that two readouts of one model share exactly when they read the same numbers."""
        ...

    @property
    def extra_tokens(self) -> int:
        """Tokens a pass reads beside those of the row: the forced continuation's."""
        ...


@runtime_checkable
class Model(Protocol):
    """What every model has."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is; the fingerprint is computed at first use."""
        ...

    @property
    def task(self) -> Task:
        """What kind of answer the model gives."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names of a classifier, in the order of its outputs; empty for other tasks."""
        ...


@runtime_checkable
class TokenModel(Model, Protocol):
    """A model that is perturbed in token ids."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Special ids and the length limit."""
        ...

    def encode(self, source: Input) -> Encoding:
        """The input as the model reads it.

        Raises:
            InputError: an input of the wrong form for the task, or one that cannot be encoded.
            TextTooLongError: more tokens than the model reads.
        """
        ...

    def tokenize(self, text: str) -> Int[np.ndarray, " tokens"]:
        """The ids of a bare text, without special tokens (for replacement texts)."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, special tokens shown."""
        ...

    def decide(self, encoding: Encoding) -> Decision:
        """What the model says on the input as it is."""
        ...

    def readout(
        self,
        encoding: Encoding,
        targets: Sequence[Target],
        *,
        link: Link | None = None,
        precision: Precision = "native",
    ) -> Readout:
        """Resolve targets (none given: the task's default) to numbers that can be read.

        Raises:
            OptionError: unknown label or token, or a link the task does not have.
            CapabilityError: a target of another task.
        """
        ...

    def evaluate(self, rows: Sequence[Row], readout: Any) -> Evaluated:
        """The readout's numbers for a batch of rows, in one pass of the model.

        Raises:
            MemoryError: the batch does not fit; the caller halves it.
            ModelOutputError: the model answered NaN.
        """
        ...


@runtime_checkable
class TextModel(Model, Protocol):
    """A model that is perturbed in text."""

    def encode_text(self, source: Input) -> Document:
        """The input as a document.

        Raises:
            InputError: an input of a form this model does not take.
        """
        ...

    def decide_text(self, document: Document) -> Decision:
        """What the model says on the document as it is."""
        ...

    def readout_text(
        self, document: Document, targets: Sequence[Target], *, link: Link | None = None
    ) -> Readout:
        """Resolve targets; see :meth:`TokenModel.readout`."""
        ...

    def evaluate_text(self, texts: Sequence[str], readout: Any) -> Evaluated:
        """The readout's numbers for some texts (``tokens`` is 0: it cannot be known).

        Raises:
            ModelOutputError: wrong number of answers, wrong shape, NaN or infinity.
        """
        ...


@runtime_checkable
class GivesGradients(Protocol):
    """A token model that can be differentiated with respect to its input embeddings."""

    def embed(self, encoding: Encoding) -> Float[np.ndarray, "tokens width"]:
        """The embeddings the model looks up for the encoding's ids (position not added)."""
        ...

    def embed_ids(self, ids: Sequence[int]) -> Float[np.ndarray, "ids width"]:
        """The embeddings of some ids."""
        ...

    def mean_embedding(self) -> Float[np.ndarray, " width"]:
        """The mean over the whole vocabulary."""
        ...

    def gradients(
        self,
        encoding: Encoding,
        embeddings: Float[np.ndarray, "batch tokens width"],
        readout: Any,
    ) -> Gradients:
        """Values and gradients of the readout at a batch of embedded inputs.

        Raises:
            MemoryError: the batch does not fit; the caller halves it.
        """
        ...


@runtime_checkable
class GivesAttention(Protocol):
    """A token model whose attention can be watched while it reads an input."""

    def attention(
        self, encoding: Encoding, sink: Any, *, forced: Sequence[int] = (), row_block: int = 64
    ) -> Watched:
        """Give an :class:`~whence.models.internals.attention_capture.AttentionSink` every weight of one pass.

        The pass reads the encoding and, for a generating model, the ``forced`` tokens after it.
        A :class:`~whence.models.internals.attention_capture.StatesSink` gets the queries, keys and values too.

        Cost: one pass, and the weights of each layer a second time; one pass more for layers that
        keep their softmax to themselves.

        Raises:
            CapabilityError: a layer's weights cannot be had by rows.
        """
        ...


@runtime_checkable
class GivesHeads(Protocol):
    """A token model whose attention can be changed while it runs, and its heads' outputs had.

    The layers are those of :class:`GivesAttention`, by name; a layer that keeps its softmax to
    itself is not among them.
    """

    def evaluate_changed(self, encoding: Encoding, readout: Any, changes: Any) -> Evaluated:
        """The readout with ``changes[b]`` made to the model's attention in row ``b``, in one pass.

        ``changes`` is a sequence of sequences of :data:`whence.models.internals.interventions.Change`.

        Raises:
            OptionError: no such head or position.
            CapabilityError: no shared attention function ran at a layer that was named.
        """
        ...

    def head_outputs(self, rows: Sequence[Row], readout: Any) -> dict[str, list[np.ndarray]]:
        """Each head's output before the output projection, for each call of each layer.

        ``[rows, queries, heads, width]`` each, for rows of one length. Cost: one pass.
        """
        ...

    def head_slopes(self, encoding: Encoding, readout: Any, *, direct: bool = False) -> HeadSlopes:
        """Gradients of the readout by each head's output. Cost: one forward, one backward pass.

        With ``direct`` along the residual stream alone: what later layers read and the divisors
        of norms are held.
        """
        ...


@runtime_checkable
class GivesStates(Protocol):
    """A token model whose residual state after each block can be had, and replaced."""

    def states(self, row: Row, readout: Any) -> dict[str, list[np.ndarray]]:
        """The state after each block, for each of its calls: ``[tokens, width]``; one pass.

        Raises:
            CapabilityError: no blocks, or blocks that share their weights.
        """
        ...

    def evaluate_replaced(self, encoding: Encoding, readout: Any, changes: Any) -> Evaluated:
        """The readout with ``changes[b]`` made to the states of row ``b``, in one pass.

        ``changes`` is a sequence of sequences of :class:`whence.models.internals.residual_states.StateReplaced`.

        Raises:
            OptionError: no such block or position, or states of another shape.
        """
        ...

    def stack(self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int]) -> Stack:
        """The blocks that the head reads, their states, and the logits. Cost: one pass.

        Positions count in what that stack reads: the tokens and the ``forced`` ones after them,
        or the decoder's; for a classifier none is asked, and its labels are one row.

        Raises:
            CapabilityError: no blocks, or no logits to read.
        """
        ...

    def stopped(
        self,
        encoding: Encoding,
        forced: Sequence[int],
        positions: Sequence[int],
        states: Float[np.ndarray, "rows tokens width"],
        block: str,
    ) -> Float[np.ndarray, "rows positions logits"]:
        """The logits had ``block``, the last one, passed on these states; one pass of a batch.

        Everything after the last block is the model's own: norm, pooling, head, scale and cap.
        """
        ...
