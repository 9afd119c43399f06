"""What a caller gives to be distilled, checked before anything is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

from whence.core.errors import InputError, OptionError
from whence.models.adapters.callable import CallableModel
from whence.models.protocols import TokenModel
from whence.students.families.base import Student
from whence.students.families.registry import student_by_name
from whence.students.teacher.teacher import Teacher

__all__ = ["as_teacher", "gold_indices", "named"]


def as_teacher(given: object) -> Teacher:
    """A teacher; of a loaded classifier the one that answers with its logits.

    Raises:
        OptionError: something that is neither, or a callable whose numbers were not declared.
    """
    if isinstance(given, Teacher):
        return given
    if isinstance(given, TokenModel | CallableModel):
        return Teacher.of(given)
    raise OptionError(
        f"a {type(given).__name__} was given for a teacher; a Teacher or a loaded model is due: "
        "Teacher.of_labels(function, labels=[...]) for a function that answers label names, "
        "Teacher.of(whence.load(function, labels=[...]), gives=...) for one that answers numbers"
    )


def named(students: Sequence[Student | str]) -> tuple[Student, ...]:
    """Students, those given by name among them.

    Raises:
        OptionError: none, or two of one name.
        UnknownNameError: a name that no family has.

    Example:
        >>> named(["rule-list-3"])[0].name
        'rule-list-3'
    """
    found = tuple(student_by_name(s) if isinstance(s, str) else s for s in students)
    if not found or len({student.name for student in found}) != len(found):
        raise OptionError("students must be one at least, and of different names")
    return found


def gold_indices(
    gold: Iterable[object], labels: Sequence[str], count: int
) -> Int[np.ndarray, " texts"]:
    """True labels as indices of the teacher's.

    Raises:
        InputError: another number of them than of texts, or one that the teacher does not have.
    """
    given = list(gold)
    if len(given) != count:
        raise InputError(f"{len(given)} gold labels came with {count} texts; one each is due")
    place = {label: index for index, label in enumerate(labels)}
    for row, label in enumerate(given):
        if not isinstance(label, str) or label not in place:
            raise InputError(
                f"gold label {label!r} of text {row} is none of the teacher's: {', '.join(labels)}"
            )
    return np.array([place[str(label)] for label in given], dtype=np.int64)
