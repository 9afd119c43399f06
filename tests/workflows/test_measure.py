"""Metrics that need more than answers, behind the Python door, against what they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation.again import asked
from tests.zoo.linear import linear_bag

import whence
from whence.attribution.gradient.input_x_gradient import InputXGradient
from whence.core import CapabilityError, OptionError
from whence.evaluation.metrics.max_sensitivity import MaxSensitivity, moved_game
from whence.evaluation.metrics.plausibility import TokenF1
from whence.evaluation.robustness.attacks import SwapAttack

TEXT = "not a good payment"


def measured(*arguments, **options):
    return whence.measure(*arguments, **options)[0]


def test_the_records_own_method_is_run_at_displaced_embeddings():
    model, instance, found, _ = asked(linear_bag().pair, TEXT, method="input-x-gradient")
    calls = []

    def explain_at(points):
        calls.append(len(points))
        return np.stack(
            [
                InputXGradient()
                .estimate(moved_game(instance.question, p), budget=2, seed=0)
                .scores[:, 0]
                for p in points
            ]
        )

    by_hand = MaxSensitivity(draws=3).measure(
        type(instance)(
            instance.game, instance.pool, question=instance.question, explain_at=explain_at
        ),
        np.array(found.scores[:, 0]),
    )
    by_door = measured(model, found, [MaxSensitivity(draws=3)], size=32)
    assert sum(calls) == MaxSensitivity(draws=3).explanations(4) == 4
    assert by_door.value == by_hand.value > 0
    steep = measured(model, found, ["local-lipschitz"])
    assert (steep.unit, steep.direction) == ("ratio", "lower")
    assert steep.value > 0


def test_an_attack_runs_the_records_own_method_on_swapped_words():
    model, _, found, _ = asked(linear_bag().pair, TEXT)
    proposed = []

    def neighbours(text, start, end):
        proposed.append(text[start:end])
        return [f"{text[start:end]}x"]

    attack = SwapAttack(most_changed=1.0)
    result = measured(model, found, [attack], neighbours=neighbours)
    assert result.name == "attacked-overlap"
    assert 0 <= result.value <= 1
    assert set(proposed) <= set(TEXT.split())
    assert proposed


def test_people_and_other_classes():
    def answers(texts):
        return [[2.0 * ("late" in t), ("paid" in t) + 0.5 * ("late" in t)] for t in texts]

    model = whence.load(answers, labels=["risk", "trust"])
    both = [whence.Label(label="risk"), whence.Label(label="trust")]
    e = whence.explain(
        model, "late but paid on time", target=both, method="leave-one-out", trust="off"
    )
    people = {"spans": [(0, 4)]}
    assert measured(model, e, ["token-f1"], **people).value == 1.0
    assert measured(model, e, ["token-f1"], output="trust", **people).value == 0.0
    assert measured(model, e, [TokenF1(k=2)], output="trust", **people).value == pytest.approx(
        2 / 3
    )
    # |2, 0, 0, 0, 0| beside |.5, 0, 1, 0, 0|: ranks 5 and four ties beside 4, 5 and three ties.
    contrast = measured(model, e, ["class-contrast"])
    assert contrast.value == pytest.approx(
        np.corrcoef([5, 2.5, 2.5, 2.5, 2.5], [4, 2, 5, 2, 2])[0, 1]
    )
    assert contrast.specification.options["other"] == "trust"
    high = measured(model, e, ["comprehensiveness-percentile"])
    assert (high.unit, high.random, high.best) == ("share of random sets", 0.5, 1.0)


def test_what_cannot_be_run_again_is_said():
    model = whence.load(lambda texts: [float("late" in t) for t in texts])
    theirs = whence.adopt(model, "late again", [("late", 1.0), ("again", 0.0)], method="a tool")
    with pytest.raises(CapabilityError, match="cannot be run again"):
        measured(model, theirs, ["attacked-overlap"], neighbours=lambda *_: ["odd"])
    with pytest.raises(CapabilityError, match="no embeddings"):
        measured(model, theirs, ["max-sensitivity"])
    bag = whence.load(linear_bag().pair)
    by_text = whence.explain(bag, TEXT, method="leave-one-out", trust="off")
    with pytest.raises(CapabilityError, match="gradient method"):
        measured(bag, by_text, ["max-sensitivity"])
    with pytest.raises(CapabilityError, match="spans"):
        measured(model, theirs, ["token-f1"])
    for span in ((4, 4), (-1, 2)):
        with pytest.raises(OptionError, match="start < end"):
            measured(model, theirs, ["token-f1"], spans=[span])
    with pytest.raises(OptionError, match="unknown metric"):
        measured(model, theirs, ["tokens-f1"])
