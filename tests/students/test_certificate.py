import json

import numpy as np
import pytest

from whence.core.errors import InputError, OptionError
from whence.students.agreement import calibration_gap, flips, kappa, macro_f1, sign_test, teacher_kl
from whence.students.certificate import VERDICTS, answer_or_ask, certify
from whence.students.teacher import Answers


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
    return certify(answers(t), one_hot(s), **{"controls": controls, **options})


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

    def test_calibration_gap(self):
        certain = np.array([[0.9, 0.1]] * 1000)
        same = np.arange(1000) % 10 != 0
        assert calibration_gap(certain, same) == pytest.approx(0.0, abs=0.02)
        assert calibration_gap(certain, np.zeros(1000, dtype=bool)) == pytest.approx(0.9)

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
        assert json.loads(json.dumps(found.to_json()))["verdict"] in VERDICTS
        soft = certify(answers(t, soft=True), one_hot(s), controls={"majority": one_hot(0 * t)})
        assert soft.kl.lower <= soft.kl.value <= soft.kl.upper

    def test_refusals(self):
        t, s = world(50, 0.9)
        with pytest.raises(OptionError, match="majority"):
            judged(t, s, controls={})
        with pytest.raises(InputError):
            certify(answers(t), one_hot(s[:3]), controls={"majority": one_hot(s[:3])})
        with pytest.raises(OptionError):
            judged(t, s, target=1.0)


RUNS = {"slow": 400, "quick": 100}
SPEEDS = [pytest.param("slow", marks=pytest.mark.slow), "quick"]


def allowed(runs):
    """Three standard errors above the nominal rate."""
    return 0.10 + 3 * np.sqrt(0.09 / runs)


class TestFalseCertification:
    """At a nominal rate of .10."""

    @pytest.mark.parametrize("n", [200, 500, 1500])
    def test_replacing(self, n):
        rng = np.random.default_rng(n)
        from whence.students.bounds import proportion

        hits = rng.binomial(n, 0.9495, size=400)
        false = np.mean([proportion(int(k), n, level=0.9).lower >= 0.95 for k in hits])
        assert false <= allowed(400)
        # Where it never certifies, the rate says nothing.
        assert false > 0.01

    @pytest.mark.parametrize("speed", SPEEDS)
    @pytest.mark.parametrize("n", [200, 500, 1500])
    @pytest.mark.parametrize("slope", [0.0, 0.2])
    def test_answering_alone(self, n, slope, speed):
        """True agreement at certainty c is .9499 on average, rising with c by ``slope``."""
        runs = RUNS[speed]
        rng = np.random.default_rng(n)
        thresholds = np.linspace(0.0, 0.9, 19)
        false = certified = 0
        for _ in range(runs):
            certainty = rng.random(n)
            chance = np.minimum(0.9499 + slope * (certainty - 0.5), 1.0)
            passed = answer_or_ask(
                certainty, rng.random(n) < chance, thresholds=thresholds, target=0.95, level=0.9
            )
            if passed is not None:
                certified += 1
                grid = np.linspace(passed, 1, 2001)
                false += np.minimum(0.9499 + slope * (grid - 0.5), 1.0).mean() < 0.95
        assert false / runs <= allowed(runs)
        if slope and n == 1500:
            assert certified / runs > 0.5

    def test_a_search_without_a_fixed_order_would_be_caught(self):
        """Taking the best of all thresholds, as a naive search does, certifies falsely too often.

        The simulation above can fail: this is a procedure that it does fail.
        """
        rng = np.random.default_rng(0)
        thresholds = np.linspace(0.0, 0.9, 19)
        false = 0
        for _ in range(100):
            certainty, same = rng.random(1500), rng.random(1500) < 0.9499
            passed = [
                answer_or_ask(certainty, same, thresholds=np.array([t]), target=0.95, level=0.9)
                for t in thresholds
            ]
            false += any(threshold is not None for threshold in passed)
        assert false / 100 > allowed(100)

    def test_nothing_is_certified_of_too_few(self):
        some = np.ones(20)
        found = answer_or_ask(some, some > 0, thresholds=np.array([0.5]))
        assert found is None
