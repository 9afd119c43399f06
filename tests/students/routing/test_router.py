import dataclasses
import json
import threading

import numpy as np
import pytest
from tests.students import worlds

from whence.core.errors import (
    InputError,
    Interrupted,
    ModelOutputError,
    NewerVersionError,
    OptionError,
    RecordError,
    TextTooLongError,
)
from whence.core.statistics.proportions import proportion
from whence.students.data.applicability_domain import ApplicabilityDomain
from whence.students.export.runtime import Runtime
from whence.students.families.rule_list import RuleList
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.features.word_features import Feature, Looking, WordFeatures
from whence.students.regions.region import Has, Region, RegionFeatures, Words
from whence.students.routing.decision import Counts, Routed
from whence.students.routing.monitor import Monitor
from whence.students.routing.router import Router
from whence.students.teacher.replies import MAX_CONSECUTIVE_FAILURES
from whence.students.teacher.teacher import Teacher

LABELS = ("accept", "reject")
VERSION = "rule 1"


def of(function, version=VERSION, **options):
    return Teacher.of_labels(function, labels=LABELS, version=version, **options)


def by_rule(texts):
    return [worlds.rule(text) for text in texts]


def never(texts):
    raise AssertionError(f"the teacher was asked {texts}")


def down(texts):
    raise TimeoutError("no answer")


CERTIFIED = of(by_rule).fingerprint


@pytest.fixture(scope="module")
def student():
    """Knows 'fraud' for certain, and is less sure of everything else."""
    texts = worlds.texts(800)
    features = ReadableFeatures(longest=1).learn(texts)
    targets = np.array([[0.02, 0.98] if "fraud" in t.split() else [0.7, 0.3] for t in texts])
    return RuleList(rules=1, conditions=1).fit(
        features.table(texts), targets, features=features, labels=LABELS
    )


def region(*conditions, words=("waived",)):
    features = WordFeatures(Looking(longest=1), [Feature("ngram", word) for word in words])
    return Region(
        conditions=conditions, features=RegionFeatures.of(features), agreement=None, elsewhere=proportion(90, 100),
        on_select=proportion(3, 20), chance=None, searched=0.01, confirmed=False, veto=True,
        worst=(),
    )  # fmt: skip


def routed(student, teacher, **options):
    return Router(student, teacher, **{"certified": CERTIFIED, "threshold": 0.9, **options})


class TestWhoDecides:
    def test_the_student_where_it_is_certain_else_the_teacher(self, student):
        router = routed(student, of(by_rule), audit_rate=0.0)
        sure, unsure = router.decide_many(["fraud word1", "late word1"])
        assert (sure.by, sure.label) == ("student", "reject")
        assert sure.probabilities == pytest.approx([0.02, 0.98])
        assert sure.evidence.evidence[0].says == "'fraud'"
        assert sure.evidence.evidence[0].spans == ((0, 5),)
        assert (unsure.by, unsure.label, unsure.evidence) == ("teacher", "reject", None)
        assert unsure.probabilities.tolist() == [0.0, 1.0]
        assert "0.700 is below the 0.900" in unsure.reason
        assert router.counts == Counts(1, 1, 0, 0, 0, 0)
        for decision in (sure, unsure):
            assert Routed.from_json(decision.to_json()) == decision

    def test_a_text_the_student_answers_asks_no_teacher(self, student):
        router = routed(student, of(never), audit_rate=0.0)
        assert {r.by for r in router.decide_many(["fraud"] * 20)} == {"student"}

    def test_at_the_threshold_itself_the_student_answers(self, student):
        exact = float(student.predict_proba(["fraud"]).max())
        assert routed(student, of(by_rule), threshold=exact).decide("fraud").by == "student"
        above = np.nextafter(exact, 2.0)
        assert routed(student, of(by_rule), threshold=above).decide("fraud").by == "teacher"

    def test_nothing_certified_always_asks(self, student):
        found = routed(student, of(by_rule), threshold=None).decide("fraud")
        assert (found.by, found.reason) == ("teacher", "nothing is certified")

    def test_a_region_of_distrust_asks(self, student):
        vetoes = [region(Has(0, True), Words(3, False)), region(Has(0, False), words=("fraud",))]
        router = routed(student, of(by_rule), vetoes=vetoes, audit_rate=0.0)
        inside, longer, second = router.decide_many(["fraud waived", "fraud waived a b", "steady"])
        assert (inside.by, longer.by) == ("teacher", "student")
        assert inside.reason == "in a region of distrust: contains 'waived', at most 3 words"
        assert second.reason == "in a region of distrust: has no 'fraud'"

    def test_beyond_what_was_certified_asks(self, student):
        domain = ApplicabilityDomain(
            vocabulary=frozenset(["fraud", "word1"]), longest=4, rarest=0.5
        )
        router = routed(student, of(by_rule), applicability_domain=domain, audit_rate=0.0)
        texts = ["fraud word1", "fraud new", "fraud new newer", "fraud fraud fraud fraud fraud"]
        found = router.decide_many(texts)
        assert [r.by for r in found] == ["student", "student", "teacher", "teacher"]
        assert found[2].reason == (
            "0.667 of its words and marks were never met; up to 0.500 are certified"
        )
        assert found[3].reason == "5 words; up to 4 are certified"

    def test_a_text_that_the_teacher_may_cut_asks(self, student):
        known = frozenset(["fraud", "word1"])
        domain = ApplicabilityDomain(vocabulary=known, longest=40, rarest=0.5, cut_from=12)
        router = routed(student, of(by_rule), applicability_domain=domain, audit_rate=0.0)
        shorter, longer = router.decide_many(["fraud word1", "word1  fraud"])
        assert (shorter.by, longer.by) == ("student", "teacher")
        assert longer.reason == "the teacher may read a part only (texts from 12 characters on)"

    def test_a_stored_student_routes_as_the_fitted_one(self, student):
        texts = worlds.texts(60, seed=4)
        runtime = Runtime(json.loads(json.dumps(student.to_json())))
        fitted, stored = (
            routed(own, of(by_rule), audit_rate=0.3, seed=5).decide_many(texts)
            for own in (student, runtime)
        )
        for a, b in zip(fitted, stored, strict=True):
            assert (a.by, a.label, a.reason, a.audited) == (b.by, b.label, b.reason, b.audited)
        assert stored[[r.by for r in stored].index("student")].evidence == ("'fraud'",)


class TestUnreachable:
    def test_abstains_with_the_reason_and_never_answers_by_the_student(self, student):
        router = routed(student, of(down), audit_rate=0.0)
        sure, unsure = router.decide_many(["fraud", "late"])
        assert sure.by == "student"
        assert (unsure.by, unsure.label, unsure.probabilities) == ("abstain", None, None)
        assert "below the 0.900" in unsure.reason
        assert "no answer" in unsure.reason
        assert router.counts.abstain == 1

    def test_raises_where_asked_to(self, student):
        router = routed(student, of(down), unreachable="raise", audit_rate=0.0)
        with pytest.raises(ModelOutputError, match="no answer"):
            router.decide("late")
        assert router.decide("fraud").by == "student"

    def test_a_batch_that_is_tried_again_tells_the_monitor_of_no_text_twice(self, student):
        works = []

        def flaky(texts):
            if not works and any("late" in text for text in texts):
                raise TimeoutError("no answer")
            return by_rule(texts)

        monitor = Monitor(target=0.9)
        router = routed(student, of(flaky), unreachable="raise", audit_rate=1.0, monitor=monitor)
        for _ in range(10):
            with pytest.raises(ModelOutputError, match="no answer"):
                router.decide_many(["fraud", "late"])
        assert (monitor.n, router.counts) == (0, Counts())
        works.append(True)
        assert [r.by for r in router.decide_many(["fraud", "late"])] == ["student", "teacher"]
        assert (monitor.n, router.counts) == (1, Counts(1, 1, 0, 1, 1, 0))

    def test_audits_that_raised_the_alarm_stand_where_the_texts_after_it_fail(self, student):
        def wrong_then_down(texts):
            if any("word9" in text for text in texts):
                raise TimeoutError("no answer")
            return ["accept"] * len(texts)

        texts = ["fraud"] * 20 + ["fraud word9"]
        monitor = Monitor(target=0.9)
        router = routed(
            student, of(wrong_then_down), unreachable="raise", audit_rate=1.0, monitor=monitor
        )
        for _ in range(3):
            with pytest.raises(ModelOutputError, match="no answer"):
                router.decide_many(texts)
            at = monitor.alarmed_at
            assert 2 <= at <= 10
            assert monitor.n == at
            assert router.counts == Counts(0, 0, 0, at, 0, 0)

    def test_in_a_batch_a_failing_teacher_is_given_up_where_one_by_one_it_is_not(self, student):
        def flaky(texts):
            if any("waived" in text for text in texts):
                raise TimeoutError("no answer")
            return by_rule(texts)

        texts = [f"late waived {i}" for i in range(MAX_CONSECUTIVE_FAILURES)] + ["late"]
        router = routed(student, of(flaky), audit_rate=0.0)
        assert [r.by for r in router.decide_many(texts)] == ["abstain"] * (
            MAX_CONSECUTIVE_FAILURES + 1
        )
        one_by_one = [router.decide(text).by for text in texts]
        assert one_by_one == ["abstain"] * MAX_CONSECUTIVE_FAILURES + ["teacher"]

    def test_an_audit_that_fails_is_counted_and_tells_nothing(self, student):
        monitor = Monitor(target=0.9)
        router = routed(student, of(down), unreachable="raise", audit_rate=1.0, monitor=monitor)
        found = router.decide("fraud")
        assert (found.by, found.audited, found.audit_agreed) == ("student", True, None)
        assert router.counts == Counts(1, 0, 0, 1, 0, 1)
        assert monitor.n == 0

    def test_one_text_that_fails_does_not_cost_the_others_their_answer(self, student):
        def choosy(texts):
            if any("bad" in text for text in texts):
                raise ValueError("cannot read this")
            return by_rule(texts)

        router = routed(student, of(choosy, batch=8), audit_rate=0.0)
        found = router.decide_many(["late", "bad", "late waived"])
        assert [r.by for r in found] == ["teacher", "abstain", "teacher"]
        assert [r.label for r in found] == ["reject", None, "accept"]

    def test_a_teacher_that_is_down_is_not_asked_for_every_text(self, student):
        calls = []

        def counted(texts):
            calls.append(len(texts))
            raise TimeoutError("no answer")

        router = routed(student, of(counted, batch=64), audit_rate=0.0)
        found = router.decide_many([f"late {i}" for i in range(40)])
        assert {r.by for r in found} == {"abstain"}
        assert calls == [40] + [1] * MAX_CONSECUTIVE_FAILURES

    def test_texts_too_long_for_the_teacher_are_no_sign_that_it_is_down(self, student):
        class Short:
            """Reads two words."""

            ref, fingerprint, labels = "short", CERTIFIED, LABELS

            def ask(self, texts):
                if any(len(text.split()) > 2 for text in texts):
                    raise TextTooLongError("too long", length=3, limit=2)
                return of(by_rule).ask(texts)

        texts = [f"late a {i}" for i in range(8)] + ["late"]
        found = routed(student, Short(), audit_rate=0.0).decide_many(texts)
        assert [r.by for r in found] == ["abstain"] * 8 + ["teacher"]

    def test_a_stop_by_the_user_is_passed_on(self, student):
        def stop(texts):
            raise KeyboardInterrupt

        with pytest.raises(Interrupted):
            routed(student, of(stop)).decide("late")

    @pytest.mark.parametrize("text", ["", "  \n"])
    def test_an_empty_text_is_refused(self, student, text):
        with pytest.raises(InputError, match="at row 1"):
            routed(student, of(by_rule)).decide_many(["fraud", text])


class TestAudits:
    def test_the_share_and_the_counts(self, student):
        router = routed(student, of(by_rule), audit_rate=0.1, seed=3)
        found = router.decide_many(["fraud"] * 600)
        audited = [r for r in found if r.audited]
        assert 35 < len(audited) < 85
        assert all(r.by == "student" and r.audit_agreed for r in audited)
        assert router.counts == Counts(600, 0, 0, len(audited), len(audited), 0)

    def test_one_by_one_or_in_batches_the_same(self, student):
        def wrong(texts):
            return ["accept" if "fraud" in text else "reject" for text in texts]

        texts = worlds.texts(120, seed=2)
        made = []
        for size in (1, 7, 120):
            monitor = Monitor(target=0.8)
            router = routed(student, of(wrong), audit_rate=0.5, monitor=monitor, seed=1)
            found = []
            for at in range(0, len(texts), size):
                found += router.decide_many(texts[at : at + size])
            told = [(r.label, r.by, r.reason, r.audited, r.audit_agreed) for r in found]
            made.append((told, router.counts, monitor.state))
        assert made[0] == made[1] == made[2]
        assert monitor.alarm

    def test_the_alarm_switches_all_traffic_back(self, student):
        def wrong(texts):
            return ["accept"] * len(texts)

        monitor = Monitor(target=0.9)
        router = routed(student, of(wrong), audit_rate=1.0, monitor=monitor)
        found = router.decide_many(["fraud"] * 60)
        at = monitor.alarmed_at
        assert 2 <= at <= 10
        assert [r.by for r in found] == ["student"] * at + ["teacher"] * (60 - at)
        assert found[at].reason == "audits show that the student agrees in less than 0.9"
        assert not found[at].audited
        assert monitor.n == at == router.counts.audits
        assert router.decide("fraud").by == "teacher"

    def test_the_audited_text_is_answered_by_the_student_even_where_they_differ(self, student):
        router = routed(student, of(lambda texts: ["accept"] * len(texts)), audit_rate=1.0)
        found = router.decide("fraud")
        assert (found.label, found.audited, found.audit_agreed) == ("reject", True, False)
        assert router.counts == Counts(1, 0, 0, 1, 0, 0)

    def test_no_global_generator_is_touched(self, student):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        routed(student, of(by_rule), audit_rate=0.5).decide_many(["fraud"] * 50)
        assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    def test_threads_lose_no_count(self, student):
        monitor = Monitor(target=0.5)
        router = routed(student, of(by_rule), audit_rate=0.5, monitor=monitor)
        failed = []

        def work(seed):
            try:
                for text in worlds.texts(100, seed=seed):
                    router.decide(text)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        counts = router.counts
        assert counts.student + counts.teacher == 800
        assert counts.abstain == counts.audits_failed == 0
        assert monitor.n == counts.audits
        assert monitor.agreed == counts.audits_agreed


class TestConstruction:
    def test_another_teacher_voids_the_certificate(self, student):
        with pytest.raises(OptionError, match=r"rule 1.*rule 2.*does not hold"):
            routed(student, of(by_rule, version="rule 2"))
        with pytest.raises(OptionError, match="without a fingerprint"):
            routed(student, of(by_rule, version=None))
        with pytest.raises(OptionError, match="without a fingerprint"):
            routed(student, of(by_rule), certified=None)

    def test_a_callable_without_a_version_is_taken_at_its_word(self, student):
        router = routed(student, of(by_rule, version=None), certified=None)
        assert router.decide("late").label == "reject"

    def test_other_labels_are_refused(self, student):
        teacher = Teacher.of_labels(by_rule, labels=LABELS[::-1], version=VERSION)
        with pytest.raises(OptionError, match="same order"):
            routed(student, teacher, certified=teacher.fingerprint)

    def test_options_out_of_range_are_refused(self, student):
        with pytest.raises(OptionError, match="audit_rate"):
            routed(student, of(by_rule), audit_rate=1.5)

    @pytest.mark.parametrize("threshold", [float("nan"), -1.0, -1e-9, 1.1, 7.0, float("inf")])
    def test_a_threshold_that_is_no_certainty_is_refused(self, student, threshold):
        with pytest.raises(OptionError, match="threshold"):
            routed(student, of(by_rule), threshold=threshold)
        tree = routed(student, of(by_rule)).state.to_tree()
        tree = json.loads(json.dumps({**tree, "threshold": threshold}))
        with pytest.raises(OptionError, match="threshold"):
            Router.from_json(tree, student=student, teacher=of(by_rule))


class TestState:
    def router(self, student, **options):
        return routed(
            student, of(by_rule), audit_rate=0.3, seed=9, monitor=Monitor(target=0.7),
            vetoes=[region(Has(0, True), Words(40, True))],
            applicability_domain=ApplicabilityDomain(vocabulary=frozenset(worlds.FILLER + worlds.SIGNALS), longest=30,
                        rarest=0.1), **options,
        )  # fmt: skip

    def test_stopped_and_resumed_it_goes_on_as_if_it_had_not(self, student):
        texts = worlds.texts(200, seed=6)
        whole, first = self.router(student), self.router(student)
        there = whole.decide_many(texts)
        here = first.decide_many(texts[:90])
        second = Router.from_json(first.to_json(), student=student, teacher=of(by_rule))
        here += second.decide_many(texts[90:])
        for a, b in zip(there, here, strict=True):
            assert (a.by, a.label, a.reason, a.audited) == (b.by, b.label, b.reason, b.audited)
        assert second.to_json() == whole.to_json()
        assert str(second) == str(whole)
        assert f"audits {whole.counts.audits}" in str(whole)

    def test_resuming_checks_the_teacher_and_the_student(self, student):
        tree = self.router(student).state.to_tree()
        with pytest.raises(OptionError, match="does not hold"):
            Router.from_json(tree, student=student, teacher=of(by_rule, version="rule 2"))
        with pytest.raises(RecordError, match="decides among"):
            Router.from_json(
                {**tree, "labels": ["no", "yes"]}, student=student, teacher=of(by_rule)
            )

    @pytest.mark.parametrize(
        "change",
        [
            {"schema_version": "1"},
            {"counts": {"students": 3}},
            {"counts": {"student": "3"}},
            {"threshold": "0.9"},
            {"certified": 3},
            {"audit_rate": None},
            {"vetoes": [{}]},
            {"applicability_domain": {"longest": 3}},
            {"monitor": {"schema_version": 1}},
            {"random_state": {"bit_generator": "MT19937"}},
            {"random_state": 3},
        ],
        ids=str,
    )
    def test_damaged_state_is_refused(self, student, change):
        tree = {**self.router(student).state.to_tree(), **change}
        with pytest.raises(RecordError):
            Router.from_json(tree, student=student, teacher=of(by_rule))

    def test_a_newer_state_is_refused_by_name(self, student):
        tree = {**self.router(student).state.to_tree(), "schema_version": 9}
        with pytest.raises(NewerVersionError, match="schema version 9"):
            Router.from_json(tree, student=student, teacher=of(by_rule))

    def test_decisions_are_frozen(self, student):
        found = routed(student, of(by_rule)).decide("fraud")
        with pytest.raises(dataclasses.FrozenInstanceError):
            found.label = "accept"
