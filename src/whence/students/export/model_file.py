"""The stored form of a student: one readable JSON file, and its large arrays beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from whence.students.features.tokenizer import VERSION as WORDS_VERSION
from whence.students.file_names import MODEL, WEIGHTS
from whence.students.manifest import check_manifest

__all__ = [
    "LARGE",
    "MIGRATIONS",
    "MODEL",
    "SCHEMA_VERSION",
    "WEIGHTS",
    "digest",
    "pack",
    "pretty",
    "read_tree",
    "refuse",
]

# This module and what it imports stay free of pydantic, so that a stored student can be run where
# there is little more than NumPy; errors, which live beside pydantic, are imported to be raised.

Tree = dict[str, Any]

SCHEMA_VERSION = 3
"""Version of the form that this whence writes."""

_KINDS_OF_VERSION_1 = {"linear": "sparse-linear", "rules": "rule-list", "tree": "decision-tree"}


def _kinds_by_family(tree: Tree) -> Tree:
    """Version 1 to 2: a kind has the name of its family; three had names of their own."""
    kind = tree.get("kind")
    return {**tree, "schema_version": 2, "kind": _KINDS_OF_VERSION_1.get(str(kind), kind)}


def _no_numbers(tree: Tree) -> Tree:
    """Version 2 to 3: features may be numbers above or up to a threshold; before, none were."""
    return {**tree, "schema_version": 3}


MIGRATIONS: dict[int, Callable[[Tree], Tree]] = {1: _kinds_by_family, 2: _no_numbers}
"""From an older version, the pure step to the next; steps are never deleted."""

# Chosen by hand: up to here a person may still read the file.
LARGE = 1000
"""Rows of numbers above which an array is stored beside the JSON file."""

_WIDTH = 100


def refuse(message: str, *, newer: bool = False) -> NoReturn:
    """Raise the error of a stored student that cannot be read."""
    from whence.core.errors import NewerVersionError, RecordError

    raise (NewerVersionError if newer else RecordError)(message)


def digest(tree: Mapping[str, Any]) -> str:
    """SHA-256 over the contents of a tree, its own ``sha256`` left out.

    Example:
        >>> digest({"kind": "rule-list"}) == digest({"sha256": "...", "kind": "rule-list"})
        True
    """
    bare = {name: value for name, value in tree.items() if name != "sha256"}
    # In one form whatever the order or layout of the file, and of NaN there is none: JSON has no
    # such number.
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def pack(student: Mapping[str, Any]) -> tuple[bytes, bytes | None]:
    """The bytes of ``model.json``, and of ``weights.safetensors`` where an array is large.

    Args:
        student: stored form of a student, as its ``to_json`` gives it.

    Raises:
        RecordError: a number that is not finite.
    """
    tree: Tree = {
        "schema_version": SCHEMA_VERSION,
        "kind": student["kind"],
        "words_version": WORDS_VERSION,
        **student,
    }
    # safetensors and no pickle, whose reading runs code of whoever wrote it.
    arrays = {name: np.array(value) for name, value in student.items() if _numbers(value) > LARGE}
    weights: bytes | None = None
    if arrays:
        from safetensors.numpy import save

        weights = save(arrays)
        tree.update({name: {"array": name} for name in arrays})
        tree["arrays"] = {"file": WEIGHTS, "sha256": hashlib.sha256(weights).hexdigest()}
    # json refuses numbers that are not finite; those beside the tree it never sees.
    infinite = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    try:
        if infinite:
            raise ValueError(f"{infinite[0]} is not finite")
        tree["sha256"] = digest(tree)
    except ValueError as error:
        refuse(f"a student of kind {student['kind']!r} cannot be stored: {error}")
    return (pretty(tree) + "\n").encode("ascii"), weights


def read_tree(folder: str | Path) -> Tree:
    """What ``to_json`` gave of the student in a folder, of whatever version.

    Raises:
        RecordError: missing, damaged, or of another version of the word tokenizer.
        NewerVersionError: written by a newer whence.
    """
    path = Path(folder) / MODEL
    check_manifest(Path(folder))
    tree = _parsed(_read(path), path)
    version = tree.get("schema_version")
    # True is an int, and equal to 1.
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        refuse(f"{path} has schema_version {version!r}; expected a positive integer")
    if version > SCHEMA_VERSION:
        refuse(
            f"{path} is a student of schema version {version}; this whence reads versions 1 to "
            f"{SCHEMA_VERSION}. Upgrade whence to read it.",
            newer=True,
        )
    # After the version, as a newer whence may digest otherwise, and before any migration, which
    # changes what was digested.
    if tree.get("sha256") != digest(tree):
        refuse(
            f"{path} is not what was written: its contents do not have the SHA-256 it names. "
            "What was certified is another student; save it again."
        )
    for step in range(version, SCHEMA_VERSION):
        tree = MIGRATIONS[step](tree)
    # Other words mean other features, under the same names: the student would decide otherwise and
    # no error say so.
    words = tree.get("words_version")
    if words != WORDS_VERSION:
        refuse(
            f"{path} was learnt on words of tokenizer version {words!r}; this whence splits texts "
            f"by version {WORDS_VERSION}, and other words would be found. Fit the student again, "
            "or use the whence that wrote it.",
            newer=isinstance(words, int) and words > WORDS_VERSION,
        )
    return _with_arrays(tree, path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        refuse(f"could not read {path}: {error.strerror or error}")


def _parsed(data: bytes, path: Path) -> Tree:
    # Python reads NaN and Infinity, which are no JSON and no numbers of a student; a file of
    # thousands of brackets exhausts its recursion.
    def no_number(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number")

    try:
        tree: Any = json.loads(data, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        refuse(f"{path} is not JSON: {error}")
    if not isinstance(tree, dict):
        refuse(f"{path} holds a {type(tree).__name__}; expected an object")
    return cast("Tree", tree)


def _with_arrays(tree: Tree, path: Path) -> Tree:
    beside: Any = tree.get("arrays")
    if beside is None:
        return tree
    # The one name: a path in a file that came from elsewhere must not reach beyond its folder.
    if beside.get("file") != WEIGHTS:
        refuse(f"{path} names {beside.get('file')!r} for its arrays; expected {WEIGHTS}")
    data = _read(path.parent / WEIGHTS)
    if hashlib.sha256(data).hexdigest() != beside.get("sha256"):
        refuse(
            f"{path.parent / WEIGHTS} does not have the SHA-256 that {MODEL} names: it is damaged, "
            "or of another student. Save the student again."
        )
    from safetensors.numpy import load

    arrays = load(data)
    whole: Tree = {}
    for name, value in tree.items():
        array: Any = cast("Tree", value).get("array") if isinstance(value, dict) else None
        if array is not None and array not in arrays:
            refuse(f"{path} asks for the array {array!r}, which {WEIGHTS} does not hold")
        # Lists, as of a small student: a family reads one form.
        whole[name] = value if array is None else arrays[array].tolist()
    return whole


def _numbers(value: Any) -> int:
    """Rows of a list that holds numbers, or rows of numbers, alone; 0 of anything else."""
    if not isinstance(value, list) or not value:
        return 0
    rows = cast("list[Any]", value)
    # type and not isinstance: True is an int, and a list of truths would be read back as numbers.
    if all(type(row) in (int, float) for row in rows):
        return len(rows)
    lists = all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows)
    flat = lists and all(type(item) is float for row in rows for item in row)
    return len(rows) if flat else 0


def pretty(value: Any, depth: int = 0) -> str:
    """JSON in which whatever fits in a line stands in one.

    Example:
        >>> print(pretty({"kind": "rule-list", "names": ["n" * 50, "m" * 20, "k" * 9]}))
        {
         "kind": "rule-list",
         "names": ["nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", "mmmmmmmmmmmmmmmmmmmm", "kkkkkkkkk"]
        }
    """
    short = json.dumps(value, allow_nan=False)
    if len(short) + depth <= _WIDTH or not isinstance(value, dict | list):
        return short
    pad = " " * (depth + 1)
    if isinstance(value, dict):
        items = cast("Tree", value).items()
        inner = [f"{json.dumps(name)}: {pretty(item, depth + 1)}" for name, item in items]
        return "{\n" + ",\n".join(pad + line for line in inner) + "\n" + pad[1:] + "}"
    inner = [pretty(item, depth + 1) for item in cast("list[Any]", value)]
    return "[\n" + ",\n".join(pad + line for line in inner) + "\n" + pad[1:] + "]"
