"""Saliency, noise and random baselines on functions whose expectations are known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.asking import explain
from tests.attribution.test_gradient_methods import cubic, game_of, linear, run
from tests.fakes import FakeModel, encoding_of, readout, tokens_of
from tests.zoo.families import FAMILIES

import whence
from whence.attribution import (
    GradientShap,
    IntegratedGradients,
    Saliency,
    SequentialIntegratedGradients,
    SmoothGrad,
    VarGrad,
)
from whence.core import OptionError
from whence.games import EmbeddingGame
from whence.games.token_alignment import FeatureTokens

WEIGHTS = np.array([1.0, -2.0, 0.5, 3.0])
SAMPLED = [SmoothGrad(), VarGrad(), GradientShap(), GradientShap(baseline="mean")]


def waves(e):
    """A sum of sines of different size and speed: every expectation under normal noise is known."""
    speed = 0.5 + np.arange(e.size).reshape(e.shape) / 4
    return float((WEIGHTS * np.sin(speed * e)).sum()), WEIGHTS * speed * np.cos(speed * e)


def squares(e):
    return float((WEIGHTS * e**2).sum() / 2), WEIGHTS * e


def two_tokens_a_feature():
    """A game of two features, of tokens 1 and 2, and of token 3."""
    encoding = encoding_of("one two three")
    tokens = FeatureTokens(
        groups=(np.array([1, 2]), np.array([3])), owner=np.array([-1, 0, 0, 1, -1])
    )
    return EmbeddingGame(FakeModel(waves), encoding, readout(), tokens)


def smoothed(point, noise):
    """Norms of E[gradient] and variances of the gradient of the waves, by token."""
    scale = noise * np.sqrt((point[1:-1] ** 2).mean())
    speed = 0.5 + np.arange(point.size).reshape(point.shape) / 4
    mean = WEIGHTS * speed * np.cos(speed * point) * np.exp(-((speed * scale) ** 2) / 2)
    second = (WEIGHTS * speed) ** 2
    second = second * (1 + np.cos(2 * speed * point) * np.exp(-2 * (speed * scale) ** 2)) / 2
    return np.linalg.norm(mean, axis=1), (second - mean**2).sum(axis=1)


class TestSaliency:
    def test_the_norm_of_the_gradient(self):
        game, _ = game_of(waves)
        found = run(Saliency(), game)
        gradient = waves(game.point().astype(np.float64))[1]
        assert np.allclose(found.scores[:, 0], np.linalg.norm(gradient, axis=1)[1:-1])
        assert (game.gradient_passes, found.unit, found.additive) == (1, "gradient norm", False)
        assert np.isnan(found.base_values).all()

    def test_a_features_tokens_are_one_vector(self):
        game = two_tokens_a_feature()
        gradient = waves(game.point().astype(np.float64))[1]
        both = np.linalg.norm(gradient[1:3])
        assert run(Saliency(), game).scores[0, 0] == pytest.approx(both)
        close = run(SmoothGrad(noise=1e-6), game).scores
        assert close[0, 0] == pytest.approx(both, rel=1e-5)


class TestSmoothGrad:
    def test_of_a_linear_model_it_is_the_saliency_without_error(self):
        game, _ = game_of(linear(WEIGHTS))
        found = run(SmoothGrad(noise=5.0), game)
        assert np.allclose(found.scores, np.linalg.norm(WEIGHTS))
        assert np.allclose(found.std_errors, 0, atol=1e-5)
        assert game.gradient_passes == 33

    def test_pairs_cancel_what_is_odd(self):
        game, _ = game_of(squares)
        found = run(SmoothGrad(noise=2.0), game, budget=7)
        gradient = squares(game.point().astype(np.float64))[1][1:-1]
        assert np.allclose(found.scores[:, 0], np.linalg.norm(gradient, axis=1), rtol=1e-4)

    def test_noise_does_not_lengthen_the_norm(self):
        """A gradient of noise alone, in many coordinates: the norm of its mean is far above zero."""
        noise = np.random.default_rng(0)

        def rough(e):
            return 0.0, noise.standard_normal(e.shape)

        table = np.random.default_rng(3).standard_normal((50, 400)).astype(np.float32)
        encoding = encoding_of("one two three")
        game = EmbeddingGame(
            FakeModel(rough, table=table), encoding, readout(), tokens_of(encoding)
        )
        found = run(SmoothGrad(), game)
        # Of 32 gradients of length 20 the mean has length 3.5, whatever the truth.
        assert found.scores.max() < 1.5
        assert np.all(found.scores < 3 * found.std_errors)

    def test_the_smoothed_norm_is_within_its_errors(self):
        game, _ = game_of(waves)
        expected, _ = smoothed(game.point().astype(np.float64), 0.5)
        found = run(SmoothGrad(noise=0.5), game, budget=401)
        assert np.all(np.abs(found.scores[:, 0] - expected[1:-1]) < 4 * found.std_errors[:, 0])
        assert found.std_errors.max() < 0.1 * found.scores.max()


class TestVarGrad:
    def test_of_squares_it_is_the_variance_of_the_noise(self):
        game, _ = game_of(squares)
        found = run(VarGrad(noise=0.3), game, budget=2001)
        scale = 0.3 * np.sqrt((game.point()[1:-1].astype(np.float64) ** 2).mean())
        expected = scale**2 * (WEIGHTS**2).sum()
        assert np.all(np.abs(found.scores - expected) < 4 * found.std_errors)
        assert np.all(found.std_errors < 0.1 * expected)
        assert game.gradient_passes == 2001

    def test_a_small_spread_of_large_gradients(self):
        def steep(e):
            value, gradient = squares(e)
            return value, 1e6 + 1e-3 * gradient

        game, _ = game_of(steep)
        calm, _ = game_of(squares)
        ours = run(VarGrad(), game).scores
        assert np.allclose(ours, 1e-6 * run(VarGrad(), calm).scores, rtol=1e-3)


def expected_gradients(game, model):
    """Of squares: the mean over the vocabulary of w (x^2 - b^2) / 2, by token."""
    point = game.point().astype(np.float64)[1:-1]
    plain = np.setdiff1d(np.arange(50), [4, 0, 1, 2])
    base = (model.table[plain].astype(np.float64) ** 2).mean(axis=0)
    return (WEIGHTS * (point**2 - base) / 2).sum(axis=1)


class TestGradientShap:
    def test_a_fixed_baseline_is_integrated_gradients_by_random_places(self):
        game, _ = game_of(cubic)
        exact = run(IntegratedGradients(tolerance=1e-6), game, budget=1217).scores
        found = run(GradientShap(baseline="mean"), game, budget=402)
        assert np.all(np.abs(found.scores - exact) < 4 * found.std_errors)
        rise = found.values - found.base_values
        # One place in each of 400 equal parts: the residual is far below the spread of places.
        assert found.scores.sum() == pytest.approx(rise[0], rel=1e-3)
        assert found.additive
        assert not found.by_construction

    def test_drawn_baselines_are_of_the_whole_vocabulary(self):
        game, model = game_of(squares)
        found = run(GradientShap(), game, budget=2001)
        assert game.gradient_passes == 2001
        expected = expected_gradients(game, model)
        assert np.all(np.abs(found.scores[:, 0] - expected) < 4 * found.std_errors[:, 0])
        residual = found.values - found.base_values - found.scores.sum(axis=0)
        assert 0 < abs(residual[0]) < 4 * np.linalg.norm(found.std_errors)

    def test_special_tokens_are_never_drawn_and_frozen_ones_stay(self):
        game, model = game_of(squares)
        drawn = game.random_baselines(300, np.random.default_rng(0))
        for token in (0, 1, 2, 4):
            assert not np.any(np.all(drawn[:, 1:-1] == model.table[token], axis=2))
        assert np.array_equal(
            drawn[:, [0, -1]], np.repeat(game.point()[None, [0, -1]], 300, axis=0)
        )


class TestSequentialIntegratedGradients:
    @pytest.mark.parametrize("function", [cubic, waves, squares])
    def test_it_is_the_integral_along_each_words_own_path(self, function):
        game, _ = game_of(function)
        found = run(SequentialIntegratedGradients(), game)
        point, base = game.point().astype(np.float64), game.baseline("mean").astype(np.float64)
        for i in range(3):
            total = 0.0
            for place in (np.arange(2000) + 0.5) / 2000:
                moved = point.copy()
                moved[i + 1] = base[i + 1] + place * (point[i + 1] - base[i + 1])
                total += function(moved)[1][i + 1] @ (point - base)[i + 1] / 2000
            assert found.scores[i, 0] == pytest.approx(total, rel=1e-3, abs=1e-4)
        assert game.gradient_passes == 5
        assert not found.additive

    def test_one_feature_needs_only_both_ends(self):
        encoding = encoding_of("one")
        game = EmbeddingGame(FakeModel(waves), encoding, readout(), tokens_of(encoding), budget=2)
        found = run(SequentialIntegratedGradients(), game, budget=2)
        assert found.scores[0, 0] == (found.values - found.base_values)[0]


@pytest.mark.parametrize("method", SAMPLED)
def test_any_budget_is_held_and_its_seed_decides(method):
    for budget in (7, 8, 11, 30):
        game, _ = game_of(waves, budget=budget)
        found = run(method, game, budget=budget)
        assert budget - 1 <= game.gradient_passes <= budget
        again = run(method, game_of(waves)[0], budget=budget)
        assert again.scores.tobytes() == found.scores.tobytes()
        other = method.estimate(game_of(waves)[0], budget=budget, seed=1)
        assert not np.array_equal(other.scores, found.scores)
        assert np.all(np.isfinite(found.std_errors))


@pytest.mark.parametrize("kind", [SmoothGrad, VarGrad])
@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan"), float("inf")])
def test_noise_out_of_range(kind, noise):
    with pytest.raises(OptionError, match="expected a noise above 0"):
        kind(noise=noise)


@pytest.mark.parametrize("kind", [GradientShap, SequentialIntegratedGradients])
def test_an_unknown_baseline(kind):
    with pytest.raises(OptionError, match="did you mean 'mean'"):
        kind(baseline="meen")


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_models_in_half_precision(family, precision):
    """Points and sums are ours, in full precision; what is left is the model's own rounding."""
    tiny = FAMILIES[family]()
    half = whence.load((copy.deepcopy(tiny.module).to(precision), tiny.tokenizer))
    # Rounding may have a model write another text, of which the gradients are others.
    settings = {"budget": 9, "target": whence.NextToken() if tiny.task == "causal" else "low"}
    for method in [Saliency(), SequentialIntegratedGradients(), *SAMPLED]:
        exact = explain(whence.load(tiny.pair), "She missed it", method=method, **settings)
        rough = explain(half, "She missed it", method=method, **settings)
        # bf16 rounds a value by up to 2^-8 of it, which stays in differences of values.
        slack = 0.06 * np.abs(exact.scores).max() + 2**-8 * np.abs(exact.values).max()
        assert np.allclose(rough.scores, exact.scores, atol=slack)
        if exact.std_errors is not None:
            assert np.all(np.isfinite(rough.std_errors))


@pytest.mark.slow
@pytest.mark.parametrize("budget", [9, 17, 33, 101])
@pytest.mark.parametrize("which", ["smooth", "variance", "baselines"])
def test_standard_errors_cover(which, budget):
    game, model = game_of(waves)
    norms, variances = smoothed(game.point().astype(np.float64), 0.5)
    method, function, expected = {
        "smooth": (SmoothGrad(noise=0.5), waves, norms[1:-1]),
        "variance": (VarGrad(noise=0.5), waves, variances[1:-1]),
        "baselines": (GradientShap(), squares, expected_gradients(game, model)),
    }[which]
    within = []
    for seed in range(200):
        found = method.estimate(game_of(function)[0], budget=budget, seed=seed)
        within.append(np.abs(found.scores[:, 0] - expected) <= 1.96 * found.std_errors[:, 0])
    assert np.mean(within) >= 0.9
