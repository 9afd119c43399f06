"""Streamed statistics of heads against the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.attention.statistics import STATISTICS, TOP, HeadStatistics, decode_weights

NAMES = list(STATISTICS)


def causal(heads, n, seed):
    rng = np.random.default_rng(seed)
    raw = np.exp(2 * rng.standard_normal((heads, n, n))) * np.tril(np.ones((n, n)))
    return (raw / raw.sum(-1, keepdims=True)).astype(np.float32)


def summed(weights, ids, block):
    heads, queries, keys = weights.shape
    found = HeadStatistics(heads, queries, keys, ids=ids)
    for start in range(0, queries, block):
        found.add(start, weights[:, start : start + block])
    return found.summary()


@given(n=st.integers(1, 90), block=st.integers(1, 40), seed=st.integers(0, 99))
def test_blocks_of_any_size_give_the_whole(n, block, seed):
    weights = causal(2, n, seed)
    ids = np.random.default_rng(seed).integers(0, 6, n)
    found = summed(weights, ids, block)
    away = np.arange(n)[None] - np.arange(n)[:, None]
    wanted = {
        "entropy": -(weights * np.log(np.where(weights > 0, weights, 1))).sum(-1).mean(-1),
        "distance": (weights * np.abs(away)).sum(-1).mean(-1),
        "first": weights[:, :, 0].mean(-1),
        "self": np.einsum("hii->hi", weights).mean(-1),
        "local": (weights * (np.abs(away) <= 4)).sum(-1).mean(-1),
        "largest": weights.max(-1).mean(-1),
        "row_sum": np.ones(2),
    }
    for name, value in wanted.items():
        assert found.statistics[:, NAMES.index(name)] == pytest.approx(value, abs=1e-5), name
    whole = weights.astype(float)
    assert found.captured == pytest.approx(
        np.sort(whole, axis=-1)[:, :, ::-1][:, :, :TOP].sum(-1), abs=1e-6
    )
    picked = np.take_along_axis(weights, found.top_keys.astype(np.int64), axis=2)
    assert np.array_equal(picked.astype(np.float16), found.top_weights)


def test_copies_and_what_follows_them():
    ids = np.array([5, 7, 9, 5, 7])
    weights = np.zeros((1, 5, 5), dtype=np.float32)
    weights[0, np.arange(5), [0, 1, 2, 1, 2]] = 1  # the second 5 reads 7, the second 7 reads 9
    found = summed(weights, ids, 2).statistics[0]
    assert found[NAMES.index("induction")] == 1
    assert found[NAMES.index("duplicate")] == 0
    weights[0, 3], weights[0, 4] = np.eye(5)[0], np.eye(5)[1]
    found = summed(weights, ids, 2).statistics[0]
    assert found[NAMES.index("induction")] == 0
    assert found[NAMES.index("duplicate")] == 1


def test_neighbours_are_counted_only_where_there_is_one():
    weights = np.zeros((1, 4, 4), dtype=np.float32)
    weights[0, np.arange(4), [0, 0, 1, 2]] = 1
    found = summed(weights, np.arange(4), 3).statistics[0]
    assert found[NAMES.index("previous")] == 1
    assert found[NAMES.index("next")] == 0
    assert np.isnan(found[NAMES.index("duplicate")])


def test_two_texts_have_no_positions_in_common():
    found = summed(causal(1, 6, 0), None, 4).statistics[0]
    for name in ("distance", "self", "previous", "next", "local", "duplicate", "induction"):
        assert np.isnan(found[NAMES.index(name)])
    assert np.isfinite(found[NAMES.index("entropy")])


@pytest.mark.parametrize("n", [3, 64, 100, 200])
def test_thumbnails_are_the_largest_and_the_mean_of_their_cells(n):
    weights = causal(2, n, 3)
    found = summed(weights, np.arange(n), 17)
    cells = min(64, n)
    rows = np.arange(n) * cells // n
    for a, b in ((0, 0), (cells - 1, 0), (cells - 1, cells - 1), (0, cells - 1)):
        block = weights[:, rows == a][:, :, rows == b]
        step = 1 / 255
        assert (
            np.abs(
                np.sqrt(decode_weights(found.largest[:, a, b])) - np.sqrt(block.max((1, 2)))
            ).max()
            <= step
        )
        assert (
            np.abs(np.sqrt(decode_weights(found.mean[:, a, b])) - np.sqrt(block.mean((1, 2)))).max()
            <= step
        )
