"""Values that pass between models and the rooms above: NumPy arrays tied to characters.

No tensor leaves the room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.core.explanations import Decision
from whence.core.features import Document

__all__ = [
    "AnswerState",
    "BlockStates",
    "CaptureResult",
    "Encoding",
    "Evaluated",
    "Gradients",
    "HeadGradients",
    "Input",
    "Message",
    "Precision",
    "Row",
    "Task",
    "Vocabulary",
]

Task = Literal[
    "classification",
    "causal",
    "seq2seq",
    "embedding",
    "token_classification",
    "masked_lm",
    "sparse_embedding",
    "callable",
]
Precision = Literal["native", "bfloat16"]
"""``native``: the model's own dtype. ``bfloat16``: autocast, only on request; its deviation is measured."""

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
        frozen: tokens that are never perturbed: special tokens, and what a chat template adds.
        token_types: segment ids, for models that read them.
    """

    document: Document
    ids: Int[np.ndarray, " tokens"]
    offsets: Int[np.ndarray, "tokens 2"]
    frozen: Bool[np.ndarray, " tokens"]
    token_types: Int[np.ndarray, " tokens"] | None = None


@dataclass(frozen=True, slots=True)
class AnswerState:
    """All that decides a model's answers besides the input, as far as it can be read.

    Attributes:
        key: hash of it; ``None`` for a model of which nothing can be hashed.
        doubts: what decides answers and is in no key, such as a hook; kept answers are then not used.
        tolerance: largest difference, as a share of the answer or of 1, that other batches make.
    """

    key: str | None
    doubts: tuple[str, ...] = ()
    # Half of the digits of float32: far above what other batches change, far below what decides.
    tolerance: float = 3.5e-4


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One perturbed input in token ids. ``attention`` is ``None`` where every token is seen.

    ``places`` is where the tokens stand at which a readout reads (its ``anchors``); ``None``: where
    they stand in the input.
    """

    ids: Int[np.ndarray, " tokens"]
    attention: Bool[np.ndarray, " tokens"] | None = None
    token_types: Int[np.ndarray, " tokens"] | None = None
    places: Int[np.ndarray, " anchors"] | None = None

    def key(self) -> bytes:
        """Bytes that two rows share exactly when the model would read the same."""
        # The separator may occur in the bytes themselves; the number of tokens in front fixes how
        # long each part is. Ids are cast, so that a row in int32 and the same row in int64 share a
        # key.
        attention = b"" if self.attention is None else np.packbits(self.attention).tobytes()
        types = b"" if self.token_types is None else self.token_types.astype(np.int64).tobytes()
        ids = self.ids.astype(np.int64).tobytes()
        parts = (str(len(self.ids)).encode(), ids, attention, types)
        places = () if self.places is None else (self.places.astype(np.int64).tobytes(),)
        return b"|".join((*parts, *places))

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
    """Values of a batch, and how many tokens the model read for them.

    ``probes``: rows read beside those asked for, to show that a shortcut changes no answer.
    """

    values: Float[np.ndarray, "rows outputs"]
    tokens: int
    probes: int = 0


class Gradients(NamedTuple):
    """Values and gradients at embedded inputs.

    ``gradients[b, o, t, d]`` is the derivative of output ``o`` of input ``b`` with respect to
    coordinate ``d`` of the embedding of token ``t``. ``probes``: passes beside those asked for, to
    show that these are the derivatives of the model's own answer.
    """

    values: Float[np.ndarray, "batch outputs"]
    gradients: Float[np.ndarray, "batch outputs tokens width"]
    probes: int = 0


class CaptureResult(NamedTuple):
    """What a pass gave beside the attention that was captured in it.

    ``notes``: what a reader must know of how the weights were computed; empty where the model's own
    kernel ran and was certified. ``decision``: what the model decided in that very pass; ``None``
    where forced tokens were read too.
    """

    notes: tuple[str, ...]
    decision: Decision | None


class HeadGradients(NamedTuple):
    """Heads' outputs on one input, and the gradients of the explained numbers by them.

    ``outputs[layer][call]`` is ``[queries, heads, width]``; ``gradients[layer][call]`` is
    ``[outputs, queries, heads, width]``, or ``None`` where no gradient reaches the input.
    """

    outputs: dict[str, list[np.ndarray]]
    gradients: dict[str, list[np.ndarray | None]]


class BlockStates(NamedTuple):
    """The states of the stack of blocks that the output head reads, on one input.

    ``states[l]`` is the state after block ``names[l]``; ``logits`` are those that the model itself
    gives: at each position asked for, or of all labels in one row.
    """

    names: tuple[str, ...]
    states: Float[np.ndarray, "layers tokens width"]
    logits: Float[np.ndarray, "positions logits"]
