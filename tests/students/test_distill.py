import zlib

import numpy as np
import pytest
from tests.students import worlds

import whence
from whence.core.errors import InputError, ModelOutputError, OptionError
from whence.students.data.query_budget import Budget
from whence.students.distill import distill
from whence.students.families.baselines import hashed, opaque_ceiling
from whence.students.families.prototypes import Prototypes
from whence.students.families.registry import students_for
from whence.students.families.rule_list import RuleList
from whence.students.families.scorecard import Scorecard
from whence.students.families.sparse_linear import SparseLinear
from whence.students.fitting.logistic import all_logits, ridge, softmax
from whence.students.teacher.teacher import Teacher

LABELS = ["accept", "reject"]
PLAIN = Budget(edits=0.0, flips=0)
STUDENTS = [RuleList(rules=4), SparseLinear(features=8)]


def by_rule(texts):
    return [[0.05, 0.95] if worlds.rule(t) == "reject" else [0.9, 0.1] for t in texts]


def of(function, **options):
    model = whence.load(function, labels=LABELS)
    return Teacher.of(model, **{"gives": "probability", **options})


@pytest.fixture(scope="module")
def found():
    texts = worlds.texts(1500)
    gold = [worlds.rule(t) if i % 2 else LABELS[i % 4 // 2] for i, t in enumerate(texts)]
    return distill(of(by_rule), texts, students=STUDENTS, gold=gold, target=0.97)


def test_the_rule_is_found_and_certified(found):
    assert found.chosen == "rule-list-4"
    assert found.certificate.verdict == "faithful enough to replace"
    assert found.certificate.agreement.value == 1.0
    assert found.student.predict(["fraud", "late waived"]) == ["reject", "accept"]
    assert found.certificate.on_mistakes.value == 1.0


def test_the_certificate_is_of_what_the_student_says_of_the_texts(found):
    texts = worlds.texts(1500)
    rows = found.split.certify.tolist()
    said = found.student.predict([texts[row] for row in rows])
    same = [a == worlds.rule(texts[row]) for a, row in zip(said, rows, strict=True)]
    assert found.certificate.agreement.hits == sum(same)
    assert found.certificate.agreement.n == len(rows)


def test_prototypes_are_shown_what_the_teacher_read():
    texts = worlds.texts(400)
    made = distill(
        of(by_rule), texts, students=[Prototypes(cases=6), RuleList()],
        budget=PLAIN, checks=worlds.UNCHECKED,
    )  # fmt: skip
    assert made.chosen == "rule-list-10"
    shown = [case.text for case in made["prototypes-6"].cases]
    assert 0 < len(shown) <= 6
    parts = made.split
    held = {texts[row] for row in (*parts.certify, *parts.report, *parts.select)}
    assert not held & set(shown)


def test_the_opaque_ceiling_is_the_minimum_over_all_its_buckets():
    texts, targets = worlds.texts(30), np.array(by_rule(worlds.texts(30)))
    fitted = opaque_ceiling(texts, targets, labels=LABELS)
    whole = ridge(hashed(texts), targets, np.ones(30), strength=0.1, rounds=50)
    direct = softmax(all_logits(hashed(texts) @ whole.weights + whole.intercept))
    assert fitted.predict_proba(texts) == pytest.approx(direct, abs=1e-4)
    assert np.ptp(direct[:, 0]) > 0.5


def test_flips_are_followed(found):
    for family in ("drop", "first half"):
        assert found.certificate.flips[family].recall.value > 0.95


def test_the_permuted_teacher_is_at_chance(found):
    rungs = {rung.name: rung for rung in found.frontier.rungs}
    assert rungs["permuted"].kappa.lower < 0.1
    assert rungs["opaque"].control
    assert not rungs["opaque"].readable


def test_frontier_is_ordered_and_priced(found):
    rungs = [rung for rung in found.frontier.rungs if not rung.control]
    assert [r.reading for r in rungs] == sorted(r.reading for r in rungs)
    agreed = {r.name: r.agreement.value for r in found.frontier.rungs}
    best = agreed[found.chosen]
    assert found.frontier.chosen == found.chosen
    for price, control in (("transparency", "opaque"), ("brevity", "full linear")):
        paid = getattr(found.frontier, price)
        assert paid.value == pytest.approx(agreed[control] - best)
        assert paid.lower <= paid.value <= paid.upper
        assert f"Price of {price}:" in str(found)


def test_what_nobody_reads_is_never_chosen():
    """Of a teacher that goes by every word, the sum over all features agrees most."""

    def by_every_word(texts):
        z = np.array([sum(zlib.crc32(w.encode()) % 201 - 100 for w in t.split()) for t in texts])
        p = 1 / (1 + np.exp(-z / 40))
        return np.stack([1 - p, p], axis=1)

    made = distill(
        of(by_every_word), worlds.texts(600), students=STUDENTS,
        budget=PLAIN, checks=worlds.UNCHECKED,
    )  # fmt: skip
    full = next(r for r in made.frontier.rungs if r.name == "full linear")
    assert full.control
    assert not full.best
    assert "full linear" not in {*made.students, *made.certificate.lifts}
    assert full.agreement.hits > max(r.agreement.hits for r in made.frontier.rungs if r.best)
    for labels in (2, 3):
        assert "sparse-linear-all" not in {student.name for student in students_for(labels)}


def test_asked_counts_and_the_cache_answers_a_second_time():
    teacher = of(by_rule)
    texts = worlds.texts(400)
    first, again = (
        distill(teacher, texts, students=[RuleList()], checks=worlds.BRIEF) for _ in range(2)
    )
    assert first.asked > 400
    assert again.asked == 0
    assert again.student.to_json() == first.student.to_json()


def test_a_teacher_that_only_compares_is_not_certified():
    def compares(texts):
        found = []
        for text in texts:
            words = text.split()
            found.append([0.0, 1.0] if words[0] > words[-1] else [1.0, 0.0])
        return found

    made = distill(
        of(compares), worlds.texts(900, rate=0.1), students=STUDENTS,
        budget=PLAIN, checks=worlds.BRIEF,
    )  # fmt: skip
    assert made.certificate.verdict in ("refused", "a description of tendencies only")


def test_a_teacher_that_always_says_the_same_has_nothing_to_teach():
    teacher = of(lambda texts: [[1.0, 0.0]] * len(texts))
    with pytest.raises(InputError, match="'accept' to all 400 texts"):
        distill(teacher, worlds.texts(400), students=STUDENTS)
    # What it answered is not lost.
    asked = teacher.asked
    teacher.ask(worlds.texts(400))
    assert teacher.asked == asked == 400


def test_a_teacher_that_fails_midway_loses_nothing():
    cache = whence.MemoryCache()

    def fails(texts):
        if len(cache) >= 200:
            raise RuntimeError("quota")
        return by_rule(texts)

    with pytest.raises(ModelOutputError, match="quota"):
        distill(of(fails, cache=cache, version="1"), worlds.texts(400), students=STUDENTS)
    kept = len(cache)
    assert kept >= 200
    teacher = of(by_rule, cache=cache, version="1")
    teacher.ask(worlds.texts(400))
    assert teacher.asked == 400 - kept


def test_bad_input():
    with pytest.raises(InputError, match="expected 300 groups"):
        distill(of(by_rule), worlds.texts(10))
    with pytest.raises(InputError, match="expected 300 groups"):
        distill(of(by_rule), ["the same words"] * 1000)
    with pytest.raises(InputError, match="maybe"):
        distill(of(by_rule), worlds.texts(400), gold=["maybe"] * 400)
    with pytest.raises(OptionError, match="different names"):
        distill(of(by_rule), worlds.texts(400), students=[RuleList(), RuleList()])


def test_a_scorecard_of_three_labels_is_refused():
    from whence.core.errors import CapabilityError

    table, features = worlds.table(30, 5)
    with pytest.raises(CapabilityError, match="two labels"):
        Scorecard().fit(table, np.full((30, 3), 1 / 3), features=features, labels=("a", "b", "c"))


def test_slices_that_are_given_stand_beside_those_there_are():
    texts = worlds.texts(800)
    late = ["late" in text for text in texts]
    made = distill(
        of(by_rule), texts, students=STUDENTS, budget=PLAIN, checks=worlds.UNCHECKED,
        slices={"with a word of denial": late},
    )  # fmt: skip
    found = made.certificate.slices
    rows = made.split.certify
    assert found["with a word of denial (given)"].n == sum(late[row] for row in rows)
    assert found["with a word of denial"] is None
