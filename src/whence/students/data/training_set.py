"""What students learn from and are measured on: texts with the teacher's answers, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from whence.core.errors import InputError
from whence.students.data.split import PARTS, Part, Split
from whence.students.families.base import Fitted, Student
from whence.students.features.vectorizer import Features, ReadableFeatures
from whence.students.teacher.teacher import Answers

__all__ = ["KINDS", "AnsweredTexts", "Candidate", "HoldOut", "TrainingSet", "TrainingTable"]

Kind = Literal["text", "edit", "ngram"]
KINDS: Final[tuple[Kind, ...]] = ("text", "edit", "ngram")
"""What a question was: a text as it is, an edit of one, or an n-gram alone."""


class Candidate(NamedTuple):
    """A student's hyper-parameters, and the student they gave on the whole training set."""

    student: Student
    fitted: Fitted


class AnsweredTexts(NamedTuple):
    """Texts of one kind with the teacher's answers, and the document each stems from."""

    kind: Kind
    texts: Sequence[str]
    answers: Answers
    groups: Sequence[int]

    @property
    def read(self) -> list[str]:
        """Each text as far as the teacher read it."""
        ends: list[int] = self.answers.read_to.tolist()
        return [text[:end] for text, end in zip(self.texts, ends, strict=True)]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingSet:
    """Texts, edits and bare n-grams with the teacher's probabilities.

    Attributes:
        texts: texts as far as the teacher read each.
        targets: probabilities of the teacher.
        kinds: index in :data:`KINDS` of each text.
        labels: labels of the teacher.
        weights: weight of each text in every fit.
        groups: document each stems from; near-duplicates and edits share theirs.

    Raises:
        InputError: arrays of different lengths.
    """

    texts: list[str]
    targets: Float[np.ndarray, "texts labels"]
    kinds: Int[np.ndarray, " texts"]
    labels: tuple[str, ...]
    weights: Float[np.ndarray, " texts"]
    groups: Int[np.ndarray, " _"]

    def __post_init__(self) -> None:
        arrays = (self.targets, self.kinds, self.weights, self.groups)
        lengths = [len(array) for array in arrays]
        if set(lengths) != {len(self.texts)}:
            raise InputError(
                f"expected one target, kind, weight and group a text, got {lengths} for "
                f"{len(self.texts)} texts"
            )

    @classmethod
    def of(cls, *parts: AnsweredTexts) -> TrainingSet:
        """One training set of texts, edits and n-grams, all of weight 1."""
        kinds = [np.full(len(part.texts), KINDS.index(part.kind)) for part in parts]
        texts = [text for part in parts for text in part.read]
        return cls(
            texts=texts,
            targets=np.vstack([part.answers.probabilities for part in parts]),
            kinds=np.concatenate(kinds),
            labels=parts[0].answers.labels,
            weights=np.ones(len(texts)),
            groups=np.concatenate([np.array(part.groups, dtype=np.int64) for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.texts)

    def reweighted(self, kind: Kind, weight: float) -> TrainingSet:
        """The same with another weight for one kind; rows of weight 0 are left out.

        Example:
            >>> training = TrainingSet(texts=["paid late", "late"], targets=np.eye(2),
            ...                        kinds=np.array([0, 2]), labels=("no", "yes"),
            ...                        weights=np.ones(2), groups=np.arange(2))
            >>> training.reweighted("ngram", 0.0).texts
            ['paid late']
        """
        weights = np.where(self.kinds == KINDS.index(kind), weight, self.weights)
        rows = np.flatnonzero(weights > 0)
        return TrainingSet(
            texts=self.texts_of(rows), targets=self.targets[rows], kinds=self.kinds[rows],
            labels=self.labels, weights=weights[rows], groups=self.groups[rows],
        )  # fmt: skip

    def weights_for(self, student: Student) -> Float[np.ndarray, " texts"]:
        """Weights of the texts for a student.

        A case is shown as a text that was seen, which an edit or an n-gram is not: for cases these
        weigh nothing.
        """
        whole = self.kinds == 0
        return self.weights * whole if student.needs_whole_texts else self.weights

    def whole(self) -> Int[np.ndarray, " rows"]:
        """Rows of the texts as they are, edits and n-grams left out."""
        return np.flatnonzero(self.kinds == 0)

    def texts_of(self, rows: Int[np.ndarray, " rows"]) -> list[str]:
        """The texts of some rows."""
        chosen: list[int] = rows.tolist()
        return [self.texts[row] for row in chosen]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingTable:
    """A training set as a table of features.

    Attributes:
        examples: training set.
        features: features that the columns are.
        table: one row a text of the training set.

    Raises:
        InputError: another number of rows than of texts.
    """

    examples: TrainingSet
    features: Features
    table: sparse.csr_array

    @classmethod
    def learn(cls, training: TrainingSet, spec: ReadableFeatures) -> TrainingTable:
        """Features of the whole texts of a training set, and the table of all its texts."""
        features = spec.learn(training.texts_of(training.whole()))
        return cls(examples=training, features=features, table=features.table(training.texts))

    def reweighted(self, kind: Kind, weight: float) -> TrainingTable:
        """See :meth:`TrainingSet.reweighted`."""
        weights = np.where(self.examples.kinds == KINDS.index(kind), weight, self.examples.weights)
        examples = self.examples.reweighted(kind, weight)
        table = self.table[np.flatnonzero(weights > 0)]
        return TrainingTable(examples=examples, features=self.features, table=table)

    def fit(self, student: Student, rows: Int[np.ndarray, " rows"] | None = None) -> Fitted:
        """A student that has learnt from some rows, or all.

        Args:
            student: hyper-parameters.
            rows: rows it learns from; all where not given.
        """
        examples = self.examples
        part, chosen = self.table, np.arange(len(examples))
        if rows is not None:
            part, chosen = sparse.csr_array(self.table[rows]), rows
        return student.learn(
            part, examples.targets[chosen], features=self.features, labels=examples.labels,
            weights=examples.weights_for(student)[chosen], texts=examples.texts_of(chosen),
        )  # fmt: skip

    def fit_counted(self, student: Student) -> Fitted:
        """As :meth:`fit`, on all rows; each part of the student says how many whole texts it decides."""
        fitted = self.fit(student)
        # Counts are for readers, who see whole texts: edits and n-grams would inflate them.
        whole = sparse.csr_array(self.table[self.examples.whole()])
        return fitted.counted(sparse.csr_array(whole[:, fitted.features.columns_in(self.features)]))


class HoldOut:
    """The parts held out, of what the teacher read; each text is split into words once.

    Args:
        texts: all texts.
        answers: answers of the teacher to them.
        parts: split that says which are held out.
        features: features of all students.
    """

    def __init__(
        self, texts: Sequence[str], answers: Answers, parts: Split, features: Features
    ) -> None:
        self.features = features
        self.parts = parts
        self._answers = answers
        self.all_texts = texts
        self._texts: dict[Part, list[str]] = {}
        for part in PARTS[1:]:
            rows: list[int] = parts.rows(part).tolist()
            self._texts[part] = [texts[row][: int(answers.read_to[row])] for row in rows]

    def texts(self, part: Part) -> list[str]:
        """The texts of a part, as far as the teacher read them."""
        return self._texts[part]

    def whole(self, part: Part) -> list[str]:
        """The texts of a part as the caller gave them."""
        rows: list[int] = self.parts.rows(part).tolist()
        return [self.all_texts[row] for row in rows]

    def answers(self, part: Part) -> Answers:
        """The teacher's answers to a part."""
        return self._answers.part(self.parts.rows(part))

    @cached_property
    def tables(self) -> dict[Part, sparse.csr_array]:
        """The features of each part."""
        return {part: self.features.table(texts) for part, texts in self._texts.items()}

    def of(self, student: Fitted, part: Part) -> Float[np.ndarray, "texts labels"]:
        """Probabilities of a student on a part."""
        if not student.readable:
            return student.predict_proba(self._texts[part])
        # Every student holds only the features it uses; the common table is cut to these, so each
        # text is split into words once for all students.
        columns = student.features.columns_in(self.features)
        return student.probabilities(sparse.csr_array(self.tables[part][:, columns]))
