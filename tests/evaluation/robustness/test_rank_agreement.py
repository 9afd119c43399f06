from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from whence.core import OptionError
from whence.evaluation.robustness.rank_agreement import (
    agreement,
    align_features,
    jaccard_chance,
    kendall_tau,
    least_overlap_chance,
    median_overlap_chance,
    overlap_chance,
    rank_biased_overlap,
    sign_agreement,
    sign_chance,
    spearman,
    top_jaccard,
    top_size,
)


def _naive_overlap(first, second, p):
    """Equation 32 of Webber et al., by sets, for rankings without ties."""
    a, b = np.argsort(-np.abs(first)), np.argsort(-np.abs(second))
    n = len(a)
    shared = [len(set(a[:d]) & set(b[:d])) for d in range(1, n + 1)]
    total = sum(shared[d - 1] / d * p**d for d in range(1, n + 1))
    return (1 - p) / p * total + shared[-1] / n * p**n


scores = st.lists(st.integers(-5, 5), min_size=1, max_size=9).map(lambda v: np.array(v, float))


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
def test_overlap_is_webbers_without_ties(n, p):
    rng = np.random.default_rng(n)
    first, second = rng.normal(size=(2, n))
    found = rank_biased_overlap(first, second, p=p)
    assert found == pytest.approx(_naive_overlap(first, second, p))


@given(scores, st.randoms(use_true_random=False))
def test_bounds_symmetry_and_self(first, random):
    second = np.array(random.sample(list(first), len(first)))
    found = rank_biased_overlap(first, second)
    assert -1e-12 <= found <= 1.0
    assert found == pytest.approx(rank_biased_overlap(second, first))
    assert rank_biased_overlap(first, first) == pytest.approx(1.0)
    assert top_jaccard(first, first) == pytest.approx(1.0)
    assert sign_agreement(first, first) == pytest.approx(1.0)
    # The order in which features stand has no say, level or not.
    order = np.array(random.sample(range(len(first)), len(first)))
    assert rank_biased_overlap(first[order], second[order]) == pytest.approx(found)
    assert top_jaccard(first[order], second[order]) == pytest.approx(top_jaccard(first, second))


def test_disjoint_tops_count_as_nothing_at_the_top():
    first = np.array([4.0, 3, 0.2, 0.1])
    assert top_jaccard(first, first[::-1], k=2) == 0.0
    assert top_jaccard(first, np.array([4.0, 0.1, 3, 0.2]), k=2) == pytest.approx(1 / 3)


@pytest.mark.parametrize("values", [[5.0, 4, 3, 2, 1], [3.0, 3, 1, -1, 0], [0.0, 0, 0, 2, -2]])
def test_chance_is_the_mean_over_all_orders(values):
    first = np.array([5.0, -4, 3, -2, 1])
    second = np.array(values)
    shuffled = [second[list(order)] for order in permutations(range(5))]
    exact = np.mean([rank_biased_overlap(first, s) for s in shuffled])
    assert overlap_chance(first, second).value == pytest.approx(exact)
    exact = np.mean([sign_agreement(first, s, k=3) for s in shuffled])
    assert sign_chance(first, second, k=3).value == pytest.approx(exact)
    for k in (1, 2, 3):
        exact = np.mean([top_jaccard(first, s, k=k) for s in shuffled])
        found = jaccard_chance(first, second, k=k)
        assert found.value == pytest.approx(exact, abs=5 * found.error + 1e-12)
    assert np.mean([kendall_tau(first, s) for s in shuffled]) == pytest.approx(0.0, abs=1e-12)


def test_the_rule_of_thumb_for_jaccard_is_near_the_exact_value():
    first = np.arange(1.0, 101)
    exact = jaccard_chance(first, first)
    assert exact.error == 0.0
    assert exact.value == pytest.approx(0.2 / (2 - 0.2), abs=0.01)


def test_the_least_of_several_shuffles_is_lower_and_repeatable():
    first = np.arange(1.0, 13)
    one, three = least_overlap_chance(first, 1), least_overlap_chance(first, 3)
    exact = overlap_chance(first, first).value
    assert one.value == pytest.approx(exact, abs=4 * one.error)
    assert three.value < one.value - 3 * one.error
    assert least_overlap_chance(first, 3) == three


def test_alignment_of_insertion_deletion_and_typo():
    a = ["the", "food", "was", "terrible", "and", "cold"]
    assert align_features(a, a).tolist() == [[i, i] for i in range(6)]
    assert align_features(a, ["Note", *a]).tolist() == [[i, i + 1] for i in range(6)]
    assert align_features(a, a[1:]).tolist() == [[i + 1, i] for i in range(5)]
    typo = ["THE", "food", "was", "terrbile", "and", "cold"]
    assert align_features(a, typo).tolist() == [[i, i] for i in range(6)]
    # An inserted word has no partner, even beside one that was misspelt.
    both = ["the", "food", "was", "really", "terrbile", "and", "cold"]
    assert align_features(a, both).tolist() == [[0, 0], [1, 1], [2, 2], [3, 4], [4, 5], [5, 6]]
    assert align_features(["a"], []).shape == (0, 2)


def test_an_inserted_feature_at_the_top_costs_agreement():
    first = np.array([3.0, 2.0, 1.0])
    pairs = np.array([[0, 1], [1, 2], [2, 3]])
    low = agreement(first, np.array([0.1, 3.0, 2.0, 1.0]), pairs)
    high = agreement(first, np.array([9.0, 3.0, 2.0, 1.0]), pairs)
    assert high.overlap < low.overlap
    assert (low.jaccard, high.jaccard) == (1.0, 0.0)
    assert low.tau == high.tau == 1.0


def test_spearman_and_tau_are_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, size=(2, 15)).astype(float)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    assert spearman(a, np.ones(15)) == kendall_tau(np.ones(15), b) == 0.0


def test_sign_agreement():
    assert sign_agreement(np.array([3.0, -2, 1]), np.array([1.0, 2, 5]), k=2) == 0.5
    none = np.zeros((0, 2), dtype=np.int64)
    assert sign_agreement(np.ones(2), np.ones(2), none) == 0.0
    assert sign_chance(np.ones(2), np.ones(2), none).value == 0.0


def test_refusals():
    with pytest.raises(OptionError, match="align_features"):
        rank_biased_overlap(np.ones(2), np.ones(3))
    with pytest.raises(OptionError, match="persistence"):
        rank_biased_overlap(np.ones(2), np.ones(2), p=1.0)
    with pytest.raises(OptionError, match="without a feature"):
        kendall_tau(np.ones(0), np.ones(0))
    with pytest.raises(OptionError, match="k=0"):
        top_jaccard(np.ones(2), np.ones(2), k=0)


def test_top_size():
    assert [top_size(n) for n in (1, 5, 6, 10, 11, 64)] == [1, 1, 2, 2, 3, 13]


@pytest.mark.parametrize(("n", "draws"), [(2, 500), (9, 500), (300, 50)])
def test_chance_levels_are_those_of_shuffles_drawn_one_by_one(n, draws):
    rng = np.random.default_rng(0)
    first, others = rng.normal(size=n), [rng.normal(size=n), rng.normal(size=n)]
    drawn = np.random.default_rng(4)
    least = [
        min(rank_biased_overlap(first, first[drawn.permutation(n)]) for _ in range(3))
        for _ in range(draws)
    ]
    assert least_overlap_chance(first, 3, seed=4).value == pytest.approx(np.mean(least), abs=1e-12)
    drawn = np.random.default_rng(4)
    orders = [first[drawn.permutation(n)] for _ in range(draws)]
    medians = [np.median([rank_biased_overlap(o, order) for o in others]) for order in orders]
    level = median_overlap_chance(first, others, seed=4)
    assert level.value == pytest.approx(np.mean(medians), abs=1e-12)
    assert level.high == pytest.approx(np.quantile(medians, 0.95, method="higher"), abs=1e-12)
