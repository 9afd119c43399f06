"""Displaced embeddings: a model that is exactly linear has nothing to be sensitive about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.attribution.test_conformance import state_of
from tests.evaluation.again import asked
from tests.zoo.families import FAMILIES
from tests.zoo.linear import linear_bag

import whence
from whence.attribution.gradient.input_x_gradient import InputXGradient
from whence.core import CapabilityError, OptionError, UndefinedError
from whence.evaluation.metrics.local_lipschitz import LocalLipschitz
from whence.evaluation.metrics.max_sensitivity import MaxSensitivity, displacements, moved_game

TEXT = "not a good payment"


def moved(metric, instance, explain_at, value_at=None):
    """A metric of displaced embeddings, with these explainers; it reads no other scores."""
    return metric.measure(
        replace(instance, explain_at=explain_at, value_at=value_at), np.zeros(instance.n)
    )


def ways(instance, output=0):
    """Input times gradient and the value, at any embedded inputs."""

    def run(points):
        return [
            InputXGradient().estimate(moved_game(instance.question, p), budget=2, seed=0)
            for p in points
        ]

    return (
        lambda points: np.stack([e.scores[:, output] for e in run(points)]),
        lambda points: np.array([e.values[output] for e in run(points)]),
    )


@pytest.mark.parametrize("batch", [1, 2, 6])
def test_a_linear_model_goes_to_zero_with_the_radius_for_every_batch_size(batch):
    """A score scaled over one batch and not another would be far from zero here."""
    instance = asked(linear_bag().pair, TEXT)[1]
    explain_at, _ = ways(instance)
    values = [
        moved(MaxSensitivity(radius=radius, draws=6, batch=batch), instance, explain_at).value
        for radius in (1e-2, 1e-4, 1e-6)
    ]
    assert values[0] < 0.03
    assert values[1] == pytest.approx(values[0] / 100, rel=0.02)
    assert values[2] < 1e-5


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_batch_sizes_give_the_same_bits(name):
    instance = asked(FAMILIES[name]().pair, TEXT)[1]
    explain_at, value_at = ways(instance)
    for metric, arguments in (
        (MaxSensitivity, (explain_at,)),
        (LocalLipschitz, (explain_at, value_at)),
    ):
        found = [
            moved(metric(batch=batch, draws=3, radius=0.01), instance, *arguments)
            for batch in (1, 2, 3)
        ]
        assert found[0].value == found[1].value == found[2].value > 0
        assert found[0].to_json() == found[1].to_json()


def test_more_draws_keep_the_first_and_a_larger_radius_moves_further():
    instance = asked(linear_bag().pair, TEXT)[1]
    few, many = displacements(instance, 0.01, 3), displacements(instance, 0.01, 8)
    assert np.array_equal(few, many[:3])
    assert np.allclose(displacements(instance, 0.02, 3), 2 * few)
    tokens = instance.question.tokens
    frozen = tokens.owner < 0
    assert frozen.any()
    assert not few[:, frozen].any()
    point = instance.question.model.embed(instance.question.encoding)
    reach = 0.01 * np.linalg.norm(point[~frozen], axis=1).mean()
    norms = np.linalg.norm(many[:, ~frozen], axis=2)
    assert norms.max() <= reach
    assert norms.max() > 0.8 * reach


def test_the_slope_of_a_linear_model_is_at_most_its_weight():
    """phi_i = sum of the first coordinates of its tokens, so |change| <= |displacement|."""
    instance = asked(linear_bag().pair, TEXT)[1]
    explain_at, value_at = ways(instance)
    found = moved(LocalLipschitz(relative=False, draws=30), instance, explain_at, value_at)
    assert 0.3 < found.value <= np.sqrt(3)
    assert found.unit == "nat per unit of embedding"
    # The ratio of a function that is exactly scaled is known.
    scaled = moved(
        LocalLipschitz(relative=False, draws=4, radius=0.01),
        instance,
        lambda points: (
            3.0 * points[:, instance.question.tokens.owner >= 0].reshape(len(points), -1)
        ),
        lambda points: np.zeros(len(points)),
    )
    assert scaled.value == pytest.approx(3.0)
    relative = moved(
        LocalLipschitz(draws=4, radius=0.01),
        instance,
        lambda points: (
            3.0 * points[:, instance.question.tokens.owner >= 0].reshape(len(points), -1)
        ),
        lambda points: np.zeros(len(points)),
    )
    assert relative.value == pytest.approx(1.0)


def test_displacements_that_move_the_answer_do_not_count():
    instance = asked(linear_bag().pair, TEXT)[1]
    explain_at, _ = ways(instance)
    calls = iter(range(100))
    some = moved(
        LocalLipschitz(draws=6, batch=1),
        instance,
        explain_at,
        lambda points: np.array([0.0 if next(calls) % 2 == 0 else 9.0]),
    )
    assert some.n == 3
    calls = iter(range(100))
    with pytest.raises(OptionError, match="smaller"):
        moved(
            LocalLipschitz(draws=2, batch=1),
            instance,
            explain_at,
            lambda points: np.array([9.0 * next(calls)]),
        )


def test_noise_for_scores_is_as_sensitive_as_shuffled_scores():
    instance = asked(linear_bag().pair, TEXT)[1]
    rng = np.random.default_rng(0)
    found = moved(
        MaxSensitivity(draws=10),
        instance,
        lambda points: rng.normal(size=(len(points), instance.n)),
    )
    assert found.value > 0.5 * found.random > 0
    flat = moved(MaxSensitivity(), instance, lambda points: np.zeros((len(points), instance.n)))
    assert flat.value == 0.0
    jump = iter([0.0, *[1.0] * 20])
    with pytest.raises(UndefinedError, match="all zero"):
        moved(
            MaxSensitivity(batch=1), instance, lambda points: np.full((1, instance.n), next(jump))
        )


def test_nothing_is_left_behind_and_refusals():
    tiny = FAMILIES["bert"]()
    before = state_of(tiny)
    instance = asked(tiny.pair, TEXT)[1]
    explain_at, _ = ways(instance)
    moved(MaxSensitivity(draws=2), instance, explain_at)
    assert state_of(tiny) == before
    with pytest.raises(OptionError, match="radius"):
        moved(MaxSensitivity(radius=0.0), instance, explain_at)
    with pytest.raises(OptionError, match="batch"):
        moved(MaxSensitivity(batch=0), instance, explain_at)
    with pytest.raises(OptionError, match="all zero"):
        moved(
            LocalLipschitz(),
            instance,
            lambda p: np.zeros((len(p), instance.n)),
            lambda p: np.zeros(len(p)),
        )
    text_only = asked(whence.load(lambda texts: [float(len(t)) for t in texts]), TEXT)[1]
    with pytest.raises(CapabilityError, match="no embeddings"):
        moved(MaxSensitivity(), text_only, explain_at)
    with pytest.raises(CapabilityError, match="no gradients"):
        moved_game(text_only.question, np.zeros((2, 2)))
