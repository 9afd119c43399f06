"""Sparse tables: sizes and dense copies, which SciPy leaves untyped."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from jaxtyping import Float
from scipy import sparse

__all__ = ["dense", "size"]


def size(table: sparse.csr_array) -> tuple[int, int]:
    """Rows and columns.

    Example:
        >>> size(sparse.csr_array((2, 3)))
        (2, 3)
    """
    rows, columns = cast("Any", table).shape
    return int(rows), int(columns)


def dense(table: sparse.csr_array) -> Float[np.ndarray, "rows columns"]:
    """The table with its zeros written out."""
    return np.asarray(cast("Any", table).toarray())
