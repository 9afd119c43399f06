"""Sampled orders: exact where pairs suffice, right on average, honest about what is left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.attribution.test_game_methods import GAMES, coverage, run, smooth_game, table_game

from whence.attribution import PermutationShap, ShapleyValues
from whence.games import FunctionGame

COVERS = {"weighted majority": 0.7, "threshold": 0.8}
"""Games of which one feature tips the answer in one order of many; elsewhere 0.9."""


@given(st.integers(3, 12), st.integers(0, 1000))
def test_an_order_and_its_reverse_see_no_pairs(n, seed):
    rng = np.random.default_rng(seed)
    pairs = np.triu(rng.standard_normal((n, n)))
    game = FunctionGame(n, lambda S: 3.0 + np.einsum("mi,ij,mj->m", 1.0 * S, pairs, 1.0 * S))
    found = PermutationShap().estimate(game, budget=2 * n, seed=seed)
    both = np.diag(pairs) + (pairs + pairs.T - 2 * np.diag(np.diag(pairs))).sum(axis=1) / 2
    assert np.allclose(found.scores[:, 0], both, atol=1e-9)
    assert game.evaluations == 2 * n


def test_one_order_is_the_least():
    game = table_game(9, 1, budget=10)
    found = PermutationShap().estimate(game, budget=10, seed=0)
    assert game.evaluations == 10
    assert found.scores.sum() == pytest.approx((found.values - found.base_values)[0])
    assert np.isnan(found.std_errors).all()
    assert found.notes == ("0.5 pairs of orders",)


@pytest.mark.parametrize(
    ("budget", "says", "spent"),
    [
        (
            13,
            "0.5 pairs of orders; 3 of 13 evaluations were not spent: another order may take 8",
            10,
        ),
        (18, "1 pairs of orders", 18),
        (26, "1.5 pairs of orders", 26),
    ],
)
def test_what_is_left_is_used_or_told(budget, says, spent):
    game = table_game(9, 1, budget=budget)
    # Of this seed no two orders have a coalition in common.
    found = PermutationShap().estimate(game, budget=budget, seed=2)
    assert (found.notes, game.evaluations) == ((says,), spent)


def test_shared_coalitions_pay_for_further_orders():
    game = table_game(8, 1, budget=120)
    found = PermutationShap().estimate(game, budget=120, seed=0)
    # 118 evaluations at 14 a pair are 8.4 pairs, if each coalition were paid anew.
    assert float(found.notes[0].split()[0]) >= 11
    assert 120 - 7 < game.evaluations <= 120


@pytest.mark.parametrize(("n", "budget"), [(4, 15), (6, 40)])
def test_stopping_where_the_budget_ends_leaves_no_bias(n, budget):
    exact = run(ShapleyValues(), table_game(n, 3)).scores[:, 0]
    off = np.array(
        [
            run(PermutationShap(), table_game(n, 3), budget, seed).scores[:, 0] - exact
            for seed in range(600)
        ]
    )
    assert np.all(np.abs(off.mean(axis=0)) < 4 * off.std(axis=0) / np.sqrt(600))


def test_errors_fall_with_the_budget_and_vanish_with_all_coalitions():
    _, function = smooth_game(10, 2)
    errors = [
        run(PermutationShap(), FunctionGame(10, function), budget).std_errors.mean()
        for budget in (80, 300, 900, 1024)
    ]
    assert errors[0] > errors[1] > errors[2] > errors[3] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("multiple", [6, 9, 15, 40])
def test_standard_errors_cover(name, multiple):
    assert coverage(PermutationShap(), name, multiple, seeds=200) >= COVERS.get(name, 0.9)
