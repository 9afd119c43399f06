import json

import numpy as np
import pytest
from tests.students.certified import certified

from whence.core.errors import InputError, NewerVersionError, OptionError, RecordError
from whence.core.statistics.proportions import Interval, proportion
from whence.students.certificate.attribution_agreement import AttributionAgreement
from whence.students.certificate.certificate import VERDICTS, Certificate
from whence.students.certificate.distribution_shift import Elsewhere, Shift
from whence.students.certificate.fidelity import (
    calibration_gap,
    expected_calibration_error,
    flips,
    kappa,
    macro_f1,
    sign_test,
    teacher_brier,
    teacher_kl,
)
from whence.students.certificate.minimal_disagreement import Disagreement, DisagreementSearch
from whence.students.certificate.refit_stability import Refits, WeightRange
from whence.students.teacher.teacher import Answers


def answers(top, labels=2, soft=False):
    values = np.eye(labels)[top]
    if soft:
        values = 0.8 * values + 0.2 / labels
    names = tuple(f"l{i}" for i in range(labels))
    return Answers(
        labels=names, gives="probability" if soft else "label", values=values,
        read_to=np.full(len(top), 9),
    )  # fmt: skip


def one_hot(top, labels=2):
    return 0.9 * np.eye(labels)[top] + 0.1 / labels


def world(n, agree, seed=0, rate=0.5):
    rng = np.random.default_rng(seed)
    t = (rng.random(n) < rate).astype(int)
    s = np.where(rng.random(n) < agree, t, 1 - t)
    return t, s


def judged(t, s, **options):
    controls = {"majority": one_hot(np.zeros(len(t), dtype=int))}
    return certified(answers(t), one_hot(s), **{"controls": controls, **options})


class TestMeasures:
    def test_kappa_by_hand_and_at_chance(self):
        rng = np.random.default_rng(0)
        a, b = rng.integers(0, 3, 40_000), rng.integers(0, 3, 40_000)
        assert kappa(a, b) == pytest.approx(0.0, abs=0.02)
        assert kappa(a, a) == 1.0
        assert np.isnan(kappa(np.zeros(5, dtype=int), np.zeros(5, dtype=int)))

    def test_macro_f1_by_hand(self):
        truth, said = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
        assert macro_f1(truth, said) == pytest.approx((0.8 + 2 / 3) / 2)

    def test_kl_is_zero_of_itself_and_positive_else(self):
        p = np.random.default_rng(0).dirichlet([1, 1, 1], size=50)
        assert teacher_kl(p, p) == pytest.approx(0.0)
        assert teacher_kl(p, p[::-1]).mean() > 0
        assert teacher_kl(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))[0] == pytest.approx(
            np.log(2)
        )

    def test_calibration_error(self):
        certain = np.array([[0.9, 0.1]] * 1000)
        right = np.arange(1000) % 10 != 0
        assert expected_calibration_error(certain, right) == pytest.approx(0.0, abs=0.02)
        wrong = np.zeros(1000, dtype=bool)
        assert expected_calibration_error(certain, wrong) == pytest.approx(0.9)

    def test_calibration_gap_is_between_two_errors_against_gold(self):
        rng = np.random.default_rng(0)
        gold = rng.integers(0, 2, 1000)
        student, teacher = (one_hot(world(1000, 0.5, seed=seed)[1]) for seed in (1, 2))
        errors = [expected_calibration_error(p, p.argmax(1) == gold) for p in (student, teacher)]
        assert calibration_gap(student, teacher, gold) == pytest.approx(abs(errors[0] - errors[1]))
        assert calibration_gap(student, student, gold) == 0.0

    def test_brier_by_hand(self):
        p, q = np.random.default_rng(0).dirichlet([1, 1, 1], size=(2, 50))
        assert teacher_brier(p, p) == pytest.approx(0.0)
        assert teacher_brier(p, q)[7] == pytest.approx(
            sum((p[7, i] - q[7, i]) ** 2 for i in range(3))
        )
        assert teacher_brier(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))[0] == 2.0

    def test_sign_test_by_hand(self):
        student, control = np.array([True] * 5), np.array([False] * 5)
        assert sign_test(student, control) == pytest.approx(1 / 32)
        assert sign_test(student, student) == 1.0

    def test_flips_of_a_constant_student(self):
        t0, t1 = np.zeros(40, dtype=int), np.ones(40, dtype=int)
        found = flips((t0, t1), (t0, t0))
        assert (found.recall.value, found.recall.n, found.precision.n) == (0.0, 40, 0)
        assert np.isnan(found.precision.value)


class TestVerdicts:
    def test_each_is_given_where_it_is_due(self):
        t, s = world(1500, 0.99)
        assert judged(t, s).verdict == "faithful enough to replace"
        t, s = world(1500, 0.90)
        assert judged(t, s).verdict == "usable with fallback"
        t, s = world(1500, 0.65)
        assert judged(t, s).verdict == "a description of tendencies only"
        t, s = world(1500, 0.5)
        assert judged(t, s).verdict == "refused"

    def test_agreement_on_one_class_is_refused_however_high(self):
        t, s = world(1500, 0.97, rate=0.02)
        assert judged(t, s).verdict == "refused"

    def test_a_gold_student_as_good_refuses(self):
        t, s = world(1500, 0.95)
        controls = {"majority": one_hot(0 * t), "gold": one_hot(s)}
        found = judged(t, s, controls=controls)
        assert found.verdict == "refused"
        assert "gold" in found.because

    def test_a_student_that_does_not_follow_edits_only_describes(self):
        t, s = world(1500, 0.99)
        t0, t1 = np.zeros(100, dtype=int), np.ones(100, dtype=int)
        found = judged(t, s, flips={"drop": flips((t0, t1), (t0, t0))})
        assert found.verdict == "a description of tendencies only"
        assert "100 edits" in found.because

    def test_ten_texts_certify_nothing(self):
        t = np.array([0, 1] * 5)
        found = judged(t, t)
        assert found.verdict == "usable with fallback"
        assert "59 texts" in found.because

    def test_parts_and_texts(self):
        t, s = world(800, 0.9)
        gold = np.where(np.arange(800) % 4 == 0, 1 - t, t)
        few, half = np.arange(800) < 5, np.arange(800) < 400
        found = judged(t, s, gold=gold, slices={"few": few, "half": half})
        assert found.on_mistakes.n == 200
        assert found.on_hits.n == 600
        assert found.slices["few"] is None
        assert found.slices["half"].level > 0.95
        assert found.classes["teacher says l0"].n == int((t == 0).sum())
        assert "n too small" in str(found)
        assert found.kl is None
        assert json.loads(found.to_json())["verdict"] in VERDICTS
        soft = certified(answers(t, soft=True), one_hot(s), controls={"majority": one_hot(0 * t)})
        assert soft.kl.lower <= soft.kl.value <= soft.kl.upper

    def test_refusals(self):
        t, s = world(50, 0.9)
        with pytest.raises(OptionError, match="majority"):
            judged(t, s, controls={})
        with pytest.raises(InputError):
            certified(answers(t), one_hot(s[:3]), controls={"majority": one_hot(s[:3])})
        with pytest.raises(OptionError):
            judged(t, s, target=1.0)


def measured():
    """One of each record, with every kind of value a field may have."""
    range_ = WeightRange(feature="'late'", label="l1", value=1.0, lower=-0.5, upper=1.5, used=0.9)
    refits = Refits(
        draws=20, level=0.9, agreement=Interval(0.9, 0.85, 0.95, 300), features=0.5, groups=0.8,
        grouped=0.7, sign_flips=0.1, weights=(range_,),
    )  # fmt: skip
    attributions = AttributionAgreement(
        correlation=Interval(0.4, 0.3, 0.5, 28), overlap=Interval(0.6, 0.5, 0.7, 28),
        overlap_at_random=0.3, chance=0.001, chance_of_overlap=0.002, top=3, unit="log-odds",
        pieces=120, too_few=2, unmoved=1, asked=150,
    )  # fmt: skip
    shift = Shift(
        topics={
            "a/b/c": Elsewhere(
                agreement=proportion(70, 80, level=0.99), kappa=0.7, majority=0.5, texts=80
            ),
            "d/e/f": Elsewhere(agreement=None, kappa=float("nan"), majority=1.0, texts=9),
        },
        at_random=proportion(80, 89),
        corpora={},
        level=0.95,
    )
    disagreement = Disagreement(
        text="he paid late", edited="he paid", deleted=("late",), agreed="l1", teacher="l0",
        student="l1",
    )  # fmt: skip
    parting = DisagreementSearch(
        found=proportion(12, 30), deleted=2.0, length=14.5, teacher_left=9, student_left=3,
        examples=(disagreement,), budget=40, disagreed=4, asked=900,
    )  # fmt: skip
    return {
        "refits": refits,
        "attributions": attributions,
        "shift": shift,
        "disagreements": parting,
    }


class TestCalibrationAndDistance:
    def test_a_student_that_always_agrees_is_not_certain_to(self):
        t, _ = world(60, 0.9)
        found = certified(answers(t), one_hot(t), controls={"majority": one_hot(0 * t)})
        for interval in (found.kappa, found.macro_f1):
            assert interval.value == 1.0
            assert interval.lower < 0.98
        assert found.brier.upper > found.brier.value + 0.02

    def test_gap_needs_gold_and_probabilities(self):
        t, s = world(800, 0.9)
        gold = world(800, 0.8, seed=3)[0]
        controls = {"majority": one_hot(0 * t)}
        soft = answers(t, soft=True)
        found = certified(soft, one_hot(s), controls=controls, gold=gold)
        gap = calibration_gap(one_hot(s), soft.probabilities, gold)
        assert found.calibration_gap.value == pytest.approx(gap)
        assert found.calibration_gap.lower <= gap <= found.calibration_gap.upper
        assert "calibration gap" in str(found)
        assert certified(soft, one_hot(s), controls=controls).calibration_gap is None
        assert judged(t, s, gold=gold).calibration_gap is None

    def test_brier_of_labels_too(self):
        t, s = world(800, 0.9)
        found = judged(t, s)
        assert found.brier.value == pytest.approx(teacher_brier(np.eye(2)[t], one_hot(s)).mean())
        assert f"Brier {found.brier}" in str(found)

    def test_certainty_against_agreement(self):
        t, s = world(800, 0.9)
        found = judged(t, s)
        error = expected_calibration_error(one_hot(s), t == s)
        assert found.calibration_to_teacher == pytest.approx(error)


class TestStored:
    def full(self):
        t, s = world(800, 0.9)
        gold = world(800, 0.8, seed=3)[0]
        t0, t1 = np.zeros(40, dtype=int), np.ones(40, dtype=int)
        return certified(
            answers(t, soft=True), one_hot(s), controls={"majority": one_hot(0 * t)}, gold=gold,
            slices={"few": np.arange(800) < 5}, flips={"drop": flips((t0, t1), (t0, t1))},
            ceiling=proportion(99, 100), **measured(),
        )  # fmt: skip

    def test_json_and_back_is_the_same(self):
        found = self.full()
        again = Certificate.from_json(found.to_json())
        assert again == found
        assert again.to_json() == found.to_json()
        assert str(again) == str(found)
        for name in (
            "refits",
            "attributions",
            "disagreements",
            "flips",
            "lifts",
            "slices",
            "classes",
        ):
            assert getattr(again, name) == getattr(found, name), name
        assert again.shift.topics["a/b/c"] == found.shift.topics["a/b/c"]
        assert np.isnan(again.shift.topics["d/e/f"].kappa)
        assert type(again.refits.weights) is tuple

    def test_without_the_optional_parts(self):
        t, s = world(800, 0.9)
        found = judged(t, s)
        assert Certificate.from_json(found.to_json()) == found
        tree = found.to_tree()
        for name in measured():
            assert tree.pop(name) is None
        assert Certificate.from_json(tree) == found

    def test_all_parts_are_shown(self):
        text = str(self.full())
        for part in measured().values():
            assert str(part) in text

    @pytest.mark.parametrize(
        ("change", "error", "match"),
        [
            ({"schema_version": 99}, NewerVersionError, "schema version 99"),
            ({"schema_version": "1"}, RecordError, "schema_version '1'"),
            ({"strange": 1}, RecordError, "strange: Unexpected"),
            ({"verdict": "excellent"}, RecordError, "verdict"),
            ({"agreement": 0.9}, RecordError, "at agreement"),
            ({"kappa": {"value": 1.0}}, RecordError, "kappa.lower: Field required"),
            ({"level": "0.95"}, RecordError, "at level"),
            ({"disagreements": {"found": None}}, RecordError, "disagreements.found"),
        ],
    )
    def test_what_is_none_is_refused(self, change, error, match):
        tree = {**self.full().to_tree(), **change}
        with pytest.raises(error, match=match):
            Certificate.from_json(tree)

    def test_a_missing_number_is_named(self):
        tree = self.full().to_tree()
        del tree["macro_f1"]
        with pytest.raises(RecordError, match="at macro_f1: Field required"):
            Certificate.from_json(tree)

    def test_numbers_that_json_lacks_read_back(self):
        interval = Interval(float("inf"), float("-inf"), float("nan"), 3)
        assert Interval.from_json(interval.to_json()) == interval
        assert b'"Infinity"' in interval.to_json()
        with pytest.raises(RecordError, match="Interval"):
            Interval.from_json("[1, 2]")
        with pytest.raises(RecordError, match="value"):
            Interval.from_json({**interval.to_tree(), "value": "much"})


class TestFalseCertification:
    """At a nominal rate of .10."""

    @pytest.mark.parametrize("n", [200, 500, 1500])
    def test_replacing(self, n):
        rng = np.random.default_rng(n)
        from whence.core.statistics.proportions import proportion

        hits = rng.binomial(n, 0.9495, size=400)
        false = np.mean([proportion(int(k), n, level=0.9).lower >= 0.95 for k in hits])
        assert false <= 0.10 + 3 * np.sqrt(0.09 / 400)
        # Where it never certifies, the rate says nothing.
        assert false > 0.01


def test_without_a_certified_certainty_a_fallback_is_of_no_use():
    from whence.students.certificate.verdict import verdict

    agreement = proportion(180, 200)
    for coverage, given in (
        (None, "usable with fallback"),
        (0.4, "usable with fallback"),
        (0.0, "a description of tendencies only"),
    ):
        found, because = verdict(agreement, 0.8, {}, {}, 0.95, 0.95, coverage)
        assert found == given
    assert "no threshold of certainty" in because


def test_one_that_learnt_the_truth_does_not_refuse_a_student_that_agrees_as_is_due():
    from whence.students.certificate.verdict import Lift, verdict

    gold = {"gold": Lift(proportion(200, 200), Interval(0.0, 0.0, 0.0, 200), 1.0)}
    good, poor = proportion(200, 200), proportion(170, 200)
    assert verdict(good, 1.0, gold, {}, 0.95, 0.95)[0] == "faithful enough to replace"
    assert verdict(poor, 0.7, gold, {}, 0.95, 0.95)[0] == "refused"
    majority = {"majority": gold["gold"]}
    assert verdict(good, 1.0, majority, {}, 0.95, 0.95)[0] == "refused"
