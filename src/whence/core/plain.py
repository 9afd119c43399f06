"""Records of numbers as plain types, and back: by the types that their classes declare."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from whence.core.errors import RecordError

__all__ = ["from_plain", "to_plain"]

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """A frozen record as JSON takes it: lists, dicts, numbers and strings.

    NaN, which JSON does not have, becomes ``None``; infinity is refused.

    Example:
        >>> from whence.core.statistics.proportions import Interval
        >>> to_plain(Interval(float("nan"), 0.0, 1.0, 0))
        {'value': None, 'lower': 0.0, 'upper': 1.0, 'n': 0}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise RecordError("a number is infinite, which JSON does not have")
        return None if math.isnan(value) else float(value)
    if isinstance(value, Mapping):
        return {str(name): to_plain(own) for name, own in cast("Any", value).items()}
    if isinstance(value, Sequence):
        return [to_plain(own) for own in cast("Any", value)]
    if is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    raise RecordError(f"a {type(value).__name__} cannot be stored as plain types")


def from_plain(kind: type[T], tree: object, *, where: str = "") -> T:
    """The record of a class that :func:`to_plain` wrote.

    Args:
        kind: a dataclass.
        tree: plain types.
        where: the place in the whole, for messages.

    Raises:
        RecordError: a field that is missing, unknown or of another type.

    Example:
        >>> from whence.core.statistics.proportions import Interval
        >>> from_plain(Interval, {"value": 0.5, "lower": 0.0, "upper": 1.0, "n": 9})
        Interval(value=0.5, lower=0.0, upper=1.0, n=9)
    """
    if not isinstance(tree, Mapping):
        raise RecordError(f"{where or kind.__name__}: a {_named(tree)} found, a record is due")
    given = cast("Mapping[str, Any]", tree)
    hints = get_type_hints(kind)
    own = fields(cast("Any", kind))
    strange = sorted(set(given) - {f.name for f in own})
    missing = [
        f.name
        for f in own
        if f.name not in given and f.default is MISSING and f.default_factory is MISSING
    ]
    if strange or missing:
        raise RecordError(
            f"{where or kind.__name__}: "
            + "; ".join(
                f"{what} field {names[0]!r}"
                for what, names in (("unknown", strange), ("missing", missing))
                if names
            )
        )
    found = {
        name: _read(hints[name], value, f"{where or kind.__name__}.{name}")
        for name, value in given.items()
    }
    return kind(**found)


def _read(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        (inner,) = (own for own in args if own is not type(None))
        return _read(inner, value, where)
    if is_dataclass(hint):
        return from_plain(cast("Any", hint), value, where=where)
    if origin is tuple and isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_read(args[0], own, where) for own in value)
    if origin is dict and isinstance(value, Mapping):
        mapping = cast("Mapping[str, Any]", value)
        return {name: _read(args[1], own, f"{where}.{name}") for name, own in mapping.items()}
    if origin is Literal and value in args:
        return value
    if hint is float and (value is None or type(value) in (int, float)):
        return math.nan if value is None else float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise RecordError(f"{where}: {_named(value)} {value!r:.40} found, {hint} is due")


def _named(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
