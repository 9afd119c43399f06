"""Students on disk: what each kind is, written whole and read back bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from whence.core.errors import CapabilityError, RecordError, WriteError
from whence.core.files import write_atomic
from whence.students.export.model_file import pack, read_tree
from whence.students.export.runtime import SCORERS, Runtime
from whence.students.families.base import Fitted
from whence.students.file_names import MODEL, WEIGHTS

__all__ = ["KINDS", "kind_of", "load_student", "save_student"]

KINDS: dict[str, str] = {
    "additive": "whence.students.families.additive.FittedAdditive",
    "linear": "whence.students.families.sparse_linear.FittedLinear",
    "prototypes": "whence.students.families.prototypes.FittedPrototypes",
    "rules": "whence.students.families.rule_list.FittedRules",
    "scorecard": "whence.students.families.scorecard.FittedScorecard",
    "tree": "whence.students.families.decision_tree.FittedTree",
    "tree-sum": "whence.students.families.fitted_tree_ensemble.FittedTreeSum",
}
"""Every kind of student this whence stores: what it carries in its JSON, and where it is."""


def kind_of(kind: str) -> type[Fitted]:
    """The class of a kind.

    Raises:
        RecordError: no such kind.

    Example:
        >>> kind_of("rules").__name__
        'FittedRules'
    """
    if kind not in KINDS:
        raise RecordError(f"a student of kind {kind!r}; this whence knows: {', '.join(KINDS)}")
    module, _, name = KINDS[kind].rpartition(".")
    return getattr(import_module(module), name)


def save_student(student: Fitted, folder: str | Path) -> None:
    """Write a student: ``model.json``, and ``weights.safetensors`` where it has many numbers.

    ``model.json`` is the source of truth and can be read by a person. It names the version of its
    schema and of the word tokenizer, and the SHA-256 of its contents and of the arrays beside it.
    The arrays are written first: a folder with one file old and one new is refused when read.

    Args:
        student: any readable student.
        folder: made where it is missing.

    Raises:
        CapabilityError: a student that nobody reads, such as the opaque ceiling.
        WriteError: a file could not be written.
    """
    if student.kind not in KINDS:
        raise CapabilityError(
            f"{type(student).__name__} is of kind {student.kind!r} and is not stored; those that "
            f"are: {', '.join(KINDS)}"
        )
    model, weights = pack(student.to_json())
    place = made(folder)
    if weights is not None:
        write_atomic(place / WEIGHTS, weights)
    write_atomic(place / MODEL, model)
    if weights is None:
        (place / WEIGHTS).unlink(missing_ok=True)


def load_student(folder: str | Path) -> Fitted:
    """The student in a folder, which decides as it did when it was saved.

    Raises:
        RecordError: missing, damaged, of an unknown kind, or not valid.
        NewerVersionError: written by a newer whence.
    """
    tree = read_tree(folder)
    kind = tree.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RecordError(
            f"{Path(folder) / MODEL} holds a student of kind {kind!r}; this whence knows: "
            f"{', '.join(KINDS)}"
        )
    # Building the runtime checks what from_json takes on trust: columns, children, lengths.
    if kind in SCORERS:
        Runtime(tree)
    build: Callable[[Mapping[str, Any]], Fitted] = getattr(kind_of(kind), "from_json")  # noqa: B009
    try:
        return build(tree)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RecordError(
            f"{Path(folder) / MODEL} is not a valid student of kind {kind!r}: {error}"
        ) from error


def made(folder: str | Path) -> Path:
    """The folder, made where it is missing.

    Raises:
        WriteError: it could not be made.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"could not make the folder {place}: {error.strerror or error}") from error
    return place
