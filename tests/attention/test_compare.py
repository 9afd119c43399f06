"""Heads that read two inputs differently."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from tests.zoo.families import FAMILIES

import whence
from whence.attention.compare import aligned, divergence
from whence.core import OptionError
from whence.core.attention_record import ReadToken

ONE = "He denies chest pain but reports a mild cough since Monday."
TWO = "He denies chest pain but never reports any cough since Monday."


def test_divergence_is_that_of_scipy():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(7), 5), rng.dirichlet(np.ones(7) / 3, 5)
    p[0, :3] = 0
    p[0] /= p[0].sum()
    wanted = [jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)]
    assert divergence(p, q) == pytest.approx(wanted)


def test_tokens_are_aligned_by_common_runs():
    def read(ids):
        return [ReadToken(id=i, text=str(i), start=0, end=1) for i in ids]

    pairs = aligned(read([1, 2, 3, 9, 4, 5]), read([1, 2, 3, 4, 7, 5]))
    assert pairs.tolist() == [[0, 0], [1, 1], [2, 2], [4, 3], [5, 5]]
    assert aligned(read([1]), read([2])).shape == (0, 2)


@pytest.mark.parametrize("name", ["bert", "llama", "t5", "gemma3"])
def test_rows_are_compared_over_aligned_keys(name):
    model = whence.load(FAMILIES[name]().pair)
    one, two = (whence.attend(model, text, effects=None, keep="states") for text in (ONE, TWO))
    assert max(change.change for change in whence.compare_attention(one, one)) == 0
    changes = whence.compare_attention(one, two)
    assert len(changes) == sum(layer.heads for layer in one.record.layers)
    assert [c.change for c in changes] == sorted((c.change for c in changes), reverse=True)
    assert 0 < changes[0].change < 1
    found = next(c for c in changes if c.layer == one.record.layers[0].name and c.head == 1)
    pairs = aligned(one.record.tokens, two.record.tokens)
    cells, reads = [], []
    for side, attention in enumerate((one, two)):
        head = attention.head(found.layer, 1)
        rows = head.rows(pairs[:, side]).astype(float)
        part = rows[:, pairs[:, side]]
        cells.append(np.column_stack([part, np.maximum(0, 1 - part.sum(axis=1))]))
        states = head.states
        reads.append(rows @ states.value_norm[states.group(1)])
    each = [jensenshannon(a, b, base=2) ** 2 for a, b in zip(*cells, strict=True)]
    wanted = np.average(np.nan_to_num(each), weights=reads[0] + reads[1])
    assert found.change == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_what_cannot_be_compared():
    model = whence.load(FAMILIES["bert"]().pair)
    one = whence.attend(model, ONE, effects=None)
    small = whence.attend(model, ONE, effects=None, keep="summary", heads=[(0, 0)])
    with pytest.raises(OptionError, match="keep='states'"):
        whence.compare_attention(small, one)
    other = whence.attend(whence.load(FAMILIES["roberta"]().pair), ONE, effects=None)
    with pytest.raises(OptionError, match="one model"):
        whence.compare_attention(one, other)
