"""Statistics of every head, streamed: no ``n x n`` matrix is ever in memory.

Each statistic is a mean over the queries for which it is defined; NaN where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt, UInt8

__all__ = [
    "INDEX",
    "STATISTICS",
    "THUMBNAIL",
    "TOP",
    "HeadStatistics",
    "LayerSummary",
    "code_weights",
    "decode_weights",
]

STATISTICS: dict[str, str] = {
    "entropy": "nat: -sum_j w_ij ln w_ij",
    "distance": "tokens: sum_j w_ij |i - j|",
    "first": "share of mass on position 0",
    "self": "share of mass on the query's own position",
    "previous": "share of mass on the position before the query",
    "next": "share of mass on the position after the query",
    "local": "share of mass within 4 positions of the query",
    "largest": "the largest weight of a row",
    # Duplicate and induction: Olsson et al. (2022), arXiv:2209.11895. Sink: Xiao et al. (2023),
    # arXiv:2309.17453.
    "duplicate": "share of mass on earlier positions that hold the query's token",
    "induction": "share of mass on positions that follow an earlier copy of the query's token",
    "sink": "share of mass on position 0, on special tokens, and on the glue of a chat template",
    "punctuation": "share of mass on tokens of punctuation alone",
    "row_sum": "sum of a row: below 1 where the model has a sink of its own",
}
"""Name and unit of every statistic, in the order in which they are stored."""

INDEX = {name: index for index, name in enumerate(STATISTICS)}

LOCAL = 4
"""Positions to each side that count as local; part of the definition of the statistic ``local``."""

NEIGHBOURS = {-1: "previous", 0: "self", 1: "next"}
TINY = np.float32(1e-37)
"""Stands for 0 under the logarithm, where the weight before it makes the product 0; near the smallest
normal float32 (1.2e-38)."""

THUMBNAIL = 64
"""Cells along each side of a thumbnail; fewer where there are fewer tokens. Chosen by hand for a picture
of every head at once; part of the stored form."""

TOP = 8
"""Keys stored for each query, by weight. Chosen by hand; ``captured`` says how much mass they hold."""


GROUP = 8
"""Keys of a group of which only the peak is looked at first. Eight was the fastest of 4, 8, 16 at 512 and
1,024 keys."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerSummary:
    """One layer's heads.

    Attributes:
        statistics: ``[heads, statistic]`` in the order of :data:`STATISTICS`.
        uniform: ``[statistic]`` the same of a head with equal weights on all keys it may read.
        largest, mean: ``[heads, cells, cells]`` the largest and the mean weight in a cell, coded
            as ``round(255 sqrt(w))`` so that 1e-4 stays visible.
        top_keys, top_weights: ``[heads, queries, 8]`` the heaviest keys of each query, heaviest
            first; weights as float16.
        captured: ``[heads, queries]`` their sum: the mass that a picture of them shows.
    """

    statistics: Float[np.ndarray, "heads statistic"]
    uniform: Float[np.ndarray, " statistic"]
    largest: UInt8[np.ndarray, "heads cells_q cells_k"]
    mean: UInt8[np.ndarray, "heads cells_q cells_k"]
    top_keys: UInt[np.ndarray, "heads queries top"]
    top_weights: Float[np.ndarray, "heads queries top"]
    captured: Float[np.ndarray, "heads queries"]


def decode_weights(code: UInt8[np.ndarray, "*cells"]) -> Float[np.ndarray, "*cells"]:
    """Weights of a coded thumbnail: ``(code / 255)^2``, off by at most 1/255 of the square root."""
    return (code.astype(np.float64) / 255.0) ** 2


class _Means:
    """Means over queries, each over those for which it is defined."""

    def __init__(
        self, heads: int, ids: Int[np.ndarray, " tokens"] | None, marks: Mapping[str, np.ndarray]
    ) -> None:
        self.ids = ids
        self.marks = {name: mark.astype(np.float32) for name, mark in marks.items()}
        self._sum = np.zeros((heads, len(STATISTICS)))
        self._count = np.zeros(len(STATISTICS))

    def values(self) -> Float[np.ndarray, "heads statistic"]:
        with np.errstate(invalid="ignore"):
            return self._sum / np.where(self._count > 0, self._count, np.nan)

    def _add(self, name: str, each: np.ndarray) -> None:
        index = INDEX[name]
        # Summed in float64 over the rows: block sums of float32 would depend on row_block.
        self._sum[:, index] += each.sum(axis=1, dtype=np.float64)
        self._count[index] += each.shape[1]

    def add(self, rows: Int[np.ndarray, " rows"], weights: np.ndarray) -> None:
        # One pass over the weights for each statistic, in their own precision: most of capture's time.
        logs = np.log(np.maximum(weights, TINY))
        self._add("entropy", -np.einsum("hrk,hrk->hr", weights, logs))
        self._add("first", weights[:, :, 0])
        self._add("largest", weights.max(axis=2))
        self._add("row_sum", weights.sum(axis=2))
        for name, mark in self.marks.items():
            self._add(name, weights @ mark)
        if self.ids is not None:
            self._add_positions(rows, weights, self.ids)

    def _add_positions(
        self,
        rows: Int[np.ndarray, " rows"],
        weights: np.ndarray,
        ids: Int[np.ndarray, " tokens"],
    ) -> None:
        keys = weights.shape[2]
        away = np.arange(keys)[None, :] - rows[:, None]
        far = np.abs(away).astype(weights.dtype)
        self._add("distance", np.einsum("hrk,rk->hr", weights, far))
        # A band of 9 columns is gathered step by step; a mask over all keys would touch every
        # weight again.
        near = np.zeros(weights.shape[:2], dtype=weights.dtype)
        for step in range(-LOCAL, LOCAL + 1):
            there = (rows + step >= 0) & (rows + step < keys)
            lines = np.flatnonzero(there)
            band = weights[:, lines, rows[there] + step]
            near[:, lines] += band
            if step in NEIGHBOURS:
                self._add(NEIGHBOURS[step], band)
        self._add("local", near)
        same = (ids[rows][:, None] == ids[None, :]) & (away < 0)
        follows = np.zeros_like(same)
        # The key after the token just before the query is the query itself: no earlier copy.
        follows[:, 1:] = same[:, :-1] & (away[:, 1:] < 0)
        for name, mask in (("duplicate", same), ("induction", follows)):
            lines = np.flatnonzero(mask.any(axis=1))
            if lines.size:
                chosen = mask[lines].astype(weights.dtype)
                self._add(name, np.einsum("hrk,rk->hr", weights[:, lines], chosen))


class HeadStatistics:
    """Takes rows of weights of one layer, in any blocks, and gives its :class:`LayerSummary`.

    Args:
        heads, queries, keys: sizes of the layer.
        ids: ids of the tokens, for queries and keys; ``None`` where they are of two texts (cross
            attention): statistics of position and of equal tokens are then NaN.
        marks: keys that count as ``sink`` and as ``punctuation``; without them NaN.
    """

    def __init__(
        self,
        heads: int,
        queries: int,
        keys: int,
        *,
        ids: Int[np.ndarray, " tokens"] | None,
        marks: Mapping[str, Bool[np.ndarray, " tokens"]] | None = None,
    ) -> None:
        self.shape = (heads, queries, keys)
        self._means = _Means(heads, ids, marks or {})
        self._uniform = _Means(1, ids, marks or {})
        self._cells = (min(THUMBNAIL, queries), min(THUMBNAIL, keys))
        self._largest = np.zeros((heads, *self._cells), dtype=np.float32)
        self._total = np.zeros((heads, *self._cells))
        # Key j is in cell floor(j cells / keys), as rows are. The first key of cell c is therefore
        # the least j with j cells / keys >= c, which is ceil(c keys / cells).
        self._edges = np.ceil(np.arange(self._cells[1]) * keys / self._cells[1]).astype(np.int64)
        top = min(TOP, keys)
        self._top_keys = np.zeros((heads, queries, top), dtype=np.int32)
        self._top_weights = np.zeros((heads, queries, top), dtype=np.float32)

    def add(self, start: int, weights: Float[np.ndarray, "heads rows keys"]) -> None:
        """Rows of the queries from ``start`` on."""
        rows = np.arange(start, start + weights.shape[1])
        self._means.add(rows, weights)
        # The mask is one for all heads: what one head may read, each may.
        alike = (weights > 0).any(axis=0).astype(weights.dtype)
        # A row that reads nothing (padding on the left) stays zero.
        alike /= np.maximum(alike.sum(axis=1, keepdims=True), 1)
        self._uniform.add(rows, alike[None])
        self._shrink(rows, weights)
        keys, heaviest = _heaviest(weights, self._top_keys.shape[2])
        self._top_keys[:, rows] = keys
        self._top_weights[:, rows] = heaviest

    def _shrink(self, rows: Int[np.ndarray, " rows"], weights: np.ndarray) -> None:
        cells = rows * self._cells[0] // self.shape[1]
        peak = np.maximum.reduceat(weights, self._edges, axis=2)
        total = np.add.reduceat(weights, self._edges, axis=2)
        for row, cell in enumerate(cells):
            self._largest[:, cell] = np.maximum(self._largest[:, cell], peak[:, row])
            self._total[:, cell] += total[:, row]

    def summary(self) -> LayerSummary:
        """The statistics so far."""
        down = np.bincount(np.arange(self.shape[1]) * self._cells[0] // self.shape[1])
        across = np.diff([*self._edges, self.shape[2]])
        return LayerSummary(
            statistics=self._means.values(),
            uniform=self._uniform.values()[0],
            largest=code_weights(self._largest),
            mean=code_weights(self._total / (down[:, None] * across[None, :])[None]),
            # 16 bits hold every key of a text of 65,536 tokens; float16 holds a weight to one part
            # in 2,048. The sum of the weights is taken before that.
            top_keys=self._top_keys.astype(np.uint16 if self.shape[2] <= 1 << 16 else np.uint32),
            top_weights=self._top_weights.astype(np.float16),
            captured=self._top_weights.sum(axis=2, dtype=np.float32),
        )


def _heaviest(
    weights: Float[np.ndarray, "heads rows keys"], count: int
) -> tuple[Int[np.ndarray, "heads rows count"], Float[np.ndarray, "heads rows count"]]:
    """The heaviest keys of each row with their weights, heaviest first."""
    size = weights.shape[2]
    groups = size // GROUP
    candidates: np.ndarray = np.arange(size)
    if groups > count:
        # The heaviest keys lie in the groups of the heaviest peaks. Group g holds the keys g, g + groups,
        # ...: the maximum over whole vectors is several times as fast as over runs of neighbours.
        peaks = weights[:, :, : groups * GROUP].reshape(*weights.shape[:2], GROUP, groups).max(2)
        members = groups * np.arange(GROUP)
        members = _largest(peaks, count)[..., None] + members
        rest = np.broadcast_to(candidates[groups * GROUP :], (*peaks.shape[:2], size % GROUP))
        candidates = np.concatenate([members.reshape(*peaks.shape[:2], -1), rest], axis=2)
        weights = np.take_along_axis(weights, candidates, axis=2)
    places = _largest(weights, count)
    heaviest = np.take_along_axis(weights, places, axis=2)
    order = np.argsort(-heaviest, axis=2, kind="stable")
    candidates = np.broadcast_to(candidates, weights.shape)
    keys = np.take_along_axis(candidates, np.take_along_axis(places, order, axis=2), axis=2)
    return keys, np.take_along_axis(heaviest, order, axis=2)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    return np.argpartition(values, values.shape[2] - count, axis=2)[:, :, -count:]


def code_weights(weights: Float[np.ndarray, "*cells"]) -> UInt8[np.ndarray, "*cells"]:
    """Weights as ``round(255 sqrt(w))``, so that 1e-4 stays visible."""
    return np.rint(255.0 * np.sqrt(np.clip(weights, 0.0, 1.0))).astype(np.uint8)
