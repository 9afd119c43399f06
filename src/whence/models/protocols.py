"""What a model gives, as protocols that can be checked at run time.

The check looks names up on the class and evaluates no property, before Python 3.12 too: hence
``typing_extensions``. An error inside ``identity`` is then seen as what it is.

A model is read either in token ids (:class:`TokenModel`: everything local) or in text
(:class:`TextModel`: a callable, an endpoint). What it can give beyond scores is a protocol of
its own: :class:`GivesGradients` here, the others in :mod:`whence.models.access`. The values they
pass are those of :mod:`whence.models.values`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from typing_extensions import Protocol, runtime_checkable

from whence.core.explanations import Decision
from whence.core.features import Document
from whence.core.provenance import ModelIdentity
from whence.core.targets import Link, Output, Target
from whence.models.values import (
    AnswerState,
    Encoding,
    Evaluated,
    Gradients,
    Input,
    Message,
    Precision,
    Row,
    Task,
    Vocabulary,
)

__all__ = [
    "AnswerState",
    "Encoding",
    "Evaluated",
    "GivesAnswerState",
    "GivesGradients",
    "Gradients",
    "Input",
    "Message",
    "Model",
    "Precision",
    "Readout",
    "Row",
    "Task",
    "TextModel",
    "TokenModel",
    "Vocabulary",
]


@runtime_checkable
class Readout(Protocol):
    """Targets resolved against one input of one model: which numbers to read off a pass.

    It may store what its model can reuse between batches (the keys and values of a prefix), for as
    long as it lives.
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
        """How many tokens a pass reads beside those of the row: the forced continuation."""
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
class GivesAnswerState(Protocol):
    """A model that tells all that decides its answers, so that kept ones can be used again."""

    def answer_state(self) -> AnswerState:
        """The state now; it reads all weights, once in a public call."""
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
