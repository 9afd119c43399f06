"""Banzhaf values: the paper's sum over coalitions, and less error than maximum sample reuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.attribution import naive
from tests.attribution.test_game_methods import GAMES, coverage, plain, run, table_game

from whence.attribution import BanzhafValues
from whence.games import FunctionGame


@given(st.integers(1, 7), st.integers(0, 1000))
def test_exact_by_default_for_few_features(n, seed):
    game = table_game(n, seed)
    found = run(BanzhafValues(), game)
    assert np.allclose(found.scores[:, 0], naive.banzhaf(plain(game), n), atol=1e-9)
    assert np.allclose(found.std_errors, 0, atol=1e-9)
    assert game.evaluations == 1 << n
    assert not found.additive


def reuse(function, n, count, seed):
    """Maximum sample reuse: mean with a feature less the mean without (Wang & Jia 2023)."""
    rows = np.random.default_rng(seed).random((count, n)) < 0.5
    values = function(rows)
    return np.array([values[rows[:, i]].mean() - values[~rows[:, i]].mean() for i in range(n)])


@pytest.mark.parametrize("name", ["squashed sum", "weighted majority", "threshold", "or"])
@pytest.mark.parametrize("budget", [50, 200])
def test_a_fit_is_nearer_than_sample_reuse(name, budget):
    exact = naive.banzhaf(GAMES[name], 12)
    ours, theirs = (
        np.mean([np.linalg.norm(estimate(seed) - exact) for seed in range(10)])
        for estimate in (
            lambda seed: run(BanzhafValues(), FunctionGame(12, GAMES[name]), budget, seed).scores[
                :, 0
            ],
            lambda seed: reuse(GAMES[name], 12, budget, seed),
        )
    )
    assert ours < 0.9 * theirs


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize(("multiple", "least"), [(34 / 12, 0.8), (9, 0.9), (40, 0.9)])
def test_standard_errors_cover(name, multiple, least):
    assert coverage(BanzhafValues(), name, multiple, seeds=200) >= least
