from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.core import OptionError
from whence.evaluation.mask_pool import draw_masks, pool_of
from whence.games import FunctionGame


@given(st.integers(2, 40), st.integers(1, 40), st.integers(0, 2**40))
def test_masks_come_in_pairs_and_never_twice(n, half, seed):
    masks = draw_masks(n, 2 * half, seed)
    assert np.array_equal(masks[0::2], ~masks[1::2])
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    sizes = masks.sum(axis=1)
    assert np.all((sizes > 0) & (sizes < n))
    assert len(masks) == min(2 * half, (1 << n) - 2)
    assert np.array_equal(masks, draw_masks(n, 2 * half, seed))


def test_all_masks_are_taken_where_they_are_few():
    masks = {tuple(mask.tolist()) for mask in draw_masks(4, 64, 3)}
    proper = {m for m in product((False, True), repeat=4) if 0 < sum(m) < 4}
    assert masks == proper


def test_sizes_are_uniform():
    sizes = draw_masks(61, 400, 1).sum(axis=1)
    counts = np.bincount((sizes - 1) // 10, minlength=6)
    # 400 masks over six ranges of ten sizes; pairs make the counts of s and n - s equal.
    assert np.array_equal(counts, counts[::-1])
    assert 45 <= counts.min() <= counts.max() <= 90


def test_one_feature_has_no_proper_mask():
    pool = pool_of(FunctionGame(1, lambda S: S.sum(axis=1)))
    assert len(pool) == 0
    assert pool.complete


@pytest.mark.parametrize("size", [0, 3, -2])
def test_odd_pools_are_refused(size):
    with pytest.raises(OptionError, match="even"):
        draw_masks(5, size, 0)


def test_a_pool_costs_its_masks_and_the_whole_input():
    game = FunctionGame(12, lambda S: S.sum(axis=1))
    pool = pool_of(game, 32, seed=5)
    assert game.evaluations == 33
    assert not pool.complete
    first, second = pool.halves()
    assert len(first) == len(second) == 16
    together = {mask.tobytes() for mask in first.masks} | {m.tobytes() for m in second.masks}
    assert len(together) == 32
    assert np.array_equal(first.masks[0::2], ~first.masks[1::2])
    assert np.array_equal(pool.values[:, 0], pool.masks.sum(axis=1))
    assert pool.full.tolist() == [12.0]
