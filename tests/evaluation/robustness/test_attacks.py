"""The search is trusted with nothing: what it hands back is measured here once more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.attribution.test_conformance import state_of
from tests.evaluation.again import asked
from tests.zoo.families import FAMILIES

import whence
from whence.core import CapabilityError, OptionError
from whence.core.arrays import frozen_array
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import pool_of
from whence.evaluation.robustness.attacks import SwapAttack
from whence.evaluation.robustness.rank_agreement import agreement, align_features
from whence.evaluation.robustness.text_perturbations import decides, holds, own_neighbours
from whence.games import FunctionGame

TEXT = "parcel arrived late again yesterday morning without proper notice given"


def counting(texts):
    return [[float("late" in t), float("late" not in t)] for t in texts]


def attacked(attack, instance, found, explain, neighbours):
    """The attack on an explanation, made again by ``explain``."""
    instance = replace(instance, explanation=found, explain=explain, neighbours=neighbours)
    return attack.attack(instance, np.array(found.scores[:, instance.output]))


def names(text, start, end):
    """Words that no rule knows, and one that would change the prediction if it stood elsewhere."""
    return [f"{text[start:end]}x", "odd", "even"]


def test_a_steady_method_cannot_be_moved():
    _, instance, found, again = asked(whence.load(counting, labels=["late", "fine"]), TEXT)
    result = attacked(SwapAttack(most_changed=0.5), instance, found, again, names)
    assert result.measurement.value == pytest.approx(1.0)
    assert result.swaps == ()
    assert result.changed == 0.0
    assert not result.succeeded


def test_a_method_that_hangs_on_wording_is_moved_within_all_constraints():
    _, instance, _, again = asked(whence.load(counting, labels=["late", "fine"]), TEXT)

    def by_wording(source, seed):
        made = again(source, seed)
        ranks = np.arange(10.0, 0.0, -1.0)[:, None]
        return replace(made, scores=frozen_array(ranks[::-1] if "odd" in source else ranks))

    found = by_wording(TEXT, 0)
    result = attacked(SwapAttack(most_changed=0.2), instance, found, by_wording, names)
    assert result.succeeded
    assert len(result.swaps) <= 2
    # Every constraint, from the final pair alone.
    final = by_wording(result.source, 0)
    texts = [f.text for f in final.segmentation.features]
    before = [f.text for f in found.segmentation.features]
    pairs = align_features(before, texts)
    other = np.array(final.scores[:, 0])
    assert result.measurement.value == agreement(np.array(found.scores[:, 0]), other, pairs).overlap
    assert result.changed == np.mean([a != b for a, b in zip(before, texts, strict=True)]) <= 0.2
    question = instance.question
    assert holds(decides(question, TEXT), decides(question, result.source)) is None
    assert "late" in result.source
    assert result.measurement.random < 0.7


def test_what_moves_the_prediction_is_never_taken_and_the_limit_holds():
    def fragile(texts):
        return [[float("odd" not in t), float("odd" in t)] for t in texts]

    _, instance, found, again = asked(whence.load(fragile, labels=["yes", "no"]), TEXT)
    calls = []

    def noisy(source, seed):
        calls.append(source)
        made = again(source, seed)
        drawn = np.random.default_rng(len(calls)).normal(size=made.scores.shape)
        return replace(made, scores=frozen_array(drawn))

    result = attacked(
        SwapAttack(most_changed=1.0, most_explanations=5), instance, found, noisy, names
    )
    assert all("odd" not in source for source in calls)
    assert result.moved is None
    # The limit bounds the search; the final pair is explained once more.
    assert result.explanations == len(calls) == 6


def test_on_a_model_with_its_own_neighbours_nothing_is_left_behind():
    tiny = FAMILIES["bert"]()
    before = state_of(tiny)
    runs = []
    for _ in range(2):
        model, instance, found, again = asked(
            tiny.pair, "the payment was late and the loan is good", method="input-x-gradient"
        )
        neighbours = own_neighbours(model, least_cosine=0.0, most=3)
        made = attacked(
            SwapAttack(candidates=3, most_explanations=6), instance, found, again, neighbours
        )
        runs.append((made.source, made.swaps, made.measurement.to_json()))
    assert runs[0] == runs[1]
    assert state_of(tiny) == before


def test_refusals():
    _, instance, found, again = asked(whence.load(counting, labels=["late", "fine"]), TEXT)
    with pytest.raises(OptionError, match="above 0"):
        attacked(SwapAttack(candidates=0), instance, found, again, names)
    game = FunctionGame(3, lambda S: S.sum(axis=1))
    with pytest.raises(CapabilityError, match="analytic"):
        attacked(SwapAttack(), Instance(game, pool_of(game)), found, again, names)
