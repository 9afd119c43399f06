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

__all__ = ["as_teacher", "gold_indices", "students_named"]


def as_teacher(model: object) -> Teacher:
    """A teacher as it is; of a loaded classifier the one that answers with its logits.

    Raises:
        OptionError: something that is neither, or a callable whose numbers were not declared.
    """
    if isinstance(model, Teacher):
        return model
    if isinstance(model, TokenModel | CallableModel):
        return Teacher.of(model)
    raise OptionError(
        f"expected a Teacher or a loaded model, got a {type(model).__name__}; use "
        "Teacher.of_labels(function, labels=[...]) for a function that answers label names, "
        "Teacher.of(whence.load(function, labels=[...]), gives=...) for one that answers numbers"
    )


def students_named(students: Sequence[Student | str]) -> tuple[Student, ...]:
    """Students, each as it is or by its name.

    Raises:
        OptionError: none, or two of one name.
        UnknownNameError: a name that no family has.

    Example:
        >>> students_named(["rule-list-3"])[0].name
        'rule-list-3'
    """
    result = tuple(student_by_name(s) if isinstance(s, str) else s for s in students)
    names = [student.name for student in result]
    if not names or len(set(names)) != len(names):
        raise OptionError(f"expected one student or more, of different names, got {names}")
    return result


def gold_indices(
    gold: Iterable[object], labels: Sequence[str], count: int
) -> Int[np.ndarray, " texts"]:
    """True labels as indices of the teacher's.

    Raises:
        InputError: another number of them than of texts, or one that the teacher does not have.
    """
    truth = list(gold)
    if len(truth) != count:
        raise InputError(f"expected one gold label a text, got {len(truth)} for {count} texts")
    index = {label: place for place, label in enumerate(labels)}
    for row, label in enumerate(truth):
        if not isinstance(label, str) or label not in index:
            raise InputError(
                f"expected gold labels among the teacher's ({', '.join(labels)}), got {label!r} "
                f"for text {row}"
            )
    return np.array([index[str(label)] for label in truth], dtype=np.int64)
