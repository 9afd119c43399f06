"""Interactions: the exact indices of shapiq, and what must hold of any game."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import whence
from whence.attribution.interactions import faith_shap, groups_of, shapley_taylor
from whence.core.errors import BudgetError, OptionError
from whence.games import FunctionGame


def table_game(n, seed):
    values = np.random.default_rng(seed).normal(size=1 << n)
    return FunctionGame(n, lambda S: values[(S * (1 << np.arange(n))).sum(axis=1)])


def pairs_game(n, seed):
    """A sum, three pairs, and what no pair can hold: a triple and a curve."""
    rng = np.random.default_rng(seed)
    single, pair, triple = rng.normal(size=n), 2 * rng.normal(size=3), rng.normal()

    def value(S):
        S = S.astype(float)
        total = S @ single + np.tanh(S @ single) + triple * S[:, 0] * S[:, 3] * S[:, 6]
        for (i, j), weight in zip([(0, 1), (2, 5), (7, 8)], pair, strict=True):
            total = total + weight * S[:, i] * S[:, j]
        return total

    return FunctionGame(n, value)


@pytest.mark.parametrize(("n", "order"), [(2, 2), (5, 2), (6, 3)])
@pytest.mark.parametrize("index", ["FSII", "STII"])
def test_the_exact_indices_are_those_of_shapiq(n, order, index):
    shapiq = pytest.importorskip("shapiq")
    game = table_game(n, 3)
    empty = game.empty()[0]
    exact = shapiq.ExactComputer(
        game=lambda S: game(np.asarray(S, dtype=bool))[:, 0] - empty, n_players=n
    )(index, order)
    if index == "FSII":
        result = faith_shap(game, order=order, budget=1 << n)
    else:
        result = shapley_taylor(game, order=order)
    # shapiq holds the ends by a weight of 1e7 and not exactly.
    expected = [exact[group] for group in result.groups]
    assert result.scores[:, 0] == pytest.approx(expected, abs=1e-6)
    assert result.std_errors is None


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 6), st.integers(0, 1000), st.sampled_from([2, 3]))
def test_scores_add_up_and_a_feature_without_effect_has_none(n, seed, order):
    values = np.random.default_rng(seed).normal(size=1 << (n - 1))
    game = FunctionGame(n, lambda S: values[(S[:, 1:] * (1 << np.arange(n - 1))).sum(axis=1)])
    for result in (
        faith_shap(game, order=order, budget=1 << n),
        shapley_taylor(game, order=order),
    ):
        assert result.scores.sum() == pytest.approx((game.full() - game.empty())[0])
        idle = [row for row, group in enumerate(result.groups) if 0 in group]
        assert result.scores[idle] == pytest.approx(0, abs=1e-9)


def test_a_sample_finds_pairs_that_are_all_there_is():
    game = FunctionGame(14, lambda S: 3.0 * (S[:, 2] & S[:, 9]) - 1.0 * (S[:, 4] & S[:, 5]))
    result = faith_shap(game, order=2, budget=400)
    found = {g: s for g, s in zip(result.groups, result.scores[:, 0], strict=True) if abs(s) > 1e-9}
    assert found == pytest.approx({(2, 9): 3.0, (4, 5): -1.0})
    assert game.evaluations <= 400


def test_too_few_evaluations_have_no_errors_and_fewer_still_are_refused():
    game = pairs_game(12, 0)
    assert np.isnan(faith_shap(game, order=2, budget=200).std_errors).all()
    with pytest.raises(BudgetError, match="do not tell"):
        faith_shap(pairs_game(12, 0), order=2, budget=60)


@pytest.mark.slow
@pytest.mark.parametrize(("each", "least"), [(4, 0.92), (6, 0.93)])
def test_standard_errors_cover_the_exact_scores(each, least, monkeypatch):
    covered = []
    for seed in range(60):
        game = pairs_game(12, seed)
        exact = faith_shap(game, order=2, budget=1 << 12)
        sampled = faith_shap(game, order=2, budget=each * len(exact.groups) + 2, seed=seed)
        off = np.abs(sampled.scores - exact.scores)
        covered.append((off <= 2 * sampled.std_errors).mean())
    assert np.mean(covered) >= least


def exclusive_or():
    return whence.load(lambda texts: [float(("a" in t) != ("b" in t)) for t in texts])


@pytest.mark.parametrize("index", ["faith-shap", "shapley-taylor"])
def test_exclusive_or_is_two_singles_and_their_pair(index):
    record = whence.interactions(exclusive_or(), "a x b", index=index)
    scores = dict(zip(record.groups, record.scores[:, 0].round(9), strict=True))
    assert scores[(0,)] == scores[(2,)] == 1
    assert scores[(0, 2)] == -2
    assert record.outcome == "converged"
    assert record.provenance.cost.evaluations == 8


def test_an_explanations_evaluations_serve_again():
    model = whence.load("embedded:credit")
    text = "Payslips prove 8 months with the employer, the minimum being 6 of all."
    cache = whence.MemoryCache()
    whence.explain(
        model,
        text,
        method="kernel-shap",
        options={"guide": False},
        budget=500,
        trust="off",
        cache=cache,
    )
    alone = whence.interactions(model, text, budget=500)
    shared = whence.interactions(model, text, budget=500, cache=cache)
    # One is asked again, to see that the model still answers as the cache says.
    assert shared.provenance.cost.distinct_evaluations == 1
    assert alone.provenance.cost.distinct_evaluations >= 400
    assert shared.scores == pytest.approx(alone.scores, abs=1e-6)


def test_a_constant_model_is_degenerate():
    record = whence.interactions(whence.load(lambda texts: [1.0] * len(texts)), "a b c")
    assert record.outcome == "degenerate"
    assert "No group" in str(record)


@pytest.mark.parametrize(
    ("text", "changes", "error", "says"),
    [
        ("one", {}, OptionError, "need 2 features or more, got 1"),
        ("one two", {"order": 3}, OptionError, "need 3 features"),
        ("one two", {"order": 4}, OptionError, "order of 2 or 3"),
        ("one two", {"index": "banzhaf"}, OptionError, "unknown index"),
        ("one two", {"seed": -1}, OptionError, "seed of 0"),
        ("one two three", {"budget": 7}, BudgetError, "needs 8 evaluations"),
        (" ".join("abcdefghijklmn"), {"index": "shapley-taylor"}, BudgetError, "16,384"),
    ],
)
def test_what_cannot_be_is_refused_before_it_is_paid_for(text, changes, error, says):
    with pytest.raises(error, match=says):
        whence.interactions(exclusive_or(), text, **changes)


def test_groups_are_listed_by_size():
    assert groups_of(4, 3)[-1] == (1, 2, 3)
    assert len(groups_of(4, 3)) == 4 + 6 + 4
