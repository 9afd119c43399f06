from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from whence.core import Label, OptionError, Output
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import pool_of
from whence.evaluation.metrics.erasure import Comprehensiveness, Sufficiency
from whence.evaluation.metrics.removal import bin_sizes, descending, removal
from whence.games import FunctionGame


def _instance(n, function, size=64, seed=0):
    game = FunctionGame(n, function)
    return Instance(game, pool_of(game, size, seed=seed), seed=seed)


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(1, ()), (2, (1,)), (4, (1, 2)), (12, (1, 2, 6)), (40, (2, 4, 8, 20)), (5, (1, 3))],
)
def test_bins_remove_one_feature_at_least_and_none_twice(n, sizes):
    assert bin_sizes(n, "0.05,0.1,0.2,0.5") == sizes


@pytest.mark.parametrize("bins", ["", "a", "0.1,1", "0,0.5", "0.2;0.5"])
def test_bins_that_are_no_shares_are_refused(bins):
    with pytest.raises(OptionError, match="bins"):
        bin_sizes(10, bins)


def test_equal_scores_follow_no_reading_order():
    firsts = [int(descending(np.zeros(10), seed)[0]) for seed in range(400)]
    assert np.bincount(firsts, minlength=10).min() >= 20
    assert descending(np.array([1.0, 3.0, 2.0]), 0).tolist() == [1, 2, 0]


def test_known_falls():
    weights = np.array([4.0, 3.0, 2.0, 1.0, 0.0, -1.0])
    instance = _instance(6, lambda S: S @ weights)
    before = instance.game.evaluations
    comprehensiveness = Comprehensiveness(bins="0.2,0.5").measure(instance, weights)
    assert comprehensiveness.value == pytest.approx((4.0 + 9.0) / 2)
    sufficiency = Sufficiency(bins="0.2,0.5").measure(instance, weights)
    assert sufficiency.value == pytest.approx((5.0 + 0.0) / 2)
    # All masks of six features are in the pool: nothing more was asked.
    assert instance.game.evaluations == before
    # The complete pool tells exactly what random sets of those sizes do.
    falls = [np.mean([sum(c) for c in combinations(weights, k)]) for k in (1, 3)]
    gone = Comprehensiveness(bins="0.2,0.5").erased(instance, weights)
    others = [(falls[0] * 6 - 4.0) / 5, (falls[1] * 20 - 9.0) / 19]
    assert gone.random == pytest.approx(np.mean(others))
    assert gone.percentile == 1.0
    assert gone.best == pytest.approx(6.5)


def test_the_percentile_of_random_scores_is_a_half_on_average():
    weights = np.random.default_rng(0).normal(size=30)
    found = []
    for seed in range(60):
        instance = _instance(30, lambda S: np.tanh(0.3 * S @ weights), 32, seed)
        phi = np.random.default_rng(seed).normal(size=30)
        found += [
            removal(instance, phi, "0.05,0.2", keep=keep).percentile for keep in (False, True)
        ]
    assert abs(np.mean(found) - 0.5) < 0.08


@pytest.mark.parametrize("keep", [False, True])
def test_the_null_from_a_small_pool_is_that_of_many_sets(keep):
    """Moved from the sizes that the pool has, it has the mean and spread of sets of that size."""
    weights = np.random.default_rng(1).normal(size=40) + 0.5
    ours, theirs = [], []
    for seed in range(30):
        instance = _instance(40, lambda S: S @ weights, 32, seed)
        null = removal(instance, weights, "0.05", keep=keep).null_answers[0]
        ours += [null.mean(), null.std()]
    rng = np.random.default_rng(2)
    masks = np.full((4000, 40), not keep)
    for row in masks:
        row[rng.permutation(40)[:2]] = keep
    answers = masks @ weights
    theirs = [answers.mean(), answers.std()]
    assert np.mean(ours[0::2]) == pytest.approx(theirs[0], abs=0.35)
    assert np.mean(ours[1::2]) == pytest.approx(theirs[1], rel=0.2)


def test_probabilities_where_the_scale_tells_them():
    game = FunctionGame(8, lambda S: 2.0 * S.sum(axis=1) - 8.0)
    game.outputs = (Output(name="y", link="log_odds", unit="nat", target=Label(label="y")),)
    instance = Instance(game, pool_of(game))
    found = Comprehensiveness(bins="0.5").measure(instance, np.arange(8.0))
    assert found.unit == "probability"
    assert found.value == pytest.approx(1 / (1 + np.exp(-8.0)) - 0.5)


def test_one_feature_has_nothing_to_be_removed_from():
    instance = _instance(1, lambda S: S.sum(axis=1))
    assert Comprehensiveness().measure(instance, np.ones(1)).random is None


def test_random_rankings_seldom_stand_out():
    """A set of each size drawn apart would vary too little together: a pass in one of six."""
    passed = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        weights, phi = rng.normal(size=(2, 20))
        instance = _instance(20, lambda S, w=weights: S @ w, 64, seed)
        passed.append(removal(instance, phi, "0.05,0.1,0.2,0.5", keep=False).percentile >= 0.95)
    assert np.mean(passed) <= 0.12


def test_answers_of_random_sets_stay_in_their_range():
    game = FunctionGame(12, lambda S: np.clip(S @ np.linspace(0, 0.3, 12), 0, 1))
    game.outputs = (Output(name="y", link="probability", unit="p", target=Label(label="y")),)
    instance = Instance(game, pool_of(game, 32))
    for null in removal(instance, np.arange(12.0), "0.05,0.5", keep=True).null_answers:
        assert np.all((null >= 0) & (null <= 1))
