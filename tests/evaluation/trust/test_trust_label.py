from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from tests.samples import attribution

from whence.core import Label, MethodSpec, Output, Quantity
from whence.core.arrays import frozen_array
from whence.core.explanations import Completeness, Decision, NamedScore
from whence.evaluation.additive_surrogate import AdditiveFit
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import pool_of
from whence.evaluation.metrics.permutation_test import concentrated, permutation_test
from whence.evaluation.robustness.rank_agreement import least_overlap_chance
from whence.evaluation.trust.calibration import Threshold
from whence.evaluation.trust.checks import (
    CHANCE,
    FAIR,
    RerunAccess,
    adds_up,
    agrees_with_others,
    better_than_chance,
    beyond_chance,
    carried_by_the_marked,
)
from whence.evaluation.trust.effect import MATTERS, does_it_matter
from whence.evaluation.trust.grading import OTHERS_DO, Verdict, verdict
from whence.evaluation.trust.marked import marked_words
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


def _fit(share):
    return AdditiveFit(np.zeros(9), np.zeros(9), share, None)


def _verdict(findings, *, threshold=SURE, features=9, fidelity=0.8, share=0.9, against=()):
    return verdict(
        findings,
        features=features,
        fidelity=fidelity,
        fit=_fit(share),
        threshold=threshold,
        against=against,
    )


def _quantities(**findings):
    names = {"chance": CHANCE, "fair": FAIR, "matters": MATTERS}
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
        ({"chance": "caution", "carried": "pass"}, "C"),
        ({"chance": "not_measured", "carried": "pass"}, "C"),
        ({"chance": "caution", "carried": "fail"}, "abstain"),
        ({"chance": "pass", "matters": "fail"}, "abstain"),
        ({"chance": "pass", "matters": "caution"}, "A"),
        ({"chance": "pass", "carried": "caution", "again": "caution"}, "B"),
        ({"chance": "pass", "carried": "fail"}, "C"),
        ({"chance": "pass", "carried": "fail", "again": "fail"}, "abstain"),
        ({"chance": "fail", "carried": "pass"}, "abstain"),
        ({"chance": "pass", "fair": "fail"}, "abstain"),
    ],
)
def test_grades(findings, grade):
    result = _verdict(_quantities(**findings))
    assert result.grade == grade
    worse = [f"{name} {f}" for name, f in findings.items() if f in ("fail", "caution")]
    worse += ["chance not_measured"] if findings["chance"] == "not_measured" else []
    assert set(result.reasons) == set(worse)
    bare = _verdict(_quantities(**findings), threshold=None)
    assert bare.grade == ("abstain" if grade == "abstain" else "uncalibrated")


def test_grade_a_needs_the_fidelity_that_was_found_to_be_safe():
    passes = _quantities(chance="pass")
    assert _verdict(passes, fidelity=0.5).grade == "A"
    low = _verdict(passes, fidelity=0.49)
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
    assert _verdict(passes, fidelity=1.0, threshold=none).grade == "B"


def test_grade_a_needs_an_answer_that_single_words_carry():
    passes = _quantities(chance="pass")
    result = _verdict(passes, share=0.4)
    assert result.grade == "B"
    assert "40 % of the answer" in result.reasons[0]
    few = _verdict(passes, share=None)
    assert few.grade == "B"
    assert "too few masks" in few.reasons[0]


def test_what_speaks_against_single_words_keeps_the_box_from_being_green():
    result = _verdict(_quantities(chance="pass"), against=[OTHERS_DO])
    assert (result.grade, result.reasons) == ("C", (OTHERS_DO,))


def test_a_single_feature_abstains():
    assert _verdict(_quantities(chance="pass"), features=1).grade == "abstain"


def _judged(n, function, scores, size=64, level="default"):
    game = FunctionGame(n, function)
    instance = Instance(game, pool_of(game, size, seed=1), texts=tuple("word" for _ in range(n)))
    text = "ab " * n
    found = attribution(
        text=text,
        scores=[(s, 0.0) for s in scores],
        values=(1.0, 0.0),
        completeness=None,
        quantity="gradient",
    )
    return instance, label_of(instance, found, level=level, access=RerunAccess())


def test_true_scores_are_told_from_random_ones():
    weights = np.random.default_rng(0).normal(size=24)
    _, good = _judged(24, lambda S: S @ weights, weights)
    assert good.grade == "uncalibrated"
    assert good.quantities[0].finding == "pass"
    assert good.additive_share.value > 0.99
    assert good.says.startswith("When the 8 highest-scored words are removed, the score of")
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
    instance, found = _judged(40, lambda S: S @ weights, weights, 32, "quick")
    # The pool may hold sets of the marked words' size, which cost nothing more.
    size = int(np.count_nonzero(weights >= 0.2 * weights.max()))
    known = np.count_nonzero(instance.pool.masks.sum(axis=1) == 40 - size)
    assert found.cost.evaluations == instance.game.evaluations == 55 - known
    assert evaluations_of("quick") == 55


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


@pytest.mark.parametrize("n", [4, 8, 12, 40])
@pytest.mark.parametrize("noise", [0.0, 0.003, 0.3])
def test_one_word_that_decides_is_told_from_the_others(n, noise):
    """Noise on the other words is no order: no shuffle of it may speak against the one word."""

    def function(S):
        return 3.0 * S[:, 2] + noise * _drawn(S)

    game = FunctionGame(n, function)
    instance = Instance(game, pool_of(game))
    effects = function(np.ones((1, n), bool)) - function(~np.eye(n, dtype=bool))
    right = better_than_chance(instance, effects)
    assert right.finding == "pass"
    if noise == 0 and n < 40:
        assert f"{n} ways" in right.says
        assert "answers shuffled in their place" in right.says
        assert right.measurements[2].name == "p-value-of-answers"
    assert (
        carried_by_the_marked(instance, marked_words(instance, effects, None, "default")).finding
        != "fail"
    )
    misplaced = effects.copy()
    misplaced[[1, 2]] = effects[[2, 1]]
    assert better_than_chance(instance, misplaced).finding != "pass"
    wrong = marked_words(instance, misplaced, None, "default")
    assert carried_by_the_marked(instance, wrong).finding == "fail"


def test_rounding_of_scores_makes_no_arrangement():
    """Two words of eleven have 55 arrangements; scores of 1 - 1e-16 are no others."""
    game = FunctionGame(11, lambda S: 1.0 * S[:, [1, 6]].sum(axis=1))
    instance = Instance(game, pool_of(game, 32))
    scores = np.zeros(11)
    scores[[1, 6]] = 1.0, 1.0 - 4e-16
    noise = 1e-16 * np.arange(11)
    assert concentrated(instance, scores + noise).arrangements == 55
    p, least = permutation_test(instance, scores + noise)
    assert (p, least) == (1 / 55, 1 / 55)


def _drawn(S):
    return np.array([np.random.default_rng(row.astype(int).tolist()).random() for row in S])


@pytest.mark.parametrize("n", [2, 3])
def test_of_so_few_words_nothing_is_shown(n):
    game = FunctionGame(n, lambda S: 3.0 * S[:, 1])
    instance = Instance(game, pool_of(game))
    assert better_than_chance(instance, np.eye(n)[1]).finding == "not_measured"
    assert better_than_chance(instance, np.eye(n)[0]).finding == "fail"


def _games(n):
    weights = np.random.default_rng(0).normal(size=n)
    return {
        "one word": lambda S: 3.0 * S[:, 2] + 0.01 * _drawn(S),
        "sum": lambda S: S @ weights,
        "squashed": lambda S: np.tanh(S @ weights),
    }


@pytest.mark.parametrize(
    ("name", "draws"),
    [("one word", 20), *(pytest.param(name, 200, marks=pytest.mark.slow) for name in _games(12))],
)
def test_random_scores_pass_at_the_nominal_rate(name, draws):
    """Of both tests together at most 1 % pass, and the marked words at most 5 %: by three errors."""
    game = FunctionGame(12, _games(12)[name])
    rng = np.random.default_rng(1)
    chance = carried = 0
    for seed in range(draws):
        instance = Instance(game, pool_of(game, seed=seed % 20), seed=seed)
        scores = rng.normal(size=12)
        chance += better_than_chance(instance, scores).finding == "pass"
        marked = marked_words(instance, scores, None, "default")
        carried += carried_by_the_marked(instance, marked).finding == "pass"
    assert chance <= draws * 0.01 + 3 * np.sqrt(draws * 0.01 * 0.99)
    assert carried <= draws * 0.05 + 3 * np.sqrt(draws * 0.05 * 0.95)


@pytest.mark.parametrize("size", [32, 64])
def test_the_percentile_covers_the_share_of_all_sets(size):
    """A squashed sum of twelve: answers moved between sizes missed it in 97 of 100 pools."""
    weights = np.abs(np.random.default_rng(2).normal(size=12))
    game = FunctionGame(12, lambda S: np.tanh(S @ weights - weights.sum() / 2))
    scores = weights + 0.5 * np.random.default_rng(3).normal(size=12)
    covered = []
    for seed in range(60):
        instance = Instance(game, pool_of(game, size, seed=seed), seed=seed)
        marked = marked_words(instance, scores, None, "default")
        present = ~marked.mask(12)
        every = np.array(list(product((False, True), repeat=12)))
        every = every[(every.sum(axis=1) == present.sum()) & (every != present).any(axis=1)]
        truth = np.mean(instance.value(every) > marked.without.answer)
        bounds = marked.without.measured(instance, "share", len(marked.features)).interval
        covered.append(bounds.low <= truth <= bounds.high)
    assert np.mean(covered) >= 0.9


def _nat(n, function):
    game = FunctionGame(n, function)
    game.outputs = (Output(name="y", link="log_odds", unit="nat", target=Label(label="y")),)
    return Instance(game, pool_of(game))


@pytest.mark.parametrize(
    ("effect", "bias", "idle", "finding"),
    [
        (0.09, 0.0, None, "fail"),
        (0.11, 0.0, None, "pass"),
        (0.5, 8.0, None, "caution"),
        (0.5, 0.2, [0.6, 0.7], "fail"),
        (0.5, 0.2, [0.1, 0.7], "caution"),
        (0.5, 0.2, [0.1, 0.2], "pass"),
    ],
)
def test_an_effect_has_to_matter(effect, bias, idle, finding):
    """0.1 nat change the odds by a tenth; a tenth of the margin, and what idle edits do."""
    instance = _nat(8, lambda S: effect * S[:, 1] + bias)
    marked = marked_words(instance, np.eye(8)[1], None, "default")
    result = does_it_matter(instance, marked, None if idle is None else np.array(idle))
    assert result.finding == finding
    assert result.measurements[0].value == pytest.approx(effect)


def test_random_scores_do_not_agree_with_others_on_short_texts():
    """The limits alone let most random scores of nine words pass: chance lies above 0.6."""
    weights = np.random.default_rng(0).normal(size=9)
    game = FunctionGame(9, lambda S: S @ weights)
    instance = Instance(game, pool_of(game))
    true = attribution(text="ab " * 9, scores=[(w, 0.0) for w in weights], completeness=None)
    rng = np.random.default_rng(4)
    findings = []
    for _ in range(40):
        scores = rng.normal(size=9)
        drawn = attribution(text="ab " * 9, scores=[(w, 0.0) for w in scores], completeness=None)
        findings.append(agrees_with_others(instance, drawn, (true, true)).finding)
    assert findings.count("pass") <= 40 * 0.05 + 3 * np.sqrt(40 * 0.05 * 0.95)
    assert agrees_with_others(instance, true, (true, true)).finding == "pass"


@pytest.mark.parametrize(("n", "finding"), [(3, "not_measured"), (9, "pass")])
def test_an_overlap_that_chance_reaches_shows_nothing(n, finding):
    chance = least_overlap_chance(np.arange(1.0, n + 1), 1)
    assert beyond_chance(1.0, (0.6, 0.4), chance, n)[0] == finding


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


@pytest.mark.parametrize("seeds", [pytest.param(60, marks=pytest.mark.slow), 20])
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
    game = FunctionGame(9, lambda S: S @ np.arange(9.0))
    instance = Instance(game, pool_of(game))
    marked = marked_words(instance, np.arange(9.0), None, "quick")
    moved = Verdict("abstain", ("it moves",))
    assert summary_sentence(instance, marked, moved).endswith("it moves")
    failed = _verdict(_quantities(chance="fail"))
    assert "better than chance" in summary_sentence(instance, marked, failed)


def test_a_quick_label_says_what_it_did_not_ask():
    weights = np.arange(1.0, 13)
    _, quick = _judged(12, lambda S: S @ weights, weights, 32, "quick")
    assert any("does not ask" in note for note in quick.notes)
    _, default = _judged(12, lambda S: S @ weights, weights)
    assert not any("does not ask" in note for note in default.notes)


def test_an_answer_among_many_is_said_to_be_undecided():
    weights = np.arange(1.0, 13)
    game = FunctionGame(12, lambda S: S @ weights)
    instance = Instance(game, pool_of(game))
    names = [NamedScore(name=f"t{i}", value=0.022) for i in range(62)]
    drawn = attribution(
        text="ab " * 12,
        scores=[(w, 0.0) for w in weights],
        completeness=None,
        decision=Decision(text="t0", scores=tuple(names)),
    )
    label = label_of(instance, drawn, level="quick", access=RerunAccess())
    assert any("probability of 2.2 %, among 62" in note for note in label.notes)
    sure = replace(drawn, decision=Decision(text="t0", scores=(NamedScore(name="t0", value=0.9),)))
    notes = label_of(instance, sure, level="quick", access=RerunAccess()).notes
    assert not any("undecided" in note for note in notes)


def test_exact_effects_are_distinguishable_by_being_exact():
    """The pool of a game of pairs is too noisy to tell them; the scores are no estimate."""
    pairs = np.triu(np.random.default_rng(3).normal(size=(14, 14)), 1)
    game = FunctionGame(14, lambda S: np.einsum("mi,ij,mj->m", 1.0 * S, pairs, 1.0 * S))
    instance = Instance(game, pool_of(game, 32))
    scores = (pairs + pairs.T).sum(axis=1) / 2
    exact = attribution(
        text="ab " * 14,
        scores=[(s, 0.0) for s in scores],
        quantity="Shapley value",
        completeness=None,
    )
    label = label_of(instance, exact, level="quick", access=RerunAccess())
    assert list(label.reliable) == (np.abs(scores) > 0.01 * np.abs(scores).max()).tolist()
