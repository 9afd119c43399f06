"""Small sets of heads, on effects that are known."""

from __future__ import annotations

import numpy as np
import pytest

from whence.attention.head_sets import carrying_set

HEADS = [(f"layer.{layer}", head) for layer in range(6) for head in range(8)]


@pytest.mark.parametrize("seed", range(5))
def test_heads_of_which_any_one_suffices_are_found_together(seed):
    rng = np.random.default_rng(seed)
    backups = {HEADS[place] for place in rng.choice(len(HEADS), 4, replace=False)}
    calls = []

    def effect(heads):
        calls.append(len(heads))
        return float(backups <= set(heads))

    order = [HEADS[place] for place in rng.permutation(len(HEADS))]
    assert set(carrying_set(order, effect)) == backups
    assert len(calls) <= 2 * 4 * np.log2(len(HEADS) / 4) + 2 * len(backups) + 8


def test_no_head_of_the_set_can_leave_and_heads_may_lower_the_target():
    shares = np.random.default_rng(0).dirichlet(np.full(len(HEADS), 0.2))
    weights = dict(zip(HEADS, -shares, strict=True))

    def effect(heads):
        return sum(weights[head] for head in heads)

    order = sorted(HEADS, key=lambda head: abs(weights[head]))
    chosen = carrying_set(order, effect, share=0.8)
    assert effect(chosen) / effect(HEADS) >= 0.8
    for head in chosen:
        assert effect([other for other in chosen if other != head]) / effect(HEADS) < 0.8


def test_no_effect_no_set():
    assert carrying_set(HEADS, lambda heads: 0.0) == []
