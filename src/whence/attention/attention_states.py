"""Exact weights from queries, keys and one normaliser a row, in place of an n x n matrix.

``w[i, j] = exp(score[i, j] - lse[i])`` for the keys a row may read, else 0, where the score is
``cap(scaling q_i . k_j) + bias[j - i]``. The normaliser is read off the row's heaviest weight, so a
sink of the model's own is in it. Which keys a row may read is stored as one interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from whence.models.internals.attention_capture import LayerStates

__all__ = ["EXACT", "AttentionStates", "StatesRecorder"]

EXACT = 1e-4
"""Largest difference to the captured weights with which states are stored. Softmax in float32 of rows of
thousands of keys differs by less (below 1e-5, docs/explanation/attention.md); a mask with holes or an
unknown bias by far more. Chosen by hand; not calibrated."""


@dataclass(frozen=True, slots=True, eq=False)
class AttentionStates:
    """One layer's states, from which any part of its weights can be computed.

    Attributes:
        query, key: ``[heads, queries, width]`` and ``[groups, keys, width]``.
        value_norm: ``[groups, keys]`` Euclidean length of each value.
        lse: ``[heads, queries]`` the normaliser of each row, in nat; infinite for a row that
            reads nothing.
        interval: ``[queries, 2]`` the keys a row may read, from the first to one past the last.
        bias: see :class:`~whence.models.internals.attention_capture.LayerStates`.
        scaling, softcap: as there.
    """

    query: Float[np.ndarray, "heads queries width"]
    key: Float[np.ndarray, "groups keys width"]
    value_norm: Float[np.ndarray, "groups keys"]
    lse: Float[np.ndarray, "heads queries"]
    interval: Int[np.ndarray, "queries 2"]
    bias: Float[np.ndarray, "heads distances"] | None
    scaling: float
    softcap: float | None

    def group(self, head: int) -> int:
        """The group of keys that a head reads."""
        return head * len(self.key) // len(self.query)

    def scores(
        self, head: int, rows: Int[np.ndarray, " rows"], keys: slice
    ) -> Float[np.ndarray, "rows keys"]:
        """The scores that the softmax of a head reads, for some queries and a range of keys."""
        return scores(
            self.query[head, rows],
            self.key[self.group(head), keys],
            scaling=self.scaling,
            softcap=self.softcap,
            bias=None if self.bias is None else self.bias[head][self._distances(rows, keys)],
        )

    def weights(
        self, head: int, rows: Int[np.ndarray, " rows"], keys: slice
    ) -> Float[np.ndarray, "rows keys"]:
        """The weights of a head, for some queries and a range of keys.

        Cost: a product of ``rows x keys x width``, no pass of the model.
        """
        weights = np.exp(self.scores(head, rows, keys) - self.lse[head, rows][:, None])
        columns = np.arange(self.key.shape[1])[keys]
        low, high = self.interval[rows].T
        return weights * ((columns >= low[:, None]) & (columns < high[:, None]))

    def _distances(self, rows: Int[np.ndarray, " rows"], keys: slice) -> np.ndarray:
        columns = np.arange(self.key.shape[1])[keys]
        return columns[None] - rows[:, None] + self.query.shape[1] - 1


def scores(
    query: Float[np.ndarray, "*heads rows width"],
    key: Float[np.ndarray, "*heads keys width"],
    *,
    scaling: float,
    softcap: float | None,
    bias: Float[np.ndarray, "*heads rows keys"] | None,
) -> Float[np.ndarray, "*heads rows keys"]:
    """The scores that a softmax reads: scaled products, capped, plus the bias by distance."""
    products = np.matmul(query, key.swapaxes(-1, -2)) * np.float32(scaling)
    if softcap is not None:
        products = np.float32(softcap) * np.tanh(products / np.float32(softcap))
    return products if bias is None else products + bias


class StatesRecorder:
    """Takes a layer's states and then its rows, and measures how well the states give the rows.

    Layers whose weights are no softmax of these scores (a mask with holes, a bias that is not one of
    distance) differ; :attr:`error` is the largest difference.
    """

    def __init__(self, states: LayerStates) -> None:
        self.states = states
        heads, queries = states.query.shape[:2]
        self.groups = len(states.key)
        self.lse = np.full((heads, queries), np.inf, dtype=np.float32)
        self.interval = np.zeros((queries, 2), dtype=np.int32)
        self.error = 0.0

    def add(self, start: int, weights: Float[np.ndarray, "heads rows keys"]) -> None:
        """Rows of the queries from ``start`` on, compared with what the states give."""
        rows = np.arange(start, start + weights.shape[1])
        heads, keys = len(weights), weights.shape[2]
        open_ = np.asarray((weights > 0).any(axis=0))
        # One interval for all heads, since a mask is one for all: a key that any head reads may be
        # read. Holes inside it show as a difference below.
        low = open_.argmax(axis=1)
        high = np.where(open_.any(axis=1), keys - open_[:, ::-1].argmax(axis=1), 0)
        self.interval[rows] = np.stack([low, high], axis=1)
        result = self._scores(rows).reshape(weights.shape)
        # lse = score - ln(weight) holds at every key. At the heaviest one the logarithm has the
        # least relative error, and no weight has been rounded to zero.
        best = weights.argmax(axis=2)[..., None]
        heaviest = np.take_along_axis(weights, best, axis=2)[..., 0]
        with np.errstate(divide="ignore"):
            self.lse[:, rows] = np.take_along_axis(result, best, axis=2)[..., 0] - np.log(heaviest)
        result -= self.lse[:, rows][..., None]
        np.exp(result, out=result)
        columns = np.arange(keys)
        result *= (columns >= low[:, None]) & (columns < high[:, None])
        result -= weights
        if heads and keys:
            # The two ends, and not abs().max(): that would make another array of the size of the
            # weights.
            self.error = max(self.error, float(result.max()), -float(result.min()))

    def _scores(self, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "groups lines keys"]:
        states = self.states
        heads, _, width = states.query.shape
        # Heads of one group stand side by side, so their rows are one product with the keys of the
        # group, which are never repeated in memory.
        shared = heads // self.groups
        bias = None
        if states.bias is not None:
            away = np.arange(states.key.shape[1])[None] - rows[:, None] + states.query.shape[1] - 1
            bias = states.bias[:, away].reshape(self.groups, -1, states.key.shape[1])
        query = states.query[:, rows].reshape(self.groups, shared * len(rows), width)
        return scores(query, states.key, scaling=states.scaling, softcap=states.softcap, bias=bias)

    def result(self) -> AttentionStates:
        """The states with the normalisers of the rows."""
        states = self.states
        return AttentionStates(
            query=states.query,
            key=states.key,
            value_norm=np.linalg.norm(states.value, axis=2).astype(np.float32),
            lse=self.lse,
            interval=self.interval,
            bias=states.bias,
            scaling=states.scaling,
            softcap=states.softcap,
        )
