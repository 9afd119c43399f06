"""What is kept of every head, streamed: no ``n x n`` matrix is ever held.

Each statistic is a mean over the queries for which it is defined; NaN where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt, UInt8

__all__ = ["STATISTICS", "THUMBNAIL", "TOP", "HeadStatistics", "LayerSummary", "decode_thumbnail"]

STATISTICS: dict[str, str] = {
    "entropy": "nat: -sum_j w_ij ln w_ij",
    "distance": "tokens: sum_j w_ij |i - j|",
    "first": "share of mass on position 0",
    "self": "share of mass on the query's own position",
    "previous": "share of mass on the position before the query",
    "next": "share of mass on the position after the query",
    "local": "share of mass within 4 positions of the query",
    "largest": "the largest weight of a row",
    "duplicate": "share of mass on earlier positions that hold the query's token",
    "induction": "share of mass on positions that follow an earlier copy of the query's token",
    "row_sum": "sum of a row: below 1 where the model has a sink of its own",
}
"""Name and unit of every statistic, in the order in which they are stored."""

PLACES = {name: place for place, name in enumerate(STATISTICS)}
LOCAL = 4
NEIGHBOURS = {-1: "previous", 0: "self", 1: "next"}
TINY = np.float32(1e-37)
"""Stands for 0 under the logarithm, where the weight before it makes the product 0."""

THUMBNAIL = 64
"""Cells along each side of a thumbnail; fewer where there are fewer tokens."""

TOP = 8
"""Keys kept of each query, by weight."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerSummary:
    """One layer's heads.

    Attributes:
        statistics: ``[heads, statistic]`` in the order of :data:`STATISTICS`.
        largest, mean: ``[heads, cells, cells]`` the largest and the mean weight in a cell, coded
            as ``round(255 sqrt(w))`` so that 1e-4 stays visible.
        top_keys, top_weights: ``[heads, queries, 8]`` the heaviest keys of each query, heaviest
            first; weights as float16.
        captured: ``[heads, queries]`` their sum: the mass that a picture of them shows.
    """

    statistics: Float[np.ndarray, "heads statistic"]
    largest: UInt8[np.ndarray, "heads cells_q cells_k"]
    mean: UInt8[np.ndarray, "heads cells_q cells_k"]
    top_keys: UInt[np.ndarray, "heads queries top"]
    top_weights: Float[np.ndarray, "heads queries top"]
    captured: Float[np.ndarray, "heads queries"]


def decode_thumbnail(code: UInt8[np.ndarray, "*cells"]) -> Float[np.ndarray, "*cells"]:
    """Weights of a coded thumbnail: ``(code / 255)^2``, off by at most 1/255 of the square root."""
    return (code.astype(np.float64) / 255.0) ** 2


class HeadStatistics:
    """Takes rows of weights of one layer, in any blocks, and gives its :class:`LayerSummary`.

    Args:
        heads, queries, keys: sizes of the layer.
        ids: the tokens, queries and keys alike; ``None`` where queries and keys are of two texts (cross
            attention), for which statistics of position and of equal tokens are NaN.
    """

    def __init__(
        self,
        heads: int,
        queries: int,
        keys: int,
        *,
        ids: Int[np.ndarray, " tokens"] | None,
    ) -> None:
        self.shape = (heads, queries, keys)
        self.ids = ids
        self._sum = np.zeros((heads, len(STATISTICS)))
        self._count = np.zeros(len(STATISTICS))
        self._cells = (min(THUMBNAIL, queries), min(THUMBNAIL, keys))
        self._largest = np.zeros((heads, *self._cells), dtype=np.float32)
        self._total = np.zeros((heads, *self._cells))
        self._edges = np.ceil(np.arange(self._cells[1]) * keys / self._cells[1]).astype(np.int64)
        top = min(TOP, keys)
        self._top_keys = np.zeros((heads, queries, top), dtype=np.int32)
        self._top_weights = np.zeros((heads, queries, top), dtype=np.float32)

    def add(self, start: int, weights: Float[np.ndarray, "heads rows keys"]) -> None:
        """Rows of the queries from ``start`` on."""
        rows = np.arange(start, start + weights.shape[1])
        self._describe(rows, weights)
        self._shrink(rows, weights)
        top = self._top_keys.shape[2]
        keys = np.argpartition(-weights, top - 1, axis=2)[:, :, :top]
        found = np.take_along_axis(weights, keys, axis=2)
        order = np.argsort(-found, axis=2, kind="stable")
        self._top_keys[:, rows] = np.take_along_axis(keys, order, axis=2)
        self._top_weights[:, rows] = np.take_along_axis(found, order, axis=2)

    def _describe(self, rows: Int[np.ndarray, " rows"], weights: np.ndarray) -> None:
        def take(name: str, each: np.ndarray) -> None:
            place = PLACES[name]
            self._sum[:, place] += each.sum(axis=1, dtype=np.float64)
            self._count[place] += each.shape[1]

        # One pass over the weights each, in their own precision: this is what capture spends.
        logs = np.log(np.maximum(weights, TINY))
        take("entropy", -np.einsum("hrk,hrk->hr", weights, logs))
        take("first", weights[:, :, 0])
        take("largest", weights.max(axis=2))
        take("row_sum", weights.sum(axis=2))
        if self.ids is None:
            return
        keys = self.shape[2]
        columns = np.arange(keys)
        away = columns[None, :] - rows[:, None]
        far = np.abs(away).astype(weights.dtype)
        take("distance", np.einsum("hrk,rk->hr", weights, far))
        near = np.zeros(weights.shape[:2], dtype=weights.dtype)
        for step in range(-LOCAL, LOCAL + 1):
            there = (rows + step >= 0) & (rows + step < keys)
            lines = np.flatnonzero(there)
            band = weights[:, lines, rows[there] + step]
            near[:, lines] += band
            if step in NEIGHBOURS:
                take(NEIGHBOURS[step], band)
        take("local", near)
        same = (self.ids[rows][:, None] == self.ids[None, :]) & (away < 0)
        follows = np.zeros_like(same)
        # The place after the token just before the query is the query's own: no earlier copy.
        follows[:, 1:] = same[:, :-1] & (away[:, 1:] < 0)
        for name, mask in (("duplicate", same), ("induction", follows)):
            lines = np.flatnonzero(mask.any(axis=1))
            if lines.size:
                chosen = mask[lines].astype(weights.dtype)
                take(name, np.einsum("hrk,rk->hr", weights[:, lines], chosen))

    def _shrink(self, rows: Int[np.ndarray, " rows"], weights: np.ndarray) -> None:
        cells = rows * self._cells[0] // self.shape[1]
        peak = np.maximum.reduceat(weights, self._edges, axis=2)
        total = np.add.reduceat(weights, self._edges, axis=2)
        for place, cell in enumerate(cells):
            self._largest[:, cell] = np.maximum(self._largest[:, cell], peak[:, place])
            self._total[:, cell] += total[:, place]

    def summary(self) -> LayerSummary:
        """What was found."""
        down = np.bincount(np.arange(self.shape[1]) * self._cells[0] // self.shape[1])
        across = np.diff([*self._edges, self.shape[2]])
        with np.errstate(invalid="ignore"):
            means = self._sum / np.where(self._count > 0, self._count, np.nan)
        return LayerSummary(
            statistics=means,
            largest=_code(self._largest),
            mean=_code(self._total / (down[:, None] * across[None, :])[None]),
            top_keys=self._top_keys.astype(np.uint16 if self.shape[2] <= 1 << 16 else np.uint32),
            top_weights=self._top_weights.astype(np.float16),
            captured=self._top_weights.sum(axis=2, dtype=np.float32),
        )


def _code(weights: np.ndarray) -> np.ndarray:
    return np.rint(255.0 * np.sqrt(np.clip(weights, 0.0, 1.0))).astype(np.uint8)
