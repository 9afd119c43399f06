from __future__ import annotations

import numpy as np
import pytest
from tests.samples import attribution

from whence.core import Measurement, MethodSpec, Quantity
from whence.core.arrays import frozen_array
from whence.core.explanations import Completeness
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import pool_of
from whence.evaluation.trust.calibration import Threshold
from whence.evaluation.trust.checks import CHANCE, FAIR, RerunAccess, adds_up, better_than_chance
from whence.evaluation.trust.grading import verdict
from whence.evaluation.trust.summary import summary_sentence
from whence.evaluation.trust.trust_label import evaluations_of, label_of
from whence.games import FunctionGame

SURE = Threshold(
    family="Bert",
    level="quick",
    fidelity=0.5,
    n=500,
    held_out=500,
    wrong=0.03,
    granted=0.4,
    worst=0.04,
)


def _quantities(**findings):
    names = {"chance": CHANCE, "fair": FAIR}
    return [
        Quantity(question=names.get(name, name), finding=finding, says=f"{name} {finding}")
        for name, finding in findings.items()
    ]


@pytest.mark.parametrize(
    ("findings", "grade"),
    [
        ({"chance": "pass", "carried": "pass"}, "A"),
        ({"chance": "pass", "carried": "caution"}, "A"),
        ({"chance": "pass", "carried": "not_measured"}, "A"),
        ({"chance": "caution", "carried": "pass"}, "B"),
        ({"chance": "pass", "carried": "caution", "again": "caution"}, "B"),
        ({"chance": "pass", "carried": "fail"}, "C"),
        ({"chance": "pass", "carried": "fail", "again": "fail"}, "abstain"),
        ({"chance": "fail", "carried": "pass"}, "abstain"),
        ({"chance": "pass", "fair": "fail"}, "abstain"),
    ],
)
def test_grades(findings, grade):
    found = verdict(_quantities(**findings), features=9, fidelity=0.8, share=0.9, threshold=SURE)
    assert found.grade == grade
    worse = [f"{name} {f}" for name, f in findings.items() if f in ("fail", "caution")]
    assert set(found.reasons) == set(worse)
    bare = verdict(_quantities(**findings), features=9, fidelity=0.8, share=0.9, threshold=None)
    assert bare.grade == ("abstain" if grade == "abstain" else "uncalibrated")


def test_grade_a_needs_the_fidelity_that_was_found_to_be_safe():
    passes = _quantities(chance="pass")
    assert verdict(passes, features=9, fidelity=0.5, share=0.9, threshold=SURE).grade == "A"
    low = verdict(passes, features=9, fidelity=0.49, share=0.9, threshold=SURE)
    assert low.grade == "B"
    assert "below 0.50, from which" in low.reasons[0]
    none = Threshold(
        family="Bert",
        level="quick",
        fidelity=None,
        n=9,
        held_out=9,
        wrong=0.0,
        granted=0.0,
        worst=0.0,
    )
    assert verdict(passes, features=9, fidelity=1.0, share=0.9, threshold=none).grade == "B"


def test_grade_a_needs_an_answer_that_single_words_carry():
    passes = _quantities(chance="pass")
    found = verdict(passes, features=9, fidelity=0.9, share=0.4, threshold=SURE)
    assert found.grade == "B"
    assert "40 % of the answer" in found.reasons[0]


def test_an_unsteady_prediction_and_a_single_feature_abstain():
    passes = _quantities(chance="pass")
    instability_reason = verdict(
        passes, features=9, fidelity=0.9, share=0.9, threshold=SURE, moves="it flips"
    )
    assert (instability_reason.grade, instability_reason.reasons) == ("abstain", ("it flips",))
    assert verdict(passes, features=1, fidelity=0.9, share=0.9, threshold=SURE).grade == "abstain"


def _judged(n, function, scores, size=64):
    game = FunctionGame(n, function)
    instance = Instance(game, pool_of(game, size, seed=1), texts=tuple("word" for _ in range(n)))
    text = "ab " * n
    found = attribution(
        text=text, scores=[(s, 0.0) for s in scores], values=(1.0, 0.0), completeness=None
    )
    return instance, label_of(instance, found, level="default", access=RerunAccess())


def test_true_scores_are_told_from_random_ones():
    weights = np.random.default_rng(0).normal(size=24)
    _, good = _judged(24, lambda S: S @ weights, weights)
    assert good.grade == "uncalibrated"
    assert good.quantities[0].finding == "pass"
    assert good.additive_share.value > 0.99
    assert good.says.startswith("When the 5 highest-scored words are removed, the score of")
    _, bad = _judged(24, lambda S: S @ weights, np.random.default_rng(5).normal(size=24))
    assert bad.grade == "abstain"
    assert "better than chance" in bad.says


def test_reliable_features_are_those_whose_effect_is_not_zero():
    weights = np.zeros(16)
    weights[[2, 7]] = 3.0, -2.0

    def noisy(S):
        drawn = [np.random.default_rng(row.astype(int).tolist()).normal() for row in S]
        return S @ weights + 0.3 * np.array(drawn)

    _, found = _judged(16, noisy, weights)
    assert found.reliable[2]
    assert found.reliable[7]
    assert sum(found.reliable) <= 4


def test_combinations_are_named_as_the_reason():
    pairs = np.triu(np.random.default_rng(3).normal(size=(14, 14)), 1)

    def mixed(S):
        signs = 2.0 * S - 1
        return np.einsum("mi,ij,mj->m", signs, pairs, signs)

    _, found = _judged(14, mixed, pairs.sum(axis=0), 256)
    assert found.additive_share.interval.high < 0.5
    assert any("combinations" in reason for reason in found.reasons)
    assert "combinations" in found.says


def test_what_it_costs_is_what_was_asked():
    weights = np.random.default_rng(0).normal(size=40)
    instance, found = _judged(40, lambda S: S @ weights, weights, 32)
    assert found.cost.evaluations == instance.game.evaluations == evaluations_of("quick") == 41


def test_the_pool_is_kept_so_that_any_metric_can_be_computed_again():
    weights = np.random.default_rng(0).normal(size=9)
    instance, found = _judged(9, lambda S: S @ weights, weights)
    kept = found.pool
    assert np.array_equal(kept.coalitions(), instance.pool.masks)
    assert np.array_equal(kept.values, instance.pool.values)
    assert kept.masker == MethodSpec(name="game")


def test_scores_without_a_sign_are_noted():
    game = FunctionGame(9, lambda S: S.sum(axis=1) ** 2.0)
    instance = Instance(game, pool_of(game))
    found = attribution(
        text="ab " * 9, scores=[(1.0, 0.0)] * 9, unit="share of attention", completeness=None
    )
    label = label_of(instance, found, level="quick", access=RerunAccess())
    assert any("no sign" in note for note in label.notes)


def _completeness(relative, by_construction=False):
    return Completeness(
        residual=frozen_array([0.1, 0.0]),
        relative=frozen_array([relative, 0.0]),
        by_construction=by_construction,
    )


@pytest.mark.parametrize(
    ("completeness", "finding"),
    [
        (None, "not_measured"),
        (_completeness(0.01), "pass"),
        (_completeness(0.1), "caution"),
        (_completeness(0.3), "fail"),
        (_completeness(np.nan), "not_measured"),
        (_completeness(0.0, by_construction=True), "not_measured"),
    ],
)
def test_adding_up(completeness, finding):
    game = FunctionGame(3, lambda S: S.sum(axis=1))
    instance = Instance(game, pool_of(game))
    assert adds_up(instance, attribution(completeness=completeness)).finding == finding


def test_one_marked_word_of_twelve_can_be_arranged_in_twelve_ways():
    """Found right, it is as good as such scores can be; a fail would refuse a perfect answer."""
    weights = np.eye(12)[4]
    game = FunctionGame(12, lambda S: S @ weights)
    instance = Instance(game, pool_of(game))
    found = better_than_chance(instance, weights)
    assert found.finding == "caution"
    assert "12 ways" in found.says
    assert isinstance(found.measurements[0], Measurement)
    assert better_than_chance(instance, np.eye(12)[5]).finding == "fail"


def test_telling_content_from_stop_words_is_not_enough():
    texts = tuple(["the", "of", "and", "to"] * 3 + ["debt", "risk", "late", "fraud"] * 3)
    weights = np.array([0.0] * 12 + [3.0, 5.0, 3.2, 4.0, 3.0, 3.0, 6.0, 3.5, 4.5, 3.5, 5.5, 4.5])
    game = FunctionGame(24, lambda S: S @ weights)
    instance = Instance(game, pool_of(game), texts=texts)
    kinds = (weights != 0) + 0.001 * np.random.default_rng(0).normal(size=24)
    found = better_than_chance(instance, kinds)
    assert found.finding == "caution"
    assert "among content words" in found.says
    assert better_than_chance(instance, weights).finding == "pass"


def test_what_a_model_refuses_leaves_a_question_open_and_no_more():
    from whence.core import CapabilityError

    weights = np.random.default_rng(0).normal(size=12)
    game = FunctionGame(12, lambda S: S @ weights)
    instance = Instance(game, pool_of(game))
    found = attribution(text="ab " * 12, scores=[(w, 0.0) for w in weights], completeness=None)

    def cannot(*_):
        raise CapabilityError("it gives no attention")

    label = label_of(
        instance, found, level="default", access=RerunAccess(again=cannot, others=(cannot,))
    )
    by_question = {q.question: q for q in label.quantities}
    assert by_question["Same answer if asked again?"].finding == "not_measured"
    assert by_question["Do others agree?"].finding == "not_measured"
    assert any("no attention" in note for note in label.notes)


@pytest.mark.parametrize("seeds", [pytest.param(40, marks=pytest.mark.slow), 10])
def test_noise_makes_no_word_reliable(seeds):
    called = []
    for seed in range(seeds):

        def noise(S, seed=seed):
            return np.array([np.random.default_rng([seed, *row.astype(int)]).normal() for row in S])

        _, found = _judged(16, noise, np.arange(16.0), 32)
        called.append(np.mean(found.reliable))
    assert np.mean(called) <= 0.1


def test_what_the_size_alone_decides_is_no_combination():
    _, found = _judged(12, lambda S: 1.0 * S.sum(axis=1), np.arange(12.0))
    assert found.additive_share is None
    assert not any("combinations" in reason for reason in found.reasons)
    _, constant = _judged(12, lambda S: np.full(len(S), 2.0), np.arange(12.0))
    assert "combinations" not in constant.says


def test_the_sentence_of_an_abstention_gives_its_own_reason():
    passes = _quantities(chance="pass", carried="pass")
    moved = verdict(passes, features=9, fidelity=0.9, share=0.9, threshold=SURE, moves="it moves")
    assert not moved.by_chance
    game = FunctionGame(9, lambda S: S.sum(axis=1))
    instance = Instance(game, pool_of(game))
    assert summary_sentence(instance, np.arange(9.0), moved, False).endswith("it moves")
    failed = verdict(
        _quantities(chance="fail"), features=9, fidelity=0.0, share=0.9, threshold=SURE
    )
    assert "better than chance" in summary_sentence(instance, np.arange(9.0), failed, False)
