"""What every family of students has: hyper-parameters that are fitted, and the fitted student.

A family is one file of this folder with two classes: ``RuleList`` extends :class:`Student` and holds
the hyper-parameters, ``FittedRuleList`` extends :class:`Fitted` and decides. The name of the class
gives all other names: file ``rule_list.py``, stored kind ``rule-list``, catalogue ``rule-list-10``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from whence.core.arrays import FloatVector
from whence.core.errors import CapabilityError, InputError, OptionError
from whence.core.record import Value
from whence.core.registry import slug
from whence.students.families.views import View
from whence.students.features.vectorizer import Features
from whence.students.fitting.sparse import size
from whence.students.formats.onnx_graph import Graph
from whence.students.formats.sql_query import SqlQuery

__all__ = [
    "Evidence",
    "Fitted",
    "ReadingCost",
    "Reasons",
    "Student",
    "Unit",
    "feature_subset",
    "training_weights",
]

Unit = Literal["logit", "probability", "point", "weight"]

ROUNDING = 1e-9
"""How far below 0 a probability may be: rounding of a softmax in 64 bits, with room."""

# Half precision rounds each probability by up to 2^-11 of itself, so a row by up to 4.9e-4.
SUM_TOLERANCE = 1e-3
"""How far a row may be from adding up to 1: teachers answer in 16 bits or with rounded decimals."""


@dataclass(frozen=True, slots=True)
class ReadingCost:
    """How many words and numbers a person must read to know the whole student."""

    words: int
    numbers: int

    @property
    def total(self) -> int:
        """Words and numbers together."""
        return self.words + self.numbers


@dataclass(frozen=True, slots=True, eq=False)
class Evidence(Value):
    """One reason for a decision.

    Attributes:
        says: reason in words.
        spans: characters where the reason stands; none where it is that something is absent.
        shares: amount it adds for each label, in the unit of the :class:`Reasons`.
    """

    says: str
    spans: tuple[tuple[int, int], ...]
    shares: FloatVector


@dataclass(frozen=True, slots=True, eq=False)
class Reasons(Value):
    """Why a student decided as it did; exact: ``base`` plus all shares equals ``total``.

    Attributes:
        label: label that it decided for.
        probabilities: probability of each label.
        base: values of the labels without any evidence, in ``unit``.
        evidence: reasons, the one with the largest share in the label first.
        total: values of the labels that it decided by, in ``unit``.
        unit: unit of ``base``, shares and ``total``.
    """

    label: str
    probabilities: FloatVector
    base: FloatVector
    evidence: tuple[Evidence, ...]
    total: FloatVector
    unit: Unit


class Fitted(ABC):
    """A fitted student; it holds the features it uses and no others.

    A family overrides what it can do beyond deciding: :meth:`view`, :meth:`to_sql`,
    :meth:`to_onnx`, :meth:`weights_by_feature`. What it does not override is refused with a
    :class:`~whence.core.errors.CapabilityError` or shown as text.

    Args:
        labels: labels of the teacher.
        features: features that it decides by.
    """

    kind: ClassVar[str]
    """Name of the stored form: that of the class, without ``Fitted``, in lower case."""

    readable: ClassVar[bool] = True
    """Whether a person can read it; what nobody reads is not stored as a student."""

    quotes_texts: ClassVar[bool] = False
    """Whether it holds training texts word for word, and so does every file written of it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Not hasattr: a subclass of a family would take over its parent's name.
        if "kind" not in cls.__dict__:
            cls.kind = slug(cls.__name__.removeprefix("Fitted"))

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
        """The reasons for the decision on one text; exact.

        Where the teacher reads only the beginning of a text, give that part: the student learnt
        from no more.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Everything needed to decide again, in plain types."""

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Fitted:  # noqa: ARG003
        """The student that :meth:`to_json` wrote.

        Raises:
            CapabilityError: a family that is not stored.
        """
        raise CapabilityError(
            f"a student of kind {cls.kind!r} is not stored as a readable student; only families "
            "that a person can read are"
        )

    @abstractmethod
    def to_text(self) -> str:
        """The whole student in words, for a reader."""

    def view(self) -> View | None:
        """The student as plain data that a page or a picture is drawn from; ``None``: its text."""
        return None

    def weights_by_feature(self) -> Float[np.ndarray, "features labels"] | None:
        """What each feature adds for each label; ``None`` for a student that is no sum of features."""
        return None

    def to_sql(self, query: SqlQuery) -> str:
        """The student as one ``SELECT``, put together by the methods of ``query``.

        Raises:
            CapabilityError: a family that is not written as SQL.
        """
        raise CapabilityError(
            f"a student of kind {self.kind!r} is not written as SQL; save it as text, with to_text()"
        )

    def to_onnx(self, graph: Graph, presence: str) -> str:
        """Adds the student to an ONNX graph; the name of the probabilities in it.

        Args:
            graph: graph that takes the operators.
            presence: name of the vector that holds 1 for each feature of the text, 0 for others.

        Raises:
            CapabilityError: a family that is not written as an ONNX model.
        """
        raise CapabilityError(
            f"a student of kind {self.kind!r} is not written as an ONNX model; save it as text, "
            "with to_text()"
        )

    def predict_proba(
        self, texts: Sequence[str], read_to: Sequence[int] | None = None
    ) -> Float[np.ndarray, "texts labels"]:
        """Probabilities of all labels.

        Args:
            texts: texts to decide on.
            read_to: number of characters that the teacher reads of each; the rest is ignored.
        """
        return self.probabilities(self.features.table(texts, read_to))

    def predict(self, texts: Sequence[str], read_to: Sequence[int] | None = None) -> list[str]:
        """The most probable label of each text; the first of equals.

        Args:
            texts: texts to decide on.
            read_to: number of characters that the teacher reads of each; the rest is ignored.
        """
        return [self.labels[i] for i in self.predict_proba(texts, read_to).argmax(axis=1)]

    def counted(self, table: sparse.csr_array) -> Fitted:
        """The same student with the number of these texts that each of its parts decides.

        Parts are fitted on edits and bare n-grams too, which a reader does not count as texts.

        Args:
            table: features of the texts, by the student's own columns.
        """
        return self

    def _reasons(
        self, text: str, base: np.ndarray, evidence: Sequence[Evidence], unit: Unit
    ) -> Reasons:
        # Asked anew, not taken from the total: points and sums of trees are no probabilities yet.
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
    """Hyper-parameters of a family of students; the data comes in :meth:`fit`."""

    readable: ClassVar[bool] = True
    """Whether a person can read what is fitted; only such families are in the catalogue."""

    needs_whole_texts: ClassVar[bool] = False
    """Whether it learns from whole texts alone; edits and bare n-grams then weigh nothing."""

    size_field: ClassVar[str]
    """Hyper-parameter that is the size in the name: ``rules`` of ``rule-list-10``."""

    aliases: ClassVar[tuple[str, ...]] = ()
    """Names of the family in earlier versions, which the catalogue still takes."""

    default_sizes: ClassVar[tuple[int, ...]] = ()
    """Sizes that are fitted where the user names no students."""

    rank: ClassVar[int] = 100
    """Place in the catalogue; families of one rank stand in the order of their names."""

    @classmethod
    def family(cls) -> str:
        """Name of the family in the catalogue: ``"rule-list"`` of ``RuleList``."""
        return slug(cls.__name__)

    @classmethod
    def of_size(cls, size: str) -> Student:
        """The student of a size as a name writes it, all else at its default.

        Raises:
            OptionError: no such size.
        """
        if not size.isdecimal():
            raise OptionError(
                f"expected a number of {cls.size_field} after {cls.family()!r}, got {size!r}; "
                f"give a name such as {cls().name}"
            )
        return cls(**{cls.size_field: int(size)})

    @property
    def name(self) -> str:
        """Family and size: ``"rule-list-10"``."""
        return f"{self.family()}-{getattr(self, self.size_field)}"

    def check(self, labels: Sequence[str]) -> None:
        """Refuse settings that cannot be fitted, before the teacher is asked.

        Raises:
            OptionError: a setting out of its range, or a package that is not installed.
            CapabilityError: a family that does not take this number of labels.
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
            table: row of features for each text, 1 where the text has the feature.
            targets: probabilities of the teacher; ones and zeros where it gave labels alone.
            features: features of the columns.
            labels: labels of the columns of ``targets``.
            weights: weight of each text; all equal by default.

        Raises:
            InputError: no text, shapes that do not match, or targets that are not probabilities.
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
        """:meth:`fit` with the texts of the rows, for families that show or read them.

        Args:
            table: table as in :meth:`fit`.
            targets: targets as in :meth:`fit`.
            features: features as in :meth:`fit`.
            labels: labels as in :meth:`fit`.
            weights: weights as in :meth:`fit`.
            texts: texts of the rows, as far as the teacher read them.
        """
        return self.fit(table, targets, features=features, labels=labels, weights=weights)


def training_weights(
    table: sparse.csr_array,
    targets: Float[np.ndarray, "texts labels"],
    features: Features,
    labels: Sequence[str],
    weights: Float[np.ndarray, " weights"] | None,
) -> Float[np.ndarray, " texts"]:
    """Weights of the texts, scaled to a mean of 1, after a check of the training set.

    Raises:
        InputError: no text, shapes that do not match, or targets that are not probabilities.
        OptionError: weights that are negative, not finite, all 0 or of another number.
    """
    rows, columns = size(table)
    if rows == 0 or rows != len(targets) or columns != len(features):
        raise InputError(
            f"expected one row a text and one column a feature, got a table of {rows} texts and "
            f"{columns} features with {len(targets)} targets and {len(features)} features"
        )
    if targets.shape[1] != len(labels) or len(labels) < 2:
        raise InputError(
            f"expected a column of targets for each of two or more labels, got "
            f"{targets.shape[1]} columns and {len(labels)} labels"
        )
    # Finiteness first: every comparison with NaN is false, so the bounds alone would let it by.
    odd = not np.isfinite(targets).all() or targets.min() < -ROUNDING
    if odd or np.abs(targets.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        raise InputError(
            "targets must be probabilities: finite, at least 0, and adding up to 1 in each row"
        )
    if weights is None:
        return np.ones(rows)
    if len(weights) != rows or not np.isfinite(weights).all() or weights.min() < 0:
        raise OptionError("weights must be finite, at least 0, and one for each text")
    if weights.sum() == 0:
        raise OptionError("all weights are 0; give at least one text a weight above 0")
    # To a mean of 1, so that least_texts and the strength of a ridge count texts whatever unit the
    # weights came in.
    return weights * (rows / weights.sum())


def feature_subset(features: Features, columns: Int[np.ndarray, " columns"]) -> Features:
    """The features of some columns."""
    chosen: list[int] = columns.tolist()
    return Features(features.spec, [features.kept[column] for column in chosen])
