"""Sobol indices: conditional variances, from all coalitions and from some."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.asking import explain
from tests.attribution import naive
from tests.attribution.test_game_methods import GAMES, coverage, plain, run, table_game

import whence
from whence.attribution import BanzhafValues, Sobol
from whence.core import OptionError
from whence.games import FunctionGame

COVERS = {
    ("one term of five", "first"): 0.6,
    ("or", "first"): 0.8,
    ("one term of five", "total"): 0.8,
}
"""Games that move in one coalition of 16 or 32: few coalitions may hold none. Elsewhere 0.8."""


@given(st.integers(1, 7), st.integers(0, 1000))
def test_with_every_coalition_they_are_shares_of_the_variance(n, seed):
    game = table_game(n, seed)
    first, total = naive.sobol(plain(game), n)
    for order, expected in (("first", first), ("total", total)):
        found = run(Sobol(order=order), game, budget=1 << n)
        assert np.allclose(found.scores[:, 0], expected, atol=1e-9)
        assert not found.std_errors.any()
        assert not found.additive
    banzhaf = run(BanzhafValues(), game, budget=1 << n).scores[:, 0]
    variance = np.var(game((np.arange(1 << n)[:, None] >> np.arange(n)) % 2 == 1))
    assert np.allclose(first, banzhaf**2 / 4 / variance)


def test_the_record_says_that_there_is_no_sign():
    model = whence.load(lambda texts: [3.0 * ("late" in t) - 1.0 * ("paid" in t) for t in texts])
    found = explain(model, "paid late", method="sobol")
    assert (found.unit, found.completeness) == ("total Sobol index", None)
    assert found.scores[:, 0].round(3).tolist() == [0.1, 0.9]
    assert "unsigned" in str(found)
    first = explain(model, "paid late", method=Sobol(order="first"))
    assert first.unit == "first-order Sobol index"


def test_sampled_numerators_are_unbiased():
    """First-order indices of a parity are zero, and of squares of noisy means would not be."""
    parity = lambda S: 1.0 * (S.sum(axis=1) % 2)  # noqa: E731
    # 20 coalitions: the square of a mean of 20 signs is 1/20 on average.
    found = [
        run(Sobol(order="first"), FunctionGame(10, parity), 222, seed).scores for seed in range(40)
    ]
    # What is below zero counts as zero, which leaves half of that.
    assert np.mean(found) < 0.033
    flat = FunctionGame(6, lambda S: np.full(len(S), 1e9))
    assert not run(Sobol(), flat, 30).scores.any()


def test_large_values_with_small_differences():
    rows = lambda S: 1e9 + S @ np.arange(1.0, 9.0)  # noqa: E731
    found = run(Sobol(), FunctionGame(8, rows), 100, seed=1)
    near = run(Sobol(), FunctionGame(8, lambda S: rows(S) - 1e9), 100, seed=1)
    assert np.allclose(found.scores, near.scores, rtol=1e-5)


def test_what_is_left_is_told():
    game = table_game(9, 1, budget=45)
    found = Sobol().estimate(game, budget=45, seed=0)
    assert found.notes == (
        "total index, from 4 coalitions with all their neighbours; 3 evaluations were not spent, "
        "another coalition takes 10",
    )
    assert game.evaluations <= 42


def test_an_unknown_order():
    with pytest.raises(OptionError, match="did you mean 'total'"):
        Sobol(order="totl")


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("order", ["total", "first"])
@pytest.mark.parametrize("multiple", [9, 18, 40])
def test_standard_errors_cover(name, order, multiple):
    assert coverage(Sobol(order=order), name, multiple, seeds=200) >= COVERS.get((name, order), 0.8)
