"""Array fields of records: fixed dtype, read-only, explicit shape and non-finite values."""

from __future__ import annotations

import math
from typing import Annotated, Any, cast

import numpy as np
from jaxtyping import Float
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from whence.core.record import NOT_FINITE

__all__ = ["FloatMatrix", "FloatVector", "frozen_array"]


def frozen_array(values: Any, dtype: str = "float64") -> np.ndarray:
    """A read-only, C-ordered copy in native byte order.

    Example:
        >>> frozen_array([1, 2]).flags.writeable
        False
    """
    # A copy even where nothing changes: a caller who keeps the array could still write to it.
    copy = np.array(values, dtype=dtype, order="C", copy=True)
    copy.flags.writeable = False
    return copy


class _ArrayCodec:
    """How pydantic reads and describes an array field."""

    def __init__(self, dtype: str, ndim: int) -> None:
        self.dtype = dtype
        self.ndim = ndim

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        number: dict[str, Any] = {"type": "number"}
        item = {"anyOf": [number, {"enum": list(NOT_FINITE)}]}
        return {
            "type": "object",
            "additionalProperties": False,
            "required": ["data", "dtype", "shape"],
            "properties": {
                "dtype": {"const": self.dtype},
                "shape": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0},
                    "minItems": self.ndim,
                    "maxItems": self.ndim,
                },
                "data": {"type": "array", "items": item},
            },
        }

    def _read(self, value: Any) -> np.ndarray:
        if not isinstance(value, dict) or set(cast("dict[str, Any]", value)) != {
            "dtype",
            "shape",
            "data",
        }:
            raise ValueError("an array needs exactly dtype, shape and data")
        tree = cast("dict[str, Any]", value)
        if tree["dtype"] != self.dtype:
            raise ValueError(f"expected an array of {self.dtype!r}, got {tree['dtype']!r}")
        shape = tree["shape"]
        # type() and not isinstance: True would pass for a size of 1.
        if not isinstance(shape, list) or not all(
            type(size) is int and size >= 0 for size in cast("list[Any]", shape)
        ):
            raise ValueError(f"array shape {shape!r} is not a list of sizes")
        sizes = cast("list[int]", shape)
        if len(sizes) != self.ndim:
            raise ValueError(f"expected {self.ndim} dimensions, got {len(sizes)}")
        data = tree["data"]
        if not isinstance(data, list) or len(cast("list[Any]", data)) != math.prod(sizes):
            raise ValueError(f"array data does not fill its shape {sizes}")
        items = [self._item(item) for item in cast("list[Any]", data)]
        # The shape is taken from the record, since a list without numbers has none of its own.
        return frozen_array(np.array(items, dtype=self.dtype).reshape(sizes), self.dtype)

    def _item(self, item: Any) -> float:
        if isinstance(item, str) and item in NOT_FINITE:
            return NOT_FINITE[item]
        # Whole floats are written without a point by other tools, so ints are read; True is an int
        # as well and is none.
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise ValueError(f"{item!r} is not a number")
        return float(item)


FloatMatrix = Annotated[Float[np.ndarray, "rows columns"], _ArrayCodec("float64", 2)]
FloatVector = Annotated[Float[np.ndarray, " entries"], _ArrayCodec("float64", 1)]
