from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.attribution.test_conformance import state_of
from tests.evaluation.again import TEXT, asked
from tests.zoo.families import FAMILIES

import whence
from whence.core import CapabilityError, OptionError
from whence.core.arrays import frozen_array
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import pool_of
from whence.evaluation.robustness.stability import AXES, batch_deviation, stability
from whence.games import FunctionGame


def weighing(texts):
    """A sum over words, the same whatever stands beside them."""
    weights = {"miss": -2.0, "not": 1.5, "payment": 1.0, "single": 0.5, "year": 0.25}
    return [10 + sum(weights.get(w.strip(".").lower(), 0.0) for w in t.split()) for t in texts]


def test_an_exact_method_on_a_sum_holds_on_every_axis():
    _, instance, found, again = asked(whence.load(weighing))
    axes = ["seed", "typo", "neutral", "template", "padding", "batch"]
    result = stability(instance, found, again, axes=axes, repeats=2)
    assert result.measurement("overlap-seed").value == 1.0
    # A misspelt word outside the top may weigh nothing any more; the top stays where it is.
    assert result.measurement("jaccard-typo").value == 1.0
    assert result.least.value > 0.75
    assert result.measurement("deviation-padding").value == 0.0
    assert result.measurement("deviation-batch").value == 0.0
    for name in ("overlap", "jaccard", "signs", "tau"):
        measured = result.measurement(f"{name}-template")
        assert measured.random < measured.value
    assert result.explanations == 2 * 4


def test_the_least_axis_is_the_answer_and_noise_is_found_out():
    _, instance, found, again = asked(whence.load(weighing))

    def noisy(source, seed):
        made = again(source, seed)
        drawn = np.random.default_rng(seed).normal(size=made.scores.shape)
        return replace(made, scores=frozen_array(made.scores * (seed == 0) + drawn * (seed != 0)))

    result = stability(instance, found, noisy)
    assert result.least.name == "overlap-seed"
    assert result.least.value < 0.6
    assert result.measurement("overlap-seed").value == min(
        agreed.overlap for _, agreed in result.repeats["seed"]
    )
    # As low as shuffled scores would be, up to chance.
    assert abs(result.least.value - result.least.random) < 0.3


def test_the_same_seed_gives_the_same_bits():
    tiny = FAMILIES["bert"]()
    runs = []
    for _ in range(2):
        _, instance, found, again = asked(tiny.pair, method="input-x-gradient")
        made = stability(instance, found, again, axes=["typo", "neutral", "quantisation"])
        runs.append([m.to_json() for m in made.measurements])
    assert runs[0] == runs[1]


def test_rounded_weights_and_nothing_left_behind():
    tiny = FAMILIES["bert"]()
    before = state_of(tiny)
    _, instance, found, again = asked(tiny.pair)
    result = stability(instance, found, again, axes=["dtype", "quantisation", "padding", "batch"])
    assert state_of(tiny) == before
    for axis in ("dtype", "quantisation"):
        if result.share_discarded[axis] == 0:
            assert 0.5 < result.measurement(f"overlap-{axis}").value <= 1.0
        else:
            assert any(line.startswith(axis) for line in result.discarded)
    assert result.share_discarded["dtype"] == 0
    # Rounded weights did answer otherwise: no answer was taken from before.
    assert "overlap-dtype" in {m.name for m in result.measurements}
    assert result.measurement("deviation-padding").value < 1e-4
    assert result.measurement("deviation-batch").value < 1e-4
    assert np.array_equal(again(TEXT, 0).scores, found.scores)


def test_rounding_reaches_the_scores():
    _, instance, found, again = asked(FAMILIES["bert"]().pair)
    seen = []

    def watched(source, seed):
        seen.append(again(source, seed).scores)
        return again(source, seed)

    stability(instance, found, watched, axes=["dtype"])
    assert len(seen) == 1
    assert not np.array_equal(seen[0], found.scores)
    assert np.allclose(seen[0], found.scores, atol=0.2)


def test_padding_that_leaks_is_found():
    def leaking(texts):
        return [len(t) + 0.01 * max(map(len, texts)) for t in texts]

    _, instance, _, _ = asked(whence.load(leaking))
    assert batch_deviation(instance, instance.question, "padding").value > 0.1


def test_maskers_and_other_ways_come_from_the_caller():
    _, instance, found, again = asked(FAMILIES["bert"]().pair)

    def deleting(source, seed):
        return again(source, seed, masker="deletion")

    result = stability(instance, found, again, axes=["masker"], variants={"masker": [deleting]})
    assert result.measurement("overlap-masker").n == 1
    with pytest.raises(OptionError, match="variants"):
        stability(instance, found, again, axes=["masker"])


def test_synonyms_of_a_text_model_need_someone_to_propose_them():
    _, instance, found, again = asked(whence.load(weighing))
    with pytest.raises(CapabilityError, match="neighbours"):
        stability(instance, found, again, axes=["synonym"])
    result = stability(
        instance, found, again, axes=["synonym"], neighbours=lambda text, a, b: ["bill"]
    )
    assert result.measurement("overlap-synonym").n >= 1


def test_axes_without_anything_to_compare_say_so():
    _, instance, found, again = asked(whence.load(weighing))
    result = stability(instance, found, again, axes=["dtype", "synonym"], neighbours=lambda *_: [])
    assert len(result.open) == 2
    assert result.least is None
    with pytest.raises(OptionError, match="unknown measurement"):
        result.measurement("overlap-dtype")


def test_refusals():
    _, instance, found, again = asked(whence.load(weighing))
    with pytest.raises(OptionError, match="did you mean 'typo'"):
        stability(instance, found, again, axes=["typos"])
    with pytest.raises(OptionError, match="repeats"):
        stability(instance, found, again, repeats=0)
    game = FunctionGame(3, lambda S: S.sum(axis=1))
    with pytest.raises(CapabilityError, match="analytic"):
        stability(Instance(game, pool_of(game)), found, again)
    assert len(AXES) == 10
