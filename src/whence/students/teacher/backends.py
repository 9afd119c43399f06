"""What can answer for a teacher: a loaded classifier, a callable, a function that gives labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import CapabilityError, ModelOutputError, OptionError, TextTooLongError
from whence.core.targets import Label
from whence.models.adapters.callable import CallableModel
from whence.models.protocols import Encoding, Readout, Row, TokenModel

__all__ = ["Answerer", "Gives", "LabelAnswerer", "Long", "Replies", "ScoreAnswerer", "reading"]

Gives = Literal["logit", "probability", "label"]
"""What a teacher's numbers are. It is declared, never guessed from them."""

Long = Literal["refuse", "cut"]
"""What is done with a text longer than the teacher reads: an error, or its first passage alone."""


class Replies(NamedTuple):
    """Numbers of some texts, and how many characters of each text the teacher read."""

    values: Float[np.ndarray, "texts labels"]
    read_to: Int[np.ndarray, " texts"]


@runtime_checkable
class Answerer(Protocol):
    """Something that scores texts on fixed labels."""

    @property
    def ref(self) -> str:
        """A name for messages."""
        ...

    @property
    def fingerprint(self) -> str | None:
        """What its answers are cached under; ``None`` where it cannot be known."""
        ...

    @property
    def gives(self) -> Gives:
        """What the numbers are."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns."""
        ...

    def answer(self, texts: Sequence[str]) -> Replies:
        """The numbers of some texts.

        Raises:
            ModelOutputError: the answer is no table of finite numbers on these labels.
        """
        ...


def reading(model: TokenModel, text: str, long: Long, ref: str) -> tuple[Encoding, int]:
    """A text as the model reads it, and the characters of it that were read.

    Raises:
        TextTooLongError: longer than the model reads, and ``long="refuse"``.
    """
    try:
        return model.encode(text), len(text)
    except TextTooLongError as error:
        if long == "refuse" or not error.passages:
            raise TextTooLongError(
                f"{ref} reads {error.limit} tokens and a text has {error.length}. Shorten it, or "
                'give long="cut" to have the first passage asked and the cut recorded.',
                length=error.length,
                limit=error.limit,
                passages=error.passages,
            ) from error
        start, end = error.passages[0]
        return model.encode(text[start:end]), end


class ScoreAnswerer:
    """A classifier or a callable, read at all its labels.

    Args:
        model: single-label classifier or callable, as :func:`whence.load` gives it.
        gives: meaning of a callable's numbers; a classifier's are logits.
        long: treatment of texts longer than the model reads: ``"refuse"`` or ``"cut"``.
        version: name of the callable, under which its answers may be kept on disk.
    """

    def __init__(
        self,
        model: TokenModel | CallableModel,
        *,
        gives: Gives | None = None,
        long: Long = "refuse",
        version: str | None = None,
    ) -> None:
        ref = model.identity.ref
        if isinstance(model, CallableModel):
            if gives not in ("logit", "probability"):
                raise OptionError(
                    f"what the numbers of {ref} are must be declared: give gives='probability' "
                    f"or gives='logit'; {gives!r} found. For a function that answers label names "
                    "use Teacher.of_labels."
                )
            declared: Gives = gives
        else:
            if model.task != "classification":
                raise CapabilityError(
                    f"{ref} is a {model.task} model; a teacher scores labels. Load a classifier "
                    "or a callable, or put a causal model behind a prompt with Teacher.prompted."
                )
            if getattr(model, "independent", False):
                raise CapabilityError(
                    f"{ref} gives each label a probability of its own; students copy one decision "
                    "among labels that exclude each other. Wrap one label in a callable."
                )
            if getattr(model, "regression", False):
                raise CapabilityError(
                    f"{ref} is a regression, whose outputs are no labels to choose from; students copy a "
                    "decision. Wrap it in a callable that answers labels."
                )
            if gives not in (None, "logit"):
                raise OptionError(f"{ref} gives logits; gives={gives!r} asked")
            declared = "logit"
        if len(model.labels) < 2:
            raise CapabilityError(
                f"{ref} names {len(model.labels)} labels; a decision needs two or more. "
                "Give labels=[...] when loading a callable."
            )
        self.model = model
        self._long: Long = long
        self._version = version
        self._readout: Readout | None = None
        self.gives: Gives = declared
        self.ref = ref
        self.labels = tuple(model.labels)

    @property
    def fingerprint(self) -> str | None:
        """The model's own, or the version that a callable was given, with the labels."""
        # What can be hashed is: a version that somebody forgot to raise must not hide new weights.
        name = self.model.identity.fingerprint or self._version
        if name is None:
            return None
        # Labels and cuts change the numbers of one and the same model.
        return json.dumps([name, self.gives, self._long, list(self.labels)])

    def answer(self, texts: Sequence[str]) -> Replies:
        """One score a label, for each text."""
        if isinstance(self.model, CallableModel):
            whole = np.array([len(text) for text in texts], dtype=np.int64)
            # Numbers that are not finite are let through here: the teacher refuses the text that
            # they are of and keeps the rest of the batch.
            return Replies(self.model.scores(list(texts), finite=False), whole)
        read = [reading(self.model, text, self._long, self.ref) for text in texts]
        if self._readout is None:
            # Once: which outputs are read is the same for all texts, but takes an encoding to be
            # asked.
            targets = [Label(label=index) for index in range(len(self.labels))]
            self._readout = self.model.readout(read[0][0], targets, link="logit")
        rows = [Row(ids=e.ids, token_types=e.token_types) for e, _ in read]
        values = self.model.evaluate(rows, self._readout).values
        return Replies(values, np.array([end for _, end in read], dtype=np.int64))


class LabelAnswerer:
    """A function from texts to label names, as an endpoint gives them.

    Args:
        function: callable from a list of texts, never an empty one, to one label a text.
        labels: labels it may answer.
        version: name of the function, under which its answers may be kept on disk.
    """

    gives: Gives = "label"

    def __init__(
        self,
        function: Callable[[list[str]], Sequence[str]],
        *,
        labels: Sequence[str],
        version: str | None = None,
    ) -> None:
        if len(set(labels)) < 2 or len(set(labels)) != len(labels):
            raise OptionError(f"expected two or more different labels, got {list(labels)}")
        self._function = function
        self.labels = tuple(labels)
        self._version = version
        self.strange: object = None
        name = getattr(function, "__qualname__", type(function).__qualname__)
        self.ref = f"labels of {name}"

    @property
    def fingerprint(self) -> str | None:
        """The version that the function was given, with the labels; ``None`` without one."""
        if self._version is None:
            return None
        return json.dumps([self._version, self.gives, list(self.labels)])

    def answer(self, texts: Sequence[str]) -> Replies:
        """One where the function named the label, zero elsewhere; NaN where it named another."""
        answer = list(self._function(list(texts)))
        if len(answer) != len(texts):
            raise ModelOutputError(f"{self.ref} gave {len(answer)} answers to {len(texts)} texts")
        values = np.zeros((len(texts), len(self.labels)))
        for row, label in enumerate(answer):
            if label in self.labels:
                values[row, self.labels.index(label)] = 1.0
            else:
                # The rest of the batch is valid; what is not is refused where answers are kept.
                values[row] = np.nan
                self.strange = label
        return Replies(values, np.array([len(text) for text in texts], dtype=np.int64))
