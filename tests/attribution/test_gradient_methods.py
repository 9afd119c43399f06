"""Gradient methods on models whose integrals are known."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fakes import FakeModel, encoding_of, readout, tokens_of

from whence.attribution import InputXGradient, IntegratedGradients
from whence.core import OptionError
from whence.games import EmbeddingGame

TEXT = "one two three"


def game_of(function, budget=None):
    encoding = encoding_of(TEXT)
    model = FakeModel(function)
    return EmbeddingGame(model, encoding, readout(), tokens_of(encoding), budget=budget), model


def linear(weights):
    return lambda e: (float((e * weights).sum()), weights * np.ones_like(e))


def cubic(e):
    total = e.sum()
    return float(total**3), 3 * total**2 * np.ones_like(e)


def run(method, game, budget=None):
    return method.estimate(game, budget=budget or method.default_budget(game.n), seed=0)


def test_linear_models_are_exact_at_once():
    weights = np.array([1.0, -2.0, 0.5, 0.0])
    game, model = game_of(linear(weights))
    found = run(IntegratedGradients(), game)
    mean = model.table.mean(axis=0)
    expected = [float(((model.table[10 + i] - mean) * weights).sum()) for i in range(3)]
    assert np.allclose(found.scores[:, 0], expected, atol=1e-5)
    assert found.outcome == "converged"
    # Both ends, five points, and ten more to see that the scores stand still.
    assert game.gradient_passes == 17
    simple, _ = game_of(linear(weights))
    times = run(InputXGradient(), simple)
    assert np.allclose(
        times.scores[:, 0],
        [float((model.table[10 + i] * weights).sum()) for i in range(3)],
        atol=1e-5,
    )
    assert not times.additive
    assert simple.gradient_passes == 2


def test_points_are_never_taken_twice_and_scores_add_up():
    game, _ = game_of(cubic)
    found = run(IntegratedGradients(tolerance=1e-4), game)
    assert found.outcome == "converged"
    rise = found.values - found.base_values
    assert np.allclose(found.scores.sum(axis=0), rise, rtol=1e-4)
    assert game.gradient_passes in (2 + 15, 2 + 45, 2 + 135)
    # The path is straight, so every token's share is its way along the sum of coordinates.
    way = (game.point() - game.baseline("mean"))[1:-1].sum(axis=1)
    assert np.allclose(found.scores[:, 0] / rise[0], way / way.sum(), atol=1e-3)


def test_the_budget_ends_the_refinement():
    def jagged(e):
        total = float(e.sum())
        return np.sin(40 * total), 40 * np.cos(40 * total) * np.ones_like(e)

    game, _ = game_of(jagged, budget=17)
    found = run(IntegratedGradients(), game, budget=17)
    assert found.outcome == "budget_exhausted"
    assert "47 passes or more" in found.advice[0]
    assert game.gradient_passes == 17
    small, _ = game_of(jagged, budget=7)
    assert "midpoint rule with 5 points" in run(IntegratedGradients(), small, budget=7).notes[0]


def test_singular_integrands_are_told():
    def normalised(e):
        # Like a norm layer at zero: constant along rays, so the gradient is 1 / distance.
        inner = e[1:-1]
        size = np.sqrt((inner**2).sum() + 1e-12)
        value = inner.sum() / size
        gradient = np.zeros_like(e)
        gradient[1:-1] = 1 / size - inner.sum() * inner / size**3
        return float(value), gradient + 0.0

    def drifting(e):
        value, gradient = normalised(e)
        # Rays are left at an angle, so that the way along the path meets the steep gradient.
        inner = e[1:-1]
        size = np.sqrt((inner**2).sum() + 1e-4)
        return value + np.log(size), gradient + np.pad(inner / size**2, ((1, 1), (0, 0)))

    # The first 1e-4 of the path holds the steep part: a rule of equal steps had 8 % left.
    game, _ = game_of(drifting)
    found = run(IntegratedGradients(baseline="zero"), game)
    assert found.outcome == "converged"
    assert "closest where the integrand changes most" in found.notes[0]
    rise = found.values - found.base_values
    assert np.allclose(found.scores.sum(axis=0), rise, rtol=0.01)
    assert game.gradient_passes <= 137
    small, _ = game_of(drifting)
    short = run(IntegratedGradients(baseline="zero"), small, budget=47)
    assert short.outcome == "not_converged"
    assert "baseline='mean'" in short.advice[0]
    assert "raise the budget" in short.advice[0]
    assert small.gradient_passes <= 47


def test_a_narrow_norm_is_integrated():
    """The first norm of a model divides by its epsilon at a zero baseline."""

    def normed(e):
        inner = e[1:-1]
        size = np.sqrt((inner**2).mean(axis=1, keepdims=True) + 1e-5)
        weights = np.arange(1.0, inner.shape[1] + 1)
        gradient = np.zeros_like(e)
        gradient[1:-1] = weights / size - inner * (inner @ weights)[:, None] / size**3 / len(
            weights
        )
        return float((inner / size @ weights).sum()), gradient

    game, _ = game_of(normed)
    found = run(IntegratedGradients(baseline="zero"), game)
    assert found.outcome == "converged"
    # Each token's share is its own part of the sum: the tokens do not act together.
    inner = game.point()[1:-1].astype(np.float64)
    size = np.sqrt((inner**2).mean(axis=1) + 1e-5)
    expected = inner @ np.arange(1.0, inner.shape[1] + 1) / size
    assert np.abs(found.scores[:, 0] - expected).sum() < 0.02 * np.abs(expected).sum()


def test_equal_ends_are_judged_on_the_scale_of_the_values():
    game, _ = game_of(lambda e: (5.0, np.zeros_like(e)))
    found = run(IntegratedGradients(), game)
    assert found.outcome == "converged"
    assert not found.scores.any()


@pytest.mark.parametrize(
    ("bad", "says"),
    [({"baseline": "meen"}, "did you mean 'mean'"), ({"tolerance": 2.0}, "between")],
)
def test_options_out_of_range(bad, says):
    with pytest.raises(OptionError, match=says):
        IntegratedGradients(**bad)


def test_budgets():
    assert IntegratedGradients().least(9) == 7
    assert InputXGradient().least(9) == InputXGradient().default_budget(9) == 2
