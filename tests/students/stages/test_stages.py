"""Each stage is made once; the next runs from it again, and asks and fits nothing twice."""

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from tests.students import worlds
from tests.students.test_distill import by_rule, of

import whence
from whence.core.errors import ModelOutputError, OptionError
from whence.students.certificate.check_options import Checks
from whence.students.data.query_budget import Budget
from whence.students.data.run import Run, Terms
from whence.students.families.rule_list import RuleList
from whence.students.families.sparse_linear import SparseLinear
from whence.students.stages.certification import certify_student
from whence.students.stages.fitting import fit_students
from whence.students.stages.plan import Inputs, make_plan
from whence.students.stages.report import report
from whence.students.stages.training import collect_training
from whence.students.teacher.teacher import Teacher

TEXTS = worlds.texts(420)
GOLD = [worlds.rule(t) if i % 5 else "accept" for i, t in enumerate(TEXTS)]
OPTIONS = {
    "gold": GOLD,
    "students": [RuleList(rules=4), SparseLinear(features=8)],
    "budget": Budget(flips=20, again=10, attributions=60, parting=90),
    "checks": Checks(refits=3, topics=2, curve=1, permutations=9),
    "shifted": {"later": worlds.texts(40, seed=9)},
    "slices": {"late": ["late" in text for text in TEXTS]},
}
TIMES = {"microseconds", "teacher_microseconds"}


class Counted(RuleList):
    """A rule list that counts how often it is fitted."""

    fits = 0

    def fit(self, *args, **options):
        Counted.fits += 1
        return RuleList.fit(self, *args, **options)


def refuses(texts):
    raise AssertionError("the teacher was asked")


def of_run(run, teacher):
    return replace(run, teacher=teacher)


def with_teacher(training, teacher):
    """A second stage as it would be taken up again with another teacher at hand."""
    plan = replace(training.plan, run=of_run(training.plan.run, teacher))
    return replace(training, plan=plan)


def plain(value):
    """A result as text that shows every number but times, to compare two of them."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if is_dataclass(value):
        own = {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.name not in TIMES}
        return {type(value).__name__: own}
    if isinstance(value, dict):
        return {name: plain(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [plain(own) for own in value]
    if hasattr(value, "to_json"):
        return value.to_json()
    return repr(value)


@pytest.fixture(scope="module")
def stages():
    run = Run(teacher=of(by_rule, version="1"), terms=Terms(seed=3))
    plan = make_plan(run, Inputs(texts=TEXTS, **OPTIONS))
    asked = [run.teacher.asked]
    training = collect_training(plan)
    asked.append(run.teacher.asked)
    fitted = fit_students(training)
    asked.append(run.teacher.asked)
    certification = certify_student(fitted)
    asked.append(run.teacher.asked)
    return training, fitted, certification, report(certification), [*asked, run.teacher.asked]


@pytest.fixture(scope="module")
def whole():
    return whence.distill(of(by_rule, version="1"), TEXTS, seed=3, **OPTIONS)


def test_five_calls_are_distill(stages, whole):
    result = stages[3]
    assert plain(result) == plain(whole)
    assert whole.certificate.shift.corpora["later"].texts == 40
    assert "late (given)" in whole.certificate.slices
    assert "gold" in whole.certificate.lifts
    assert whole.certificate.refits.draws == 3


def test_only_the_second_and_the_fourth_stage_ask(stages):
    training, _, certification, result, asked = stages
    planned, learnt, fitted, certified, reported = asked
    assert planned == 0
    assert learnt == fitted == training.usage.asked > len(TEXTS)
    assert certified == reported == training.usage.asked + certification.usage.asked
    assert result.asked == certified


def test_the_plan_is_made_again_without_a_question(stages):
    plan = stages[0].plan
    again = make_plan(of_run(plan.run, of(refuses, version="1")), Inputs(texts=TEXTS, **OPTIONS))
    assert again.texts == plan.texts
    assert again.queries == plan.queries
    assert plain(again.split) == plain(plan.split)


def test_training_is_collected_again_from_the_cache():
    cache = whence.MemoryCache()
    inputs = Inputs(texts=TEXTS, **OPTIONS)
    first = collect_training(make_plan(Run(teacher=of(by_rule, cache=cache, version="1")), inputs))
    teacher = of(refuses, cache=cache, version="1")
    second = collect_training(make_plan(Run(teacher=teacher), inputs))
    assert second.usage.asked == teacher.asked == 0
    assert second.trial.table.examples.texts == first.trial.table.examples.texts
    assert np.array_equal(second.trial.losses, first.trial.losses)
    assert second.choices == first.choices


def test_students_are_fitted_again_from_a_training_set_without_a_teacher(stages):
    training, fitted, _, _, _ = stages
    teacher = of(refuses, version="1")
    again = fit_students(with_teacher(training, teacher))
    assert teacher.asked == 0
    assert (again.chosen, again.choices) == (fitted.chosen, fitted.choices)
    for name, student in fitted.students.items():
        assert again.students[name].to_json() == student.to_json()
    for name, control in {**fitted.controls, **fitted.references}.items():
        theirs = {**again.controls, **again.references}[name]
        assert np.array_equal(theirs.predict_proba(TEXTS[:50]), control.predict_proba(TEXTS[:50]))


def test_stages_three_to_five_from_a_stored_training_set_ask_what_is_new_alone(stages):
    """The cache holds what the certificate asked, so a teacher that raises is never called."""
    training, _, _, result, _ = stages
    cache = whence.MemoryCache()
    first = of(by_rule, cache=cache, version="1")
    certify_student(fit_students(with_teacher(training, first)))
    assert first.asked > 0
    second = of(refuses, cache=cache, version="1")
    again = report(certify_student(fit_students(with_teacher(training, second))))
    assert second.asked == 0
    assert again.certificate.agreement == result.certificate.agreement
    assert plain(again.certificate.refits) == plain(result.certificate.refits)
    assert plain(again.frontier) == plain(result.frontier)


def test_a_certificate_without_questions_needs_no_teacher():
    none = Budget(edits=0.0, ngrams=0.0, flips=0, again=0, attributions=0, parting=0)
    inputs = Inputs(texts=TEXTS, **{**OPTIONS, "budget": none, "shifted": {}})
    training = collect_training(make_plan(Run(teacher=of(by_rule)), inputs))
    teacher = of(refuses)
    result = report(certify_student(fit_students(with_teacher(training, teacher))))
    assert teacher.asked == 0
    assert result.asked == training.usage.asked == len(TEXTS)
    assert result.certificate.agreement.n == len(training.plan.split.certify)


def test_a_teacher_that_raises_is_noticed(stages):
    """The tests above would notice a question."""
    with pytest.raises(ModelOutputError, match="the teacher was asked"):
        certify_student(fit_students(with_teacher(stages[0], of(refuses))))


def test_certification_and_report_do_not_fit_what_is_fitted():
    Counted.fits = 0
    checks = Checks(refits=2, topics=0, curve=0, permutations=0)
    inputs = Inputs(texts=TEXTS, students=[Counted(rules=2)], checks=checks)
    fitted = fit_students(collect_training(make_plan(Run(teacher=of(by_rule)), inputs)))
    assert Counted.fits == 1
    certification = certify_student(fitted)
    assert Counted.fits == 1 + 2
    first, second = report(certification), report(certification)
    assert Counted.fits == 1 + 2
    assert first.student is second.student is fitted.students["counted-2"]
    assert plain(first) == plain(second)


def test_the_report_is_made_again_of_the_same_certification(stages):
    _, _, certification, result, _ = stages
    assert plain(report(certification)) == plain(result)


def test_other_checks_of_the_same_students_change_no_agreement(stages):
    _, fitted, _, result, _ = stages
    training = fitted.training
    plan = replace(training.plan, checks=Checks(refits=0, topics=0, curve=0, permutations=9))
    again = certify_student(replace(fitted, training=replace(training, plan=plan)))
    assert again.certificate.agreement == result.certificate.agreement
    assert again.certificate.refits is None
    assert again.usage.asked == 0


def test_progress_is_told_by_name():
    events = []
    run = Run(teacher=of(by_rule), progress=lambda *event: events.append(event))
    inputs = Inputs(texts=TEXTS, **{**OPTIONS, "shifted": {}})
    report(certify_student(fit_students(collect_training(make_plan(run, inputs)))))
    names = list(dict.fromkeys(what for what, _, _ in events))
    assert names[:4] == ["texts", "edits and n-grams", "students", "evidence"]
    assert [e for e in events if e[0] == "evidence"] == [("evidence", i, 4) for i in range(5)]
    assert [e for e in events if e[0] == "texts"][-1] == ("texts", 420, 420)
    assert all(0 <= done <= total for _, done, total in events)


@pytest.mark.parametrize("terms", [{"target": 1.0}, {"level": 0.5}, {"seed": -1}])
def test_terms_out_of_their_range_are_refused_before_the_teacher_is_asked(terms):
    teacher = of(by_rule)
    with pytest.raises(OptionError, match=f"{next(iter(terms))}={next(iter(terms.values()))}"):
        whence.distill(teacher, TEXTS, **terms)
    assert teacher.asked == 0


def test_a_teacher_of_labels_goes_through_all_stages():
    teacher = Teacher.of_labels(
        lambda texts: [worlds.rule(t) for t in texts], labels=["accept", "reject"]
    )
    inputs = Inputs(texts=TEXTS, **OPTIONS)
    result = report(
        certify_student(fit_students(collect_training(make_plan(Run(teacher=teacher), inputs))))
    )
    assert result.certificate.kl is None
    assert result.asked == teacher.asked
