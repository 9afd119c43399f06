"""What students learn from and are measured on: texts with the teacher's answers, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from whence.students.data.split import PARTS, Part, Split
from whence.students.families.base import Fitted, Student
from whence.students.features.vectorizer import Features
from whence.students.teacher.teacher import Answers

__all__ = ["KINDS", "Asked", "Held", "Lesson", "joined"]

Kind = Literal["text", "edit", "ngram"]
KINDS: Final[tuple[Kind, ...]] = ("text", "edit", "ngram")
"""What a question was: a text as it is, an edit of one, or an n-gram alone."""


class Asked(NamedTuple):
    """Texts of one kind with the teacher's answers, and the document each stems from."""

    kind: Kind
    texts: Sequence[str]
    answers: Answers
    groups: Sequence[int]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lesson:
    """What is learnt from.

    Attributes:
        texts: as far as the teacher read each.
        targets: its probabilities.
        kinds: index in :data:`KINDS` of each.
        labels: the teacher's.
        weights: of the texts.
        groups: the document each stems from: near-duplicates and edits share theirs.
    """

    texts: list[str]
    targets: Float[np.ndarray, "texts labels"]
    kinds: Int[np.ndarray, " texts"]
    labels: tuple[str, ...]
    weights: Float[np.ndarray, " texts"]
    groups: Int[np.ndarray, " texts"]

    def weighing(self, kind: Kind, weight: float) -> Lesson:
        """The same with another weight for one kind; rows of weight 0 are left out.

        Example:
            >>> lesson = Lesson(texts=["paid late", "late"], targets=np.eye(2),
            ...                 kinds=np.array([0, 2]), labels=("no", "yes"), weights=np.ones(2),
            ...                 groups=np.arange(2))
            >>> lesson.weighing("ngram", 0.0).texts
            ['paid late']
        """
        weights = np.where(self.kinds == KINDS.index(kind), weight, self.weights)
        rows = np.flatnonzero(weights > 0)
        chosen: list[int] = rows.tolist()
        return Lesson(
            texts=[self.texts[row] for row in chosen], targets=self.targets[rows],
            kinds=self.kinds[rows], labels=self.labels, weights=weights[rows],
            groups=self.groups[rows],
        )  # fmt: skip

    def weights_for(self, student: Student) -> Float[np.ndarray, " texts"]:
        """Weights of the texts for a student.

        A case is shown as a text that was seen, which an edit or an n-gram is not: for cases these
        weigh nothing.
        """
        whole = self.kinds == 0
        return self.weights * whole if student.needs_whole_texts else self.weights

    def whole(self) -> Int[np.ndarray, " rows"]:
        """Rows of the texts as they are."""
        return np.flatnonzero(self.kinds == 0)

    def fit(
        self,
        student: Student,
        known: Features,
        table: sparse.csr_array,
        rows: Int[np.ndarray, " rows"] | None = None,
    ) -> Fitted:
        """A student that has learnt from some rows, or all.

        Args:
            student: its hyper-parameters.
            known: features it may use.
            table: of all rows of the lesson, by those features.
            rows: which; all where not given.
        """
        taken = np.arange(len(self.texts)) if rows is None else rows
        part = table if rows is None else sparse.csr_array(table[taken])
        aims, weights = self.targets[taken], self.weights_for(student)[taken]
        whole = self.kinds[taken] == 0
        chosen: list[int] = taken.tolist()
        found = student.learn(
            part, aims, features=known, labels=self.labels, weights=weights,
            texts=[self.texts[row] for row in chosen],
        )  # fmt: skip
        own = sparse.csr_array(part[np.flatnonzero(whole)])
        return found.counted(sparse.csr_array(own[:, found.features.columns_in(known)]))


def joined(*asked: Asked) -> Lesson:
    """One lesson of texts, edits and n-grams, each cut where the teacher stopped reading."""
    texts: list[str] = []
    for part in asked:
        ends: list[int] = part.answers.read_to.tolist()
        texts += [text[:end] for text, end in zip(part.texts, ends, strict=True)]
    kinds = [np.full(len(part.texts), KINDS.index(part.kind)) for part in asked]
    return Lesson(
        texts=texts,
        targets=np.vstack([part.answers.probabilities for part in asked]),
        kinds=np.concatenate(kinds),
        labels=asked[0].answers.labels,
        weights=np.ones(len(texts)),
        groups=np.concatenate([np.array(part.groups, dtype=np.int64) for part in asked]),
    )


class Held:
    """The parts held out, of what the teacher read; each text is split into words once.

    Args:
        texts: all texts.
        pool: the teacher's answers to them.
        parts: which are held out.
        known: the features of all students.
    """

    def __init__(self, texts: Sequence[str], pool: Answers, parts: Split, known: Features) -> None:
        self.known = known
        self.parts = parts
        self._pool = pool
        self._given = texts
        self._texts: dict[Part, list[str]] = {}
        for part in PARTS[1:]:
            rows: list[int] = parts.rows(part).tolist()
            self._texts[part] = [texts[row][: int(pool.read_to[row])] for row in rows]

    def texts(self, part: Part) -> list[str]:
        """The texts of a part, as far as the teacher read them."""
        return self._texts[part]

    def whole(self, part: Part) -> list[str]:
        """The texts of a part as they were given."""
        rows: list[int] = self.parts.rows(part).tolist()
        return [self._given[row] for row in rows]

    def answers(self, part: Part) -> Answers:
        """The teacher's answers to a part."""
        return self._pool.part(self.parts.rows(part))

    @cached_property
    def tables(self) -> dict[Part, sparse.csr_array]:
        """The features of each part."""
        return {part: self.known.table(own) for part, own in self._texts.items()}

    def of(self, student: Fitted, part: Part) -> Float[np.ndarray, "texts labels"]:
        """Probabilities of a student on a part."""
        if not student.readable:
            return student.predict_proba(self._texts[part])
        columns = student.features.columns_in(self.known)
        return student.probabilities(sparse.csr_array(self.tables[part][:, columns]))
