"""Students on disk: written whole and read back bit for bit."""

from __future__ import annotations

from pathlib import Path

from whence.core.errors import CapabilityError, RecordError, WriteError
from whence.core.files import write_atomic
from whence.students.export.model_file import pack, read_tree
from whence.students.export.runtime import Runtime
from whence.students.families.base import Fitted
from whence.students.families.registry import fitted_class
from whence.students.file_names import MODEL, WEIGHTS

__all__ = ["load_student", "save_student"]


def save_student(student: Fitted, folder: str | Path) -> None:
    """Write a student: ``model.json``, and ``weights.safetensors`` where it has many numbers.

    ``model.json`` is the source of truth and can be read by a person. It names the version of its
    schema and of the word tokenizer, and the SHA-256 of its contents and of the arrays beside it.
    The arrays are written first: a folder with one file old and one new is refused when read.

    Args:
        student: student of a readable family.
        folder: folder to write to; created if missing.

    Raises:
        CapabilityError: a student that nobody reads, such as the opaque ceiling.
        WriteError: a file could not be written.
    """
    if not student.readable:
        raise CapabilityError(
            f"{type(student).__name__} is of kind {student.kind!r} and is not stored: only a "
            "student that a person can read is"
        )
    model, weights = pack(student.to_json())
    place = make_folder(folder)
    if weights is not None:
        write_atomic(place / WEIGHTS, weights)
    write_atomic(place / MODEL, model)
    # Last: until the new model stands, the old one still needs its arrays.
    if weights is None:
        (place / WEIGHTS).unlink(missing_ok=True)


def load_student(folder: str | Path) -> Fitted:
    """The student in a folder, which decides as it did when it was saved.

    Raises:
        RecordError: missing, damaged, of an unknown kind, or not valid.
        NewerVersionError: written by a newer whence.
    """
    tree = read_tree(folder)
    kind = str(tree.get("kind"))
    try:
        cls = fitted_class(kind)
    except RecordError as error:
        raise RecordError(f"{Path(folder) / MODEL}: {error}") from error
    # Building the runtime checks what from_json takes on trust: columns, children, lengths.
    Runtime(tree)
    try:
        return cls.from_json(tree)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RecordError(
            f"{Path(folder) / MODEL} is not a valid student of kind {kind!r}: {error}"
        ) from error


def make_folder(folder: str | Path) -> Path:
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
