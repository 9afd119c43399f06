"""A teacher's answers to some texts, where one that fails does not cost the others theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from whence.core.errors import InputError, Interrupted, ModelOutputError
from whence.students.teacher.teacher import Answers

__all__ = ["MAX_CONSECUTIVE_FAILURES", "Answer", "Askable", "Reply", "first_error", "replies_of"]

# Chosen by hand: a service that is down would else be waited for once a text.
MAX_CONSECUTIVE_FAILURES = 3
"""Failures of the teacher in a row after which the rest of a batch is not asked."""


@runtime_checkable
class Askable(Protocol):
    """What the router asks of a teacher; :class:`whence.students.teacher.teacher.Teacher` is one."""

    @property
    def ref(self) -> str:
        """A name for messages."""
        ...

    @property
    def fingerprint(self) -> str | None:
        """What its answers hold for; ``None`` for a callable without a version."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its labels."""
        ...

    def ask(self, texts: Sequence[str]) -> Answers:
        """Its answers."""
        ...


class Answer(NamedTuple):
    """What the teacher said of one text: the index of its label, and all probabilities."""

    top: int
    probabilities: Float[np.ndarray, " labels"]


Reply = Answer | Exception


def replies_of(teacher: Askable, texts: Sequence[str]) -> list[Reply]:
    """The answer to each text, or the error that it met.

    All are asked in one go; where that fails, one by one, until three in a row have failed. A
    text that is itself refused (:class:`whence.core.errors.InputError`) does not count as one.

    Raises:
        Interrupted: stopped by the user.

    Example:
        >>> from whence.students.teacher.teacher import Teacher
        >>> def rule(texts):
        ...     if "down" in texts:
        ...         raise TimeoutError("no answer")
        ...     return ["reject" if "late" in text else "accept" for text in texts]
        >>> teacher = Teacher.of_labels(rule, labels=["accept", "reject"])
        >>> for reply in replies_of(teacher, ["late", "down"]):
        ...     print(type(reply).__name__)
        Answer
        ModelOutputError
    """
    try:
        return [*_asked(teacher, texts)]
    except Interrupted:
        raise
    except Exception as error:
        # The one text has just been asked: asking it again would only be paid twice.
        if len(texts) == 1:
            return [error]
    result: list[Reply] = []
    failures: list[Exception] = []
    for text in texts:
        if len(failures) == MAX_CONSECUTIVE_FAILURES:
            result.append(failures[-1])
            continue
        try:
            result += _asked(teacher, [text])
            failures.clear()
        except Interrupted:
            raise
        except Exception as error:
            result.append(error)
            # A refused text says nothing of whether the teacher is up.
            if not isinstance(error, InputError):
                failures.append(error)
    return result


def first_error(replies: Iterable[Reply]) -> Exception | None:
    """The first of some replies that is an error.

    Example:
        >>> first_error([Answer(0, np.array([1.0, 0.0])), TimeoutError("no answer")])
        TimeoutError('no answer')
    """
    return next((reply for reply in replies if isinstance(reply, Exception)), None)


def _asked(teacher: Askable, texts: Sequence[str]) -> list[Answer]:
    answers = teacher.ask(texts)
    if len(answers) != len(texts):
        raise ModelOutputError(f"{teacher.ref} gave {len(answers)} answers to {len(texts)} texts")
    tops: list[int] = answers.top.tolist()
    return [Answer(top, row) for top, row in zip(tops, answers.probabilities, strict=True)]
