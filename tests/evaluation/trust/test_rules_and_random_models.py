"""Reduced runs of the benchmarks that say when a label refuses."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.random_weights import judged as random_models
from benchmarks.trust_rules import judged as rules
from scipy.stats import kstest

from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import pool_of
from whence.evaluation.metrics.permutation_test import permutation_test, random_scores_test
from whence.games import FunctionGame


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["word", "order", "position", "capitals", "negation"])
def test_right_scores_are_used_and_wrong_ones_refused(kind):
    rows = list(rules(kind, 1))
    right = [row[5] != "abstain" for row in rows if row[3] == "right"]
    wrong = [row[5] == "abstain" for row in rows if row[3] in ("shuffled", "misplaced")]
    assert np.mean(right) >= 0.9
    assert np.mean(wrong) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("shape", [("bert", 2, 2), ("roberta", 6, 3), ("distilbert", 6, 5)])
def test_a_classifier_of_random_parameters_is_refused(shape):
    rows = [row for row in random_models(shape, 1, "quick") if row[3] == 0.02]
    assert [row[4] for row in rows] == ["abstain"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("test", [permutation_test, random_scores_test])
def test_p_values_of_random_scores_are_uniform(test):
    """Each p is spread over its step of 1 / 1,000, which discrete values need for this test alone."""
    weights = np.random.default_rng(0).normal(size=12)
    game = FunctionGame(12, lambda S: np.tanh(S @ weights))
    instance = Instance(game, pool_of(game))
    rng = np.random.default_rng(1)
    p = np.array([test(instance, rng.normal(size=12))[0] for _ in range(2_000)])
    assert kstest(p - rng.uniform(0, 1 / 1_000, len(p)), "uniform").pvalue > 0.01
