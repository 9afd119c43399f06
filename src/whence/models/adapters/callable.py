"""Plain callables ``list[str] -> scores``, of which only the answers are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from whence.core.errors import InputError, ModelOutputError, OptionError
from whence.core.explanations import Decision, NamedScore
from whence.core.features import Document
from whence.core.provenance import ModelIdentity
from whence.core.targets import Link, Target
from whence.models.adapters.classifier import LabelReadout, resolve_labels
from whence.models.links import check_link
from whence.models.protocols import Evaluated, Task

__all__ = ["CallableModel"]


class CallableModel:
    """A function from texts to scores: ``[m]`` or ``[m, labels]`` numbers for ``m`` texts.

    The numbers are explained as they are (link ``score``); probabilities stay probabilities.

    Args:
        function: function of a list of texts, never called with an empty one.
        labels: names of the columns; none: numbered, by the first answer.
        ref: name for messages and records.
    """

    task: Task = "callable"

    def __init__(
        self,
        function: Callable[[list[str]], Any],
        *,
        labels: Sequence[str] | None = None,
        ref: str | None = None,
    ) -> None:
        self._function = function
        self._labels = None if labels is None else tuple(str(label) for label in labels)
        name = getattr(function, "__qualname__", type(function).__qualname__)
        self.ref = ref or f"callable:{name}"

    @property
    def identity(self) -> ModelIdentity:
        """A name, and no fingerprint: a function cannot be hashed."""
        kind = type(self._function).__name__
        return ModelIdentity(ref=self.ref, task=self.task, architecture=kind, fingerprint=None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns; without names, empty before the first answer."""
        return self._labels or ()

    def encode_text(self, source: object) -> Document:
        """The input as a document; only single texts go to a callable.

        Raises:
            InputError: empty, or not a text.
        """
        if not isinstance(source, str):
            raise InputError(
                f"expected a text for {self.ref}, got {type(source).__name__}. Join the parts into one "
                "text, or load the model itself for pairs and conversations."
            )
        if not source.strip():
            raise InputError("the text is empty; there is nothing to explain")
        document = Document.plain(source)
        document.require_encodable()
        return document

    def scores(
        self, texts: Sequence[str], *, finite: bool = True
    ) -> Float[np.ndarray, "texts labels"]:
        """The function's answer, checked.

        Args:
            texts: texts to score.
            finite: flag that refuses NaN and infinity; without it the caller must check for them.

        Raises:
            ModelOutputError: wrong number of rows or columns, no numbers, NaN or infinity.
        """
        answer = self._function(list(texts))
        if hasattr(answer, "detach"):
            # float: NumPy cannot take a bfloat16 tensor.
            answer = answer.detach().cpu().float().numpy()
        try:
            values = np.array(answer, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ModelOutputError(
                f"{self.ref} answered {type(answer).__name__} that is no table of numbers: {error}"
            ) from error
        if values.ndim == 1:
            values = values[:, None]
        if values.ndim != 2 or len(values) != len(texts) or values.shape[1] == 0:
            raise ModelOutputError(
                f"expected scores of shape ({len(texts)},) or ({len(texts)}, labels) for "
                f"{len(texts)} texts, got {np.shape(answer)} from {self.ref}"
            )
        if finite and not np.all(np.isfinite(values)):
            row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise ModelOutputError(
                f"expected finite numbers, got {values[row].tolist()} from {self.ref} for text {row} "
                "of its batch"
            )
        if self._labels is None:
            count = values.shape[1]
            self._labels = ("score",) if count == 1 else tuple(f"score {i}" for i in range(count))
        if values.shape[1] != len(self._labels):
            raise ModelOutputError(
                f"expected {len(self._labels)} scores for each text ({', '.join(self._labels)}), got "
                f"{values.shape[1]} from {self.ref}"
            )
        return values

    def decide_text(self, document: Document) -> Decision:
        """The highest score's label, and all scores."""
        values = self.scores([document.text])[0]
        # Stable, so that of equal scores the first column is the decision on every machine.
        order = np.argsort(-values, kind="stable")
        scores = tuple(NamedScore(name=self.labels[i], value=float(values[i])) for i in order)
        text = f"{values[0]:.4g}" if len(values) == 1 else scores[0].name
        return Decision(text=text, scores=scores, unit="score")

    def readout_text(
        self, document: Document, targets: Sequence[Target], *, link: Link | None = None
    ) -> LabelReadout:
        """Targets resolved to columns."""
        chosen = "score" if link is None else check_link(link, ("score",), self.ref)
        scores = self.scores([document.text])[0]
        outputs, pairs = resolve_labels(
            targets, self.labels, lambda: scores, link=chosen, ref=self.ref
        )
        # Independent: what a function gives is read as it is, without a softmax over its columns.
        return LabelReadout(outputs, pairs, chosen, independent=True)

    def evaluate_text(self, texts: Sequence[str], readout: LabelReadout) -> Evaluated:
        """The readout of some texts in one call of the function."""
        if not texts:
            raise OptionError("expected at least one text to evaluate, got none")
        return Evaluated(readout.read(self.scores(texts)), 0)

    def __repr__(self) -> str:
        return f"CallableModel({json.dumps(self.ref)})"
