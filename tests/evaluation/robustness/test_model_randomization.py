"""An explanation of another model must be another; one that never asks the model is found out."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from tests.attribution.test_conformance import state_of
from tests.evaluation.again import asked
from tests.zoo.families import FAMILIES

import whence
from whence.core import CapabilityError, OptionError
from whence.core.arrays import frozen_array
from whence.evaluation.robustness.model_randomization import (
    chance_band,
    data_randomisation,
    randomisation,
)
from whence.evaluation.robustness.rank_agreement import spearman
from whence.evaluation.robustness.signed_class_contrast import SignedClassContrast
from whence.models.weights.randomize import layers_of, randomize


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_the_cascade_is_made_of_randomised_models_alone(name):
    """The untouched model's similarity, which is 1, has no part in the mean."""
    tiny = FAMILIES[name]()
    before = state_of(tiny)
    model, instance, found, again = asked(
        tiny.pair, "not a good payment", method="input-x-gradient"
    )
    result = randomisation(instance, found, again, seed=2)
    assert state_of(tiny) == before
    layers = layers_of(model)
    assert [name for name, _ in result.steps] == [layer.name for layer in layers]
    assert result.share == 1.0
    own = np.array(found.scores[:, 0])
    for count in (1, len(layers)):
        with randomize(model, seed=2, layers=layers[:count]):
            other = np.array(again("not a good payment", 0).scores[:, 0])
        assert result.steps[count - 1][1] == abs(spearman(own, other))
    values = [value for _, value in result.steps]
    assert result.cascade.value == pytest.approx(np.mean(values))
    assert result.cascade.n == len(layers)
    assert result.cascade.value < (sum(values) + 1.0) / (len(values) + 1)
    assert result.full.value == values[-1]
    again_result = randomisation(instance, found, again, seed=2)
    assert again_result.cascade.to_json() == result.cascade.to_json()


def test_scores_that_never_ask_the_model_are_found_out():
    _, instance, found, _ = asked(FAMILIES["bert"]().pair)
    result = randomisation(instance, found, lambda source, seed: found, cascade=False)
    assert result.full.value == 1.0
    assert result.cascade is None
    assert len(result.steps) == 1
    assert not result.depends_on_the_model
    rng = np.random.default_rng(4)

    def fresh(source, seed):
        return replace(found, scores=frozen_array(rng.normal(size=found.scores.shape)))

    inside = [
        randomisation(instance, found, fresh, cascade=False).depends_on_the_model for _ in range(40)
    ]
    assert sum(inside) >= 34


def test_the_band_holds_95_percent_of_all_orders():
    scores = np.array([4.0, 1, 3, -2, 0, 0.5])
    every = [abs(spearman(scores, scores[list(o)])) for o in permutations(range(6))]
    mean, band = chance_band(scores)
    assert mean == pytest.approx(np.mean(every), abs=0.02)
    assert 0.93 <= np.mean(np.array(every) <= band) <= 0.98
    assert chance_band(np.array([1.0, 2, 3]))[1] == 1.0


def test_class_contrast_is_on_logits_only():
    tiny = FAMILIES["bert"]()
    model, instance, found, _ = asked(tiny.pair)
    targets = (whence.Label(label="low"), whence.Label(label="high"))
    both = whence.explain(
        model,
        found.segmentation.document.text,
        target=targets,
        link="logit",
        method="leave-one-out",
        trust="off",
    )

    def contrast(explanation, **options):
        scores = np.array(explanation.scores[:, 0])
        return SignedClassContrast(**options).measure(
            replace(instance, explanation=explanation), scores
        )

    measured = contrast(both)
    assert measured.value == abs(spearman(np.array(both.scores[:, 0]), np.array(both.scores[:, 1])))
    same = replace(both, scores=frozen_array(np.stack([both.scores[:, 0], -both.scores[:, 0]], 1)))
    assert contrast(same).value == 1.0
    with pytest.raises(OptionError, match="another output"):
        contrast(both, other="low")
    odds = whence.explain(
        model, found.segmentation.document.text, target=targets, method="leave-one-out", trust="off"
    )
    with pytest.raises(OptionError, match="link='logit'"):
        contrast(odds)


def test_a_model_without_parameters_is_refused():
    _, instance, found, again = asked(whence.load(lambda texts: [float(len(t)) for t in texts]))
    with pytest.raises(CapabilityError, match="only scores"):
        randomisation(instance, found, again)


def test_a_method_that_explains_a_model_of_shuffled_labels_alike_is_flagged():
    """Two linear models with different weights: their own scores differ, word lengths do not."""
    text = "the first bill was late and the second one came in march of that very year"

    def model_of(seed):
        words = sorted(set(text.split()))
        weights = dict(zip(words, np.random.default_rng(seed).normal(size=len(words)), strict=True))
        return whence.load(
            lambda texts: [sum(weights.get(w, 0.0) for w in t.split()) for t in texts]
        )

    learned, shuffled = model_of(0), model_of(1)
    _, instance, found, _ = asked(learned, text)
    other = asked(shuffled, text)[2]
    band = chance_band(np.array(found.scores[:, 0]))[1]
    assert data_randomisation(instance, found, other).value <= band
    lengths = frozen_array(np.array([[float(len(f.text))] for f in found.segmentation.features]))
    blind = data_randomisation(
        instance, replace(found, scores=lengths), replace(other, scores=lengths)
    )
    assert blind.value == 1.0 > band > blind.random
    with pytest.raises(OptionError, match="different features"):
        data_randomisation(instance, found, asked(shuffled, text + " more")[2])
