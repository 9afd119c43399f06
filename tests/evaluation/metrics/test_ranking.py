"""Average precision and its kin: ties against every order in which they could stand."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from ground_truth import reciprocal_rank
from whence.core.errors import OptionError
from whence.evaluation.metrics.ranking import average_precision, precision_at_k

RANKED = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6).filter(
    lambda pairs: any(relevant for _, relevant in pairs)
)


def orders(scores, relevant):
    """The relevant flags in every order that the scores allow."""
    for order in permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            yield relevant[list(order)]


@given(RANKED)
def test_the_mean_over_all_orders_of_equal_scores(pairs):
    scores = np.array([float(score) for score, _ in pairs])
    relevant = np.array([flag for _, flag in pairs])
    rows = list(orders(scores, relevant))
    precision = [np.cumsum(row) / np.arange(1, len(row) + 1) for row in rows]
    ap = np.mean([p[row].mean() for p, row in zip(precision, rows, strict=True)])
    assert average_precision(scores, relevant) == pytest.approx(ap)
    assert reciprocal_rank(scores, relevant) == pytest.approx(
        np.mean([1 / (1 + np.argmax(row)) for row in rows])
    )
    for k in range(1, len(scores) + 1):
        assert precision_at_k(scores, relevant, k) == pytest.approx(
            np.mean([p[k - 1] for p in precision])
        )


def test_without_ties_it_is_the_usual_average_precision():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, relevant = rng.normal(size=15), rng.random(15) < 0.3
        relevant[0] = True
        assert average_precision(scores, relevant) == pytest.approx(
            average_precision_score(relevant, scores)
        )


def test_refusals():
    scores = np.array([1.0, 2.0])
    with pytest.raises(OptionError, match="one relevant"):
        average_precision(scores, np.array([False, False]))
    with pytest.raises(OptionError, match="finite"):
        average_precision(np.array([np.nan, 1.0]), np.array([True, False]))
    with pytest.raises(OptionError, match="got k=3"):
        precision_at_k(scores, np.array([True, False]), 3)
