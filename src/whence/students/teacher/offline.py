"""A teacher that is known by name and cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whence.core.errors import ModelOutputError
from whence.students.teacher.teacher import Answers

__all__ = ["OfflineTeacher"]


@dataclass(frozen=True, slots=True)
class OfflineTeacher:
    """Stands for the teacher of a stored student: the same name and labels, never an answer.

    A router with it abstains where its student may not answer. It audits nothing: build it with
    ``audit_rate=0.0``.

    Example:
        >>> OfflineTeacher("bert", "sha256:1", ("no", "yes")).ask(["late"])
        Traceback (most recent call last):
        ...
        whence.core.errors.ModelOutputError: expected a teacher, got none; name it with --model
    """

    ref: str
    fingerprint: str | None
    labels: tuple[str, ...]

    def ask(self, texts: Sequence[str]) -> Answers:
        """Refused.

        Raises:
            ModelOutputError: always.
        """
        raise ModelOutputError("expected a teacher, got none; name it with --model")
