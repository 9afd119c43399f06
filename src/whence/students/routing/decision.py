"""A router's decision on one text, the counts of many, and what a router needs of a student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from whence.core.arrays import FloatVector
from whence.core.record import Record, Value
from whence.students.families.base import Fitted, Reasons
from whence.students.teacher.offline import OfflineTeacher
from whence.students.teacher.replies import Answer, Askable, Reply

__all__ = [
    "By",
    "Counts",
    "Decided",
    "Decides",
    "Routed",
    "Unreachable",
    "by_teacher",
    "evidence_of",
    "probabilities_of",
]

By = Literal["student", "teacher", "abstain"]

Unreachable = Literal["abstain", "raise"]
"""Policy where the teacher fails."""


@runtime_checkable
class Decided(Protocol):
    """What a student that decides one text at a time says of it."""

    @property
    def probabilities(self) -> Float[np.ndarray, " labels"]:
        """The probabilities of all labels."""
        ...

    @property
    def found(self) -> tuple[str, ...]:
        """The student's features that the text has."""
        ...


@runtime_checkable
class Decides(Protocol):
    """A student that decides one text at a time; :class:`whence.students.export.runtime.Runtime` is one."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its labels."""
        ...

    def decide(self, text: str) -> Decided:
        """The decision on a text."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Routed(Record):
    """A decision, and whose it is.

    Attributes:
        label: label that was decided; ``None`` where the router abstained.
        probabilities: probabilities of all labels, from whoever decided; ``None`` likewise.
        by: decider.
        reason: reason for the decision, or why nobody could decide.
        evidence: reasons of the student where it decided; of a stored student the features that
            the text has. They say nothing of the teacher's reasons.
        audited: whether the teacher was asked beside the student, to watch over it.
        audit_agreed: whether the teacher said the same; ``None`` where it was not asked, or failed.
    """

    label: str | None
    probabilities: FloatVector | None
    by: By
    reason: str
    evidence: Reasons | tuple[str, ...] | None = None
    audited: bool = False
    audit_agreed: bool | None = None
    kind: Literal["routed"] = "routed"
    schema_version: Literal[1] = 1


@dataclass(frozen=True, slots=True, eq=False)
class Counts(Value):
    """How many texts were decided by whom, and how the audits went."""

    student: int = 0
    teacher: int = 0
    abstain: int = 0
    audits: int = 0
    audits_agreed: int = 0
    audits_failed: int = 0

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0:
            raise ValueError(f"expected counts of 0 or more, got {astuple(self)}")

    @classmethod
    def of(cls, decisions: Sequence[Routed]) -> Counts:
        """Counts over some decisions."""
        by = [routed.by for routed in decisions]
        agreed = [routed.audit_agreed for routed in decisions if routed.audited]
        return cls(
            by.count("student"), by.count("teacher"), by.count("abstain"),
            len(agreed), agreed.count(True), agreed.count(None),
        )  # fmt: skip

    def plus(self, more: Counts) -> Counts:
        """Both together."""
        return Counts(*map(sum, zip(astuple(self), astuple(more), strict=True)))


def by_teacher(teacher: Askable, reply: Reply, why: str) -> Routed:
    """The teacher's decision; an abstention where the teacher failed.

    Args:
        teacher: teacher that was asked.
        reply: answer of the teacher, or its error.
        why: reason for asking it.
    """
    if isinstance(reply, Answer):
        label = teacher.labels[reply.top]
        return Routed(label=label, probabilities=reply.probabilities, by="teacher", reason=why)
    absent = isinstance(teacher, OfflineTeacher)
    failed = f"{why}; {reply}" if absent else f"{why}; {teacher.ref} failed: {reply}"
    return Routed(label=None, probabilities=None, by="abstain", reason=failed)


def probabilities_of(
    student: Fitted | Decides, texts: Sequence[str]
) -> list[Float[np.ndarray, " labels"]]:
    """The probabilities that a student gives each text."""
    if isinstance(student, Fitted):
        return list(student.predict_proba(texts)) if texts else []
    return [student.decide(text).probabilities for text in texts]


def evidence_of(student: Fitted | Decides, text: str) -> Reasons | tuple[str, ...] | None:
    """The evidence for a student's decision; ``None`` for a student that cannot be read."""
    if isinstance(student, Fitted):
        return student.explain(text) if student.readable else None
    return student.decide(text).found
