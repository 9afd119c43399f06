"""What every stored value shares: a canonical JSON form that reads back bit for bit.

Canonical means: keys sorted, no spaces, ASCII with escapes, floats as the shortest digits that read back to the
same 64 bits, and ``"NaN"``, ``"Infinity"``, ``"-Infinity"`` written out as strings. Two
records are equal when their canonical bytes are.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, cast

import numpy as np
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError, WithJsonSchema

from whence.core.errors import DigestError, NewerVersionError, RecordError
from whence.core.files import write_atomic

__all__ = [
    "NOT_FINITE",
    "STRICT",
    "Migration",
    "Number",
    "Record",
    "Tree",
    "Value",
    "canonical_json",
    "parse_json",
    "raised_to",
    "read_file",
    "without_surrogates",
]

# forbid: a field that this version does not know would be lost without a word. strict: pydantic
# would else take "1" for 1 and 1 for true.
STRICT = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

SEAL = "digest"
"""Key of the digest in what is written of a sealed record."""

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""Floats that JSON lacks, by the string that stands for each in a record."""


def _number(value: Any) -> Any:
    # Before strict validation, which refuses every string for a float.
    return NOT_FINITE.get(value, value) if isinstance(value, str) else value


Number = Annotated[
    float,
    BeforeValidator(_number),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(NOT_FINITE)}]}),
]
"""A float field that may be NaN or infinite; a plain ``float`` field reads finite numbers alone."""

V = TypeVar("V", bound="Value")

Tree = dict[str, Any]
Migration = Callable[[Tree], Tree]
"""A pure step from one schema version to the next."""


# As text too, which annotations are in a file that puts off their evaluation.
_DECIMAL = (float, "float", "float | None", "Number", "Number | None")


def _plain(value: Any) -> Any:
    """The JSON tree of a value; floats that JSON lacks become strings."""
    # bool first, since True is an int to isinstance and would be written as 1.
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _float(float(value))
    if isinstance(value, np.ndarray):
        return _array(cast("np.ndarray", value))
    if is_dataclass(value) and not isinstance(value, type):
        return {
            name: _decimal(_plain(getattr(value, name)))
            if decimal
            else _plain(getattr(value, name))
            for name, decimal in _shape(type(value))
        }
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value)
        return {_text(str(key)): _plain(item) for key, item in items.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in cast("tuple[Any, ...]", value)]
    if isinstance(value, frozenset):
        # The order of a set of strings changes from one process to the next (PYTHONHASHSEED), and
        # a digest must not.
        return sorted(_plain(item) for item in cast("frozenset[Any]", value))
    raise RecordError(f"a record cannot hold {type(value).__name__}; use text, numbers or arrays")


@cache
def _shape(cls: type[Any]) -> tuple[tuple[str, bool], ...]:
    """The fields of a dataclass, and whether each holds one float."""
    return tuple((field.name, field.type in _DECIMAL) for field in fields(cls))


def _decimal(plain: Any) -> Any:
    # A caller's 1 in a float field is read back as 1.0, and equality is that of the bytes.
    return float(plain) if isinstance(plain, int) and not isinstance(plain, bool) else plain


def _text(value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecordError(
            f"a record cannot hold the lone surrogate at character {error.start} of "
            f"{value[:40]!r}: half of a character, which no file can carry"
        ) from error
    return value


def without_surrogates(value: Any) -> Any:
    r"""A JSON tree, or a text, in which each lone surrogate is written as its number.

    For migrations: there were versions that stored them, and no reader of today's records takes
    them. By number and not U+FFFD, since two names that differ in nothing else must stay two.

    Example:
        >>> print(without_surrogates("no" + chr(0xD800)))
        no\ud800
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value)
        return {without_surrogates(name): without_surrogates(item) for name, item in items.items()}
    if isinstance(value, list):
        return [without_surrogates(item) for item in cast("list[Any]", value)]
    return value


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _array(value: np.ndarray) -> Tree:
    flat = value.ravel(order="C").tolist()
    # tolist gives Python floats of the same 64 bits; integers need no second look.
    data = [_float(item) for item in flat] if value.dtype.kind == "f" else flat
    # Flat, beside its shape: nested lists lose the columns of an array without rows.
    return {"dtype": value.dtype.name, "shape": list(value.shape), "data": data}


def canonical_json(value: Any) -> bytes:
    """The canonical JSON bytes of a record, dataclass, array or JSON tree.

    Example:
        >>> canonical_json({"b": float("nan"), "a": (1, 0.1)})
        b'{"a":[1,0.1],"b":"NaN"}'
    """
    # json writes floats by float.__repr__: the fewest digits that read back to the same 64 bits.
    # allow_nan=False: a NaN that slipped through is an error here and not in a reader, whose JSON
    # lacks it. ASCII, so that the bytes are the same in whatever encoding a reader supposes.
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


@cache
def _adapter(cls: type[Any]) -> Any:
    # To build a validator takes long (0.18 s for an Attribution), and it is the same each time.
    return TypeAdapter(cls)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file.

    Raises:
        RecordError: it could not be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise RecordError(f"could not read {path}: {error.strerror or error}") from error


def parse_json(data: bytes | str | Mapping[str, Any], origin: str) -> Any:
    """The tree of a JSON text; a tree that was parsed already is returned as it is.

    Raises:
        RecordError: not JSON.
    """
    if isinstance(data, Mapping):
        return dict(data)
    try:
        return json.loads(data)
    # A file nested some thousand deep ends in RecursionError, and is refused as any other.
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{origin} is not JSON: {error}") from error


def raised_to(version: int) -> Migration:
    """A step that raises the version alone: what the new one may hold, the earlier one has not."""
    return lambda tree: {**tree, "schema_version": version}


class Value:
    """Base of the frozen value types: equality and hash follow the canonical JSON form."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        # By bytes, since dataclass equality fails on arrays, whose == gives an array, and NaN is
        # never equal to itself.
        return canonical_json(self) == canonical_json(other)

    def __hash__(self) -> int:
        return hash(canonical_json(self))

    def to_tree(self) -> Tree:
        """The JSON tree of the value: what :meth:`to_json` writes, before it is text."""
        return cast("Tree", _plain(self))

    def to_json(self) -> bytes:
        """Canonical JSON bytes of the value."""
        return canonical_json(self)

    @classmethod
    def from_json(
        cls: type[V], data: bytes | str | Mapping[str, Any], *, origin: str = "the data"
    ) -> V:
        """Read a value of this class from JSON, or from a JSON tree; older versions are migrated.

        Args:
            data: JSON text, or the tree of one.
            origin: name of the source, for messages.

        Raises:
            RecordError: not JSON, of another kind, or not valid for this class.
            NewerVersionError: written by a newer whence.
        """
        return cls.from_tree(parse_json(data, origin), origin=origin)

    @classmethod
    def from_tree(cls: type[V], tree: Any, *, origin: str = "the data") -> V:
        """Read a value of this class from a parsed JSON tree; see :meth:`from_json`."""
        return cls._validated(tree, cls.__name__, origin)

    @classmethod
    def _validated(cls: type[V], tree: Any, name: str, origin: str) -> V:
        try:
            # Through JSON text, because strict validation takes a list for a tuple only there.
            return cast("V", _adapter(cls).validate_json(json.dumps(tree)))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(step) for step in first["loc"]) or "the top"
            raise RecordError(
                f"{origin} is not a valid {name!r}: at {place}: {first['msg']} "
                f"({error.error_count()} problem(s) in all)"
            ) from error
        # OverflowError: an integer of 400 digits where a float stands.
        except (TypeError, OverflowError, RecursionError) as error:
            raise RecordError(f"{origin} is not a valid {name!r}: {error}") from error


class Record(Value):
    """A value that is stored by itself: it names its kind and its schema version.

    A subclass is a frozen dataclass with fields ``kind: Literal["..."]`` and
    ``schema_version: Literal[N]``, both with their value as default. ``migrations`` maps an
    older version to the step that makes the next one of it; steps are never deleted.
    ``unmarked`` names those two fields where files of version 1 were written without them.
    ``sealed`` kinds carry the SHA-256 of their content in what is written, under ``digest``, and are
    refused where the two differ. It shows that a file was changed, not who wrote it.
    """

    __slots__ = ()
    sealed: ClassVar[bool] = False
    migrations: ClassVar[Mapping[int, Migration]] = {}
    unmarked: ClassVar[tuple[str, ...]] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the content, as 64 hexadecimal digits."""
        return hashlib.sha256(canonical_json(self)).hexdigest()

    def to_tree(self) -> Tree:
        """The JSON tree of the record: what :meth:`to_json` writes, before it is text."""
        tree = cast("Tree", _plain(self))
        return {**tree, SEAL: self.digest} if self.sealed else tree

    def to_json(self) -> bytes:
        """Canonical JSON bytes of the record."""
        return canonical_json(self.to_tree())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the canonical JSON to ``path``, whole or not at all.

        Raises:
            RecordError: a field holds what no reader would take; nothing was written.
            WriteError: nothing was written; what stood there is as it was.
        """
        data = self.to_json()
        # Read back before it replaces anything: a field that holds what its type forbids (a NaN, a
        # number too large) is no error until somebody reads the file.
        type(self).from_json(data, origin="the record to be written")
        # The line break is for tools that read lines; the digest is of the bytes without it.
        return write_atomic(path, data + b"\n")

    @classmethod
    def load(cls: type[V], path: str | os.PathLike[str]) -> V:
        """Read a record of this kind back from ``path``.

        Raises:
            RecordError: the file is missing, damaged, of another kind, or not valid.
            NewerVersionError: written by a newer whence.
        """
        return cls.from_json(read_file(path), origin=str(path))

    @classmethod
    def from_tree(cls: type[V], tree: Any, *, origin: str = "the data") -> V:
        """Read a record of this kind from a parsed JSON tree; see :meth:`from_json`."""
        record = cast("type[Record]", cls)
        content = _content(record, tree)
        result = cls._validated(
            _migrated(record, content, origin), _default(record, "kind"), origin
        )
        # Last: what is wrong with a damaged field says more than that something was changed.
        _check_seal(tree, content, origin)
        return result

    @classmethod
    def json_schema(cls) -> Tree:
        """The JSON Schema (2020-12) that :meth:`to_json` obeys."""
        # Of what is read, since pydantic writes nothing here.
        schema = _adapter(cls).json_schema(mode="validation")
        if cls.sealed:
            seal = {"type": "string", "title": "Digest"}
            schema["properties"] = {**schema["properties"], SEAL: seal}
        return schema


def _default(cls: type[Record], name: str) -> Any:
    """The default of a field that every record has: its kind, its schema version."""
    # From the field and not by getattr: with slots the class attribute is the descriptor of the
    # slot.
    return next(field.default for field in fields(cast("Any", cls)) if field.name == name)


def _content(cls: type[Record], tree: Any) -> Any:
    """The tree without the digest that a sealed record carries."""
    if not cls.sealed or not isinstance(tree, dict) or SEAL not in tree:
        return cast("Any", tree)
    return {name: item for name, item in cast("Tree", tree).items() if name != SEAL}


def _check_seal(tree: Any, content: Any, origin: str) -> None:
    if tree is not content and hashlib.sha256(canonical_json(content)).hexdigest() != tree[SEAL]:
        raise DigestError(
            f"{origin} was changed after it was written: its content does not have the digest that it "
            "states"
        )


def _migrated(cls: type[Record], tree: Any, origin: str) -> Tree:
    """A tree in the form of today's schema version."""
    kind, version = _default(cls, "kind"), _default(cls, "schema_version")
    tree = _marked(cls, tree, kind)
    name: Any = cast("Tree", tree).get("kind") if isinstance(tree, dict) else None
    if name != kind:
        raise RecordError(f"{origin} holds kind {name!r}; expected a record of kind {kind!r}")
    tree = cast("Tree", tree)
    written = tree.get("schema_version")
    # JSON's true would pass for 1.
    if isinstance(written, bool) or not isinstance(written, int) or written < 1:
        raise RecordError(f"{origin} has schema_version {written!r}; expected a positive integer")
    if written > version:
        raise NewerVersionError(
            f"{origin} is a {kind!r} of schema version {written}; this whence reads versions "
            f"1 to {version}. Upgrade whence to read it."
        )
    try:
        for step in range(written, version):
            tree = cls.migrations[step](tree)
    # A migration takes the form of its version for granted: whatever a damaged tree raises in it
    # is one refusal, with what was wrong.
    except (
        KeyError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        RecursionError,
    ) as error:
        raise RecordError(
            f"{origin} is not a valid {kind!r} of schema version {written}: "
            f"{type(error).__name__} {error}"
        ) from error
    return tree


def _marked(cls: type[Record], tree: Any, kind: str) -> Any:
    """A tree of version 1 with the kind and version that its file did not carry."""
    if not cls.unmarked or not isinstance(tree, dict) or "kind" in tree:
        return cast("Any", tree)
    marks = {"kind": kind, "schema_version": 1}
    marked = {name: marks[name] for name in cls.unmarked} | cast("Tree", tree)
    later = range(2, _default(cls, "schema_version") + 1)
    # Later versions carry their kind: one without it is damaged.
    return cast("Tree", tree) if marked.get("schema_version") in later else marked
