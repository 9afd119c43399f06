"""What a router gives back, and what it takes for a student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from whence.students.student import Reasons

__all__ = ["By", "Counts", "Decided", "Decides", "Routed"]

By = Literal["student", "teacher", "abstain"]


@runtime_checkable
class Decided(Protocol):
    """What a student that decides one text at a time says of it."""

    @property
    def probabilities(self) -> Float[np.ndarray, " labels"]:
        """Of all labels."""
        ...

    @property
    def found(self) -> tuple[str, ...]:
        """The student's features that the text has."""
        ...


@runtime_checkable
class Decides(Protocol):
    """A student that decides one text at a time; :class:`whence.students.runtime.Runtime` is one."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its labels."""
        ...

    def decide(self, text: str) -> Decided:
        """Its probabilities of a text."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Routed:
    """A decision, and whose it is.

    Attributes:
        label: what was decided; ``None`` where the router abstained.
        probabilities: of all labels, by whoever decided; ``None`` likewise.
        by: who decided.
        reason: why they did, or why nobody could.
        evidence: where the student decided, what it went by: its reasons, or for a stored
            student the features it found. The student's reasons are none of the teacher's.
        audited: whether the teacher was asked beside the student, to watch over it.
        audit_agreed: whether it said the same; ``None`` where it was not asked, or failed.
    """

    label: str | None
    probabilities: Float[np.ndarray, " labels"] | None
    by: By
    reason: str
    evidence: Reasons | tuple[str, ...] | None = None
    audited: bool = False
    audit_agreed: bool | None = None


class Counts(NamedTuple):
    """How many texts were decided by whom, and how the audits went."""

    student: int = 0
    teacher: int = 0
    abstain: int = 0
    audits: int = 0
    audits_agreed: int = 0
    audits_failed: int = 0
