from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from whence.core import OptionError
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import pool_of
from whence.evaluation.metrics.permutation_test import permutation_test
from whence.evaluation.metrics.pool_fidelity import PoolFidelity, fidelities
from whence.games import FunctionGame


def _instance(n, function, size=64, **more):
    game = FunctionGame(n, function)
    return Instance(game, pool_of(game, size, seed=3), **more)


def _naive(masks, values, phi):
    """Residuals by numpy's least squares, then numpy's correlation."""
    size = masks.sum(axis=1).astype(float)
    basis = np.stack([np.ones_like(size), size, size**2], axis=1)
    left = [
        column - basis @ np.linalg.lstsq(basis, column, rcond=None)[0]
        for column in (masks @ phi, values)
    ]
    return np.corrcoef(*left)[0, 1]


@pytest.mark.parametrize("n", [4, 7, 20, 90])
def test_it_is_the_partial_correlation(n):
    rng = np.random.default_rng(n)
    weights, phi = rng.normal(size=(2, n))
    instance = _instance(n, lambda S: np.tanh(S @ weights))
    found = PoolFidelity().measure(instance, phi)
    assert found.value == pytest.approx(_naive(instance.pool.masks, instance.responses, phi), 1e-9)
    assert (found.interval is None) == (n == 4)
    if found.interval is not None:
        assert found.interval.low < found.value < found.interval.high


@pytest.mark.parametrize("n", [5, 7, 20])
def test_the_interval_is_that_of_pairs_drawn_one_sample_at_a_time(n):
    weights, phi = np.random.default_rng(n).normal(size=(2, n))
    # Pools of 8 masks: some draws hold one or two sizes alone.
    instance = _instance(n, lambda S: np.tanh(S @ weights), size=8)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(500):
        rows = np.repeat(2 * rng.integers(4, size=4), 2) + np.tile([0, 1], 4)
        masks, values = instance.pool.masks[rows], instance.responses[rows]
        drawn.append(fidelities(masks, values, phi[None])[0])
    interval = PoolFidelity().measure(instance, phi).interval
    assert [interval.low, interval.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_equal_scores_are_worth_nothing():
    """Scores that are all alike correlate with any rising game through the size of the mask."""
    instance = _instance(20, lambda S: S @ np.linspace(0.5, 1.5, 20))
    assert PoolFidelity().measure(instance, np.ones(20)).value == 0.0
    assert permutation_test(instance, np.ones(20))[0] == 1.0
    assert PoolFidelity().measure(instance, 7.0 * np.linspace(0.5, 1.5, 20)).value > 0.999


def test_a_constant_answer_is_explained_by_nothing():
    instance = _instance(9, lambda S: np.full(len(S), 1e6 + 0.1))
    assert PoolFidelity().measure(instance, np.arange(9.0)).value == 0.0


def test_every_ranking_is_tried_where_they_are_few():
    weights = np.array([2.0, -1.0, 0.5, 0.0, 0.0])
    instance = _instance(5, lambda S: S @ weights)
    phi = np.array([2.0, 0.0, 0.5, -1.0, 0.25])
    mine = _naive(instance.pool.masks, instance.responses, phi)
    others = [
        _naive(instance.pool.masks, instance.responses, phi[list(order)])
        for order in permutations(range(5))
    ]
    p, least = permutation_test(instance, phi)
    assert least == 1 / 120
    assert p == pytest.approx(np.mean(np.array(others) >= mine - 1e-9))


def test_shuffles_within_kinds_leave_the_kinds_apart():
    weights = np.array([3.0] * 4 + [0.0] * 4)
    instance = _instance(8, lambda S: S @ weights)
    kinds = weights == 0.0
    # Scores that only tell the kinds apart pass the plain test and not the one within kinds.
    phi = np.where(kinds, 0.0, 1.0)
    assert permutation_test(instance, phi)[0] < 0.05
    assert permutation_test(instance, phi, within=kinds)[0] == 1.0


@pytest.mark.parametrize("n", [6, 24])
def test_p_values_of_random_scores_are_uniform(n):
    rng = np.random.default_rng(11)
    weights = rng.normal(size=n)
    instance = _instance(n, lambda S: np.exp(0.3 * S @ weights))
    found = [permutation_test(instance, rng.normal(size=n), draws=199)[0] for _ in range(400)]
    # Exact p-values are discrete; a shift by up to one step makes them continuous.
    step = 1 / 720 if n == 6 else 1 / 200
    smooth = np.array(found) - step * rng.random(400)
    assert stats.kstest(smooth, "uniform").pvalue > 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(bad):
    instance = _instance(3, lambda S: S.sum(axis=1))
    with pytest.raises(OptionError, match="feature 1 is"):
        PoolFidelity().measure(instance, np.array([1.0, bad, 0.0]))
    with pytest.raises(OptionError, match="one score for"):
        PoolFidelity().measure(instance, np.ones(4))


def test_one_feature_cannot_be_told_from_chance():
    instance = _instance(1, lambda S: S.sum(axis=1))
    assert permutation_test(instance, np.ones(1)) == (1.0, 1.0)
    found = PoolFidelity().measure(instance, np.ones(1))
    assert (found.value, found.n, found.best) == (0.0, 0, None)
