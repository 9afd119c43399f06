"""What a student is: a frozen dataclass of hyper-parameters; what it becomes can be read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from whence.core.arrays import FloatVector
from whence.core.errors import InputError, OptionError
from whence.core.record import Value
from whence.students.features.vectorizer import Features
from whence.students.fitting.sparse import size

__all__ = ["Evidence", "Fitted", "ReadingCost", "Reasons", "Student", "Unit", "checked", "used"]

Unit = Literal["logit", "probability", "point", "weight"]


@dataclass(frozen=True, slots=True)
class ReadingCost:
    """What a person must read to know the whole student: words and numbers."""

    words: int
    numbers: int

    @property
    def total(self) -> int:
        """Words and numbers together."""
        return self.words + self.numbers


@dataclass(frozen=True, slots=True, eq=False)
class Evidence(Value):
    """One thing the student went by: in words, with its characters and its share in each label.

    ``spans`` is empty where what counted is that something is absent.
    """

    says: str
    spans: tuple[tuple[int, int], ...]
    shares: FloatVector


@dataclass(frozen=True, slots=True, eq=False)
class Reasons(Value):
    """Why a student decided as it did; exact: ``base`` and all shares add up to ``total``.

    Attributes:
        label: what it decided.
        probabilities: of all labels.
        base: what it would have without any evidence, in ``unit``.
        evidence: most weighty for the label first.
        total: what it decided by, in ``unit``.
    """

    label: str
    probabilities: FloatVector
    base: FloatVector
    evidence: tuple[Evidence, ...]
    total: FloatVector
    unit: Unit


class Fitted(ABC):
    """A student that has learnt; it holds only the features it uses.

    Args:
        labels: the teacher's labels.
        features: what it looks at.
    """

    kind: ClassVar[str]
    readable: ClassVar[bool] = True

    def __init__(self, labels: Sequence[str], features: Features) -> None:
        self.labels = tuple(labels)
        self.features = features

    @abstractmethod
    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """Probabilities of all labels from a table of the student's own features."""

    @property
    @abstractmethod
    def reading_cost(self) -> ReadingCost:
        """Words and numbers of the whole student."""

    @abstractmethod
    def explain(self, text: str) -> Reasons:
        """What it went by in one text, exactly.

        Of a text that the teacher reads only in part, give that part: the student never learnt
        from more.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Everything needed to decide again, in plain types."""

    @abstractmethod
    def to_text(self) -> str:
        """The whole student, for a reader."""

    def predict_proba(
        self, texts: Sequence[str], read_to: Sequence[int] | None = None
    ) -> Float[np.ndarray, "texts labels"]:
        """Probabilities of all labels.

        Args:
            texts: any texts.
            read_to: characters the teacher reads of each; what follows is not looked at.
        """
        return self.probabilities(self.features.table(texts, read_to))

    def predict(self, texts: Sequence[str], read_to: Sequence[int] | None = None) -> list[str]:
        """The most probable label of each text; the first of equals.

        Args:
            texts: any texts.
            read_to: characters the teacher reads of each; what follows is not looked at.
        """
        return [self.labels[i] for i in self.predict_proba(texts, read_to).argmax(axis=1)]

    def counted(self, table: sparse.csr_array) -> Fitted:
        """The same student, saying of how many of some texts each of its parts decides.

        Parts are fitted on edits and bare n-grams as well, which are no texts that were met.

        Args:
            table: the student's own features of the texts.
        """
        return self

    def _reasons(
        self, text: str, base: np.ndarray, evidence: Sequence[Evidence], unit: Unit
    ) -> Reasons:
        chances = self.predict_proba([text])[0]
        top = int(chances.argmax())
        ranked = sorted(evidence, key=lambda e: -abs(float(e.shares[top])))
        total = base + sum((e.shares for e in evidence), np.zeros(len(self.labels)))
        return Reasons(self.labels[top], chances, base, tuple(ranked), total, unit)

    def __repr__(self) -> str:
        cost = self.reading_cost
        return f"{type(self).__name__}({cost.words} words, {cost.numbers} numbers to read)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Student(ABC):
    """Hyper-parameters of a student; the data comes in :meth:`fit`."""

    readable: ClassVar[bool] = True

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name with the size: ``"rules-10"``."""

    def check(self, labels: Sequence[str]) -> None:
        """Refuse settings that cannot be fitted, before anything is asked.

        Raises:
            OptionError: a setting out of its range, or a package that is not there.
            CapabilityError: a student for other numbers of labels.
        """

    @abstractmethod
    def fit(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
    ) -> Fitted:
        """Learn the teacher's probabilities from a binary table of readable features.

        Args:
            table: one row a text.
            targets: the teacher's probabilities; of bare labels, ones and zeros.
            features: what the columns are.
            labels: what the columns of ``targets`` are.
            weights: of the texts; equal where not given.

        Raises:
            InputError: no text, shapes that do not fit, or targets that are no probabilities.
        """

    def learn(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
        texts: Sequence[str] | None = None,
    ) -> Fitted:
        """As :meth:`fit`, with the texts of the rows for those students that show or read them.

        Args:
            table: see :meth:`fit`.
            targets: see :meth:`fit`.
            features: see :meth:`fit`.
            labels: see :meth:`fit`.
            weights: see :meth:`fit`.
            texts: of the rows, as the teacher read them.
        """
        return self.fit(table, targets, features=features, labels=labels, weights=weights)


def checked(
    table: sparse.csr_array,
    targets: Float[np.ndarray, "texts labels"],
    features: Features,
    labels: Sequence[str],
    weights: Float[np.ndarray, " weights"] | None,
) -> Float[np.ndarray, " texts"]:
    """The weights, scaled to a mean of 1, of a training set that makes sense."""
    rows, columns = size(table)
    if rows == 0 or rows != len(targets) or columns != len(features):
        raise InputError(
            f"a table of {rows} texts and {columns} features came with {len(targets)} targets and "
            f"{len(features)} features; one row a text and one column a feature are due"
        )
    if targets.shape[1] != len(labels) or len(labels) < 2:
        raise InputError(f"targets of {targets.shape[1]} labels came with {len(labels)} names")
    odd = not np.isfinite(targets).all() or targets.min() < -1e-9
    if odd or np.abs(targets.sum(axis=1) - 1).max() > 1e-3:
        raise InputError(
            "targets must be probabilities: finite, at least 0, and adding up to 1 in each row"
        )
    if weights is None:
        return np.ones(rows)
    if len(weights) != rows or not np.isfinite(weights).all() or weights.min() < 0:
        raise OptionError("weights must be finite, at least 0, and one a text")
    if weights.sum() == 0:
        raise OptionError("all weights are 0")
    return weights * (rows / weights.sum())


def used(features: Features, columns: Int[np.ndarray, " columns"]) -> Features:
    """The features of some columns alone."""
    chosen: list[int] = columns.tolist()
    return Features(features.spec, [features.kept[column] for column in chosen])
