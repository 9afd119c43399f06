"""Defects reported of other packages' metrics: the input that broke each, given to ours.

Each test is named for the row of ``docs/explanation/what-would-have-been-caught.md``.
"""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import pytest
from tests.evaluation.instances import game_instance, linear, model_instance
from tests.evaluation.metrics.test_plausibility import PLAUSIBILITY, measured, spans, words
from tests.zoo.families import FAMILIES

from whence.core import OptionError, UndefinedError
from whence.evaluation.metrics.aopc import Aopc
from whence.evaluation.metrics.completeness_gap import CompletenessGap
from whence.evaluation.metrics.decision_flip import DecisionFlip
from whence.evaluation.metrics.erasure import Sufficiency
from whence.evaluation.metrics.infidelity import Infidelity, infidelity
from whence.evaluation.metrics.plausibility import (
    AveragePrecision,
    PrecisionAtK,
    SpanF1,
    TokenF1,
    marked_by_people,
)
from whence.evaluation.metrics.pool_fidelity import PoolFidelity
from whence.evaluation.metrics.registry import METRICS
from whence.evaluation.metrics.removal_area import Deletion, Insertion
from whence.evaluation.metrics.sensitivity_n import SensitivityN
from whence.games.question import ask

WEIGHTS = np.array([1.2, -0.5, 0.9, 0.3, 2.0, -1.4])
NAMES = [name for name, metric in METRICS.items() if set(metric.needs) <= {"spans"}]


def _value(name, instance, scores):
    try:
        return METRICS[name]().measure(instance, scores).value
    except UndefinedError:
        return None


@pytest.mark.parametrize("name", NAMES)
def test_a_score_does_not_follow_what_was_scored_beside_it(name):
    """Row 1: normalised by the largest score of the batch. Ours, alone and after six others."""
    alone = _value(name, linear(WEIGHTS), WEIGHTS)
    instance = linear(WEIGHTS)
    for other in range(6):
        _value(name, instance, 10.0 ** np.random.default_rng(other).normal(size=6))
    assert _value(name, instance, WEIGHTS) == alone


def test_exact_scores_of_a_sum_are_right_at_every_size():
    """Row 2: sums over the ranking's top, against one step's score, across inputs: .23 to 1."""
    for points in range(1, 6):
        found = SensitivityN(points=points, draws=200).measure(linear(WEIGHTS), WEIGHTS)
        assert found.value == pytest.approx(1.0)
    for size in (1, 2, 3):
        # One measurement an input, each from sets of that input alone.
        inputs = [linear(np.roll(WEIGHTS, shift)) for shift in range(size)]
        values = [
            SensitivityN().measure(instance, np.roll(WEIGHTS, shift)).value
            for shift, instance in enumerate(inputs)
        ]
        assert values == pytest.approx([1.0] * size)


def test_every_input_of_a_larger_set_counts():
    """Row 3: only the first batch entered. Six inputs, two of which flip when one word goes."""
    inputs = [linear([1.0, 0.1], bias=-0.5) for _ in range(2)]
    inputs += [linear([0.1, 0.1], bias=5.0) for _ in range(4)]
    found = [DecisionFlip().flips_at(instance, np.array([1.0, 0.0])) for instance in inputs]
    assert np.mean([k == 1 for k in found]) == pytest.approx(2 / 6)


def test_exact_scores_add_up_whatever_the_rounding():
    """Row 4: compared by ==, after normalisation. 0.1 + 0.2 and 0.3 differ in the last bit."""
    weights = np.array([0.1, 0.2])
    found = CompletenessGap().measure(linear(weights, bias=1e3), weights)
    assert found.value < 1e-9
    off = CompletenessGap().measure(linear(weights), np.array([0.1, 0.2 + 0.003]))
    assert off.value == pytest.approx(0.01)


def test_warnings_are_not_switched_off():
    """Row 7: warnings silenced for all users, whatever they asked."""
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in NAMES:
            _value(name, linear(WEIGHTS), WEIGHTS)
        warnings.warn("still heard", UserWarning, stacklevel=1)
    assert [str(w.message) for w in caught] == ["still heard"]
    assert warnings.filters == before


def test_areas_need_nothing_that_numpy_has_removed():
    """Row 8: np.trapz and np.NaN. Areas are summed by hand and agree with numpy's successor."""
    instance = linear(WEIGHTS)
    order = np.argsort(-WEIGHTS)
    curve = np.concatenate([[WEIGHTS.sum()], WEIGHTS.sum() - np.cumsum(WEIGHTS[order])])
    trapezoid = getattr(np, "trapezoid", None) or np.trapz  # noqa: NPY201
    assert Deletion().measure(instance, WEIGHTS).value == pytest.approx(
        trapezoid(curve, np.linspace(0, 1, 7))
    )


def test_no_mark_of_people_is_no_hit():
    """Row 9: NaN in a bool array is True, so that an empty truth counted as found."""
    for measure in PLAUSIBILITY.values():
        with pytest.raises(UndefinedError, match="mark 0 of 4"):
            measured(measure, np.arange(4.0), [])


@pytest.mark.parametrize("count", [4, 9, 60])
def test_a_full_hit_is_1_whatever_the_size_of_the_input(count):
    """Row 10: a size taken from the wrong axes made a full hit .25, or infinite."""
    truth = np.arange(count) < 3
    for measure in PLAUSIBILITY.values():
        assert measured(measure, truth * 1.0, spans(0, 1, 2)).value == pytest.approx(1.0)


@pytest.mark.parametrize("n", [2, 3, 5, 7, 13, 31])
def test_sets_of_any_size_of_any_input_are_removed(n):
    """Row 11: blocks that did not divide the input raised, and added up over steps."""
    weights = np.random.default_rng(n).normal(size=n)
    instance = linear(weights)
    before = instance.pool.masks.copy()
    assert Infidelity().measure(instance, weights).value == pytest.approx(0.0, abs=1e-18)
    assert Infidelity().measure(instance, weights).value == pytest.approx(0.0, abs=1e-18)
    assert np.array_equal(instance.pool.masks, before)


@pytest.mark.parametrize("name", NAMES)
def test_answers_that_are_almost_impossible_are_measured(name):
    """Row 12: a probability below 1e-5 raised. Here they are below 1e-300."""
    instance = linear(WEIGHTS, bias=-700.0, link="log_odds")
    value = _value(name, instance, WEIGHTS)
    assert value is None or np.isfinite(value)


def test_directions_are_what_the_measures_do():
    """Row 13: a direction that was the wrong way round. True scores lie on the side it names."""
    instance = game_instance(6, lambda S: S @ WEIGHTS - 1.0)
    for name in NAMES:
        metric = METRICS[name]()
        people = "spans" in metric.needs  # What people marked need not be what is true.
        if metric.direction == "none" or name == "completeness-gap" or people:
            continue
        true, false = (metric.measure(instance, sign * WEIGHTS).value for sign in (1.0, -1.0))
        if name == "infidelity":  # The best scale may be negative: upside down is as good.
            false = metric.measure(instance, np.roll(WEIGHTS, 2)).value
        assert (true > false) == (metric.direction == "higher"), name


def test_a_curve_is_an_inputs_own_beside_longer_ones():
    """Row 14: curves filled up with zeros to the longest beside them."""
    short, long = linear(WEIGHTS[:2]), linear(np.tile(WEIGHTS, 5))
    alone = Deletion().measure(linear(WEIGHTS[:2]), WEIGHTS[:2]).value
    Deletion().measure(long, np.tile(WEIGHTS, 5))
    assert (
        Deletion().measure(short, WEIGHTS[:2]).value
        == alone
        == pytest.approx((0.7 - 0.5 + 0) / 2 - (0.7) / 4)
    )


def test_two_predictions_do_not_both_match_one_truth():
    """Row 15: truth [0, 2), predictions [0, 1) and [1, 2): recall 2, F1 1.33."""
    # Two runs of one word each against one run of three, each an overlap of 1/3.
    phi = np.array([1.0, 0.0, 1.0, 0.0])
    found = measured(SpanF1, phi, spans(0, 1, 2), k=2, overlap=1 / 3)
    assert found.value == pytest.approx(2 / 3)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_negative_scores_are_ranked_for_every_k(k):
    """Row 16: an array compared with []. All signs, every k."""
    phi = np.array([-3.0, -1.0, -2.0, -4.0])
    assert measured(PrecisionAtK, phi, spans(1), k=k).value == pytest.approx(1 / k)
    assert measured(TokenF1, phi, spans(1), k=k).value == pytest.approx(2 / (k + 1))
    for name in NAMES:
        value = _value(name, linear(phi), phi)
        assert value is None or np.isfinite(value)


def test_scores_that_are_no_numbers_never_rank_first():
    """Row 17: NaN for the target's own tokens sorted first, and the first step changed nothing."""
    for metric in (Deletion(), Insertion(), Aopc(), Sufficiency()):
        with pytest.raises(OptionError, match="feature 3 is nan"):
            metric.measure(linear(WEIGHTS), np.where(np.arange(6) == 3, np.nan, WEIGHTS))
    with pytest.raises(OptionError):
        measured(AveragePrecision, np.array([np.nan, 1.0]), spans(0))


def test_a_generated_text_is_no_feature_of_itself():
    """Row 17: of a model that writes, only what it read is scored and removed."""
    instance = model_instance("She did not", family="gpt2", target=None, size=8)
    assert [text.strip() for text in instance.texts] == ["She", "did", "not"]
    masks = ~np.eye(instance.n, dtype=bool)
    assert np.all(np.abs(instance.value(masks) - instance.full) > 0)


def test_the_model_and_its_vocabulary_stay_as_they_are():
    """Row 18: a token added, and the embedding table of the user's model resized."""
    instance = model_instance()
    module, tokenizer = instance.question.model.module, FAMILIES["bert"]().tokenizer

    def state():
        digest = hashlib.sha256()
        for name, tensor in module.state_dict().items():
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.hexdigest(), len(tokenizer), tokenizer.backend_tokenizer.to_str()

    before = state()
    for name, metric in METRICS.items():
        if name == "signed-class-contrast":  # Of logits alone; it asks no model.
            continue
        metric().measure(instance, np.array([0.3, -0.2, 0.9, 0.1]))
    assert state() == before


@pytest.mark.parametrize("bias", [-8.0, 8.0])
def test_logits_below_zero_turn_no_measure_round(bias):
    """Row 19: -log of a logit has the wrong sign below zero. A shift of the answer, same result."""
    for metric in (PoolFidelity(), SensitivityN(), Aopc(), Infidelity()):
        plain = metric.measure(linear(WEIGHTS), WEIGHTS[::-1].copy()).value
        assert metric.measure(
            linear(WEIGHTS, bias=bias), WEIGHTS[::-1].copy()
        ).value == pytest.approx(plain)


def test_truth_is_read_as_a_mask_not_as_positions():
    """Row 20: truth {3, 5}: the perfect explanation scored 0, one that ranked 0 and 1 first 1."""
    perfect = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    wrong = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    assert marked_by_people(words(6), spans(3, 5)).nonzero()[0].tolist() == [3, 5]
    for measure in (TokenF1, PrecisionAtK, SpanF1):
        assert measured(measure, perfect, spans(3, 5)).value == 1.0
        assert measured(measure, wrong, spans(3, 5)).value == 0.0


def test_infidelity_keeps_nothing_of_another_text():
    """Read in code: answers kept in the metric were used for the next text."""
    metric = Infidelity()
    metric.measure(linear(WEIGHTS), WEIGHTS)
    assert metric.measure(linear(WEIGHTS[::-1].copy()), WEIGHTS[::-1].copy()).value < 1e-18
    assert infidelity(np.eye(2, dtype=bool), np.ones(2), np.zeros(2)) == 1.0


def test_sets_of_one_percent_are_one_feature():
    """Read in code: 1 % of fewer than 100 tokens was none."""
    found = METRICS["comprehensiveness"](bins="0.01").measure(linear(WEIGHTS), WEIGHTS)
    assert found.value == pytest.approx(2.0)


def test_a_text_read_whole_is_the_models_own_answer():
    """Read in code: decoded and read in again, a text's tokens changed."""
    instance = model_instance("not a good payment", size=2)
    question = ask(instance.question.model, "not a good payment", target=instance.what.target)
    assert instance.full == pytest.approx(float(question.game().full()[0]), abs=1e-12)
