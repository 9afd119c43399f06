import numpy as np
import pytest
from tests.students import worlds
from tests.students.test_distill import by_rule, of

import whence
from whence.core.errors import InputError, OptionError, TextTooLongError
from whence.students.certificate.check_options import Checks
from whence.students.data.collect import ask_readable, build_training_set
from whence.students.data.query_budget import Budget, plan_queries
from whence.students.data.run import Run
from whence.students.data.split import split
from whence.students.data.training_set import KINDS
from whence.students.families.prototypes import Prototypes
from whence.students.families.rule_list import RuleList
from whence.students.families.transformer import Transformer
from whence.students.features.vectorizer import ReadableFeatures

NONE = Checks(refits=0, topics=0, curve=0, permutations=0)


def short(texts):
    """A rule that reads 20 words at most."""
    for text in texts:
        if len(text.split()) > 20:
            raise TextTooLongError(f"{len(text.split())} words; 20 are read", length=99, limit=20)
    return by_rule(texts)


def test_edits_that_the_teacher_cannot_read_are_left_out():
    teacher = of(short, batch=4)
    texts = ["late " * 5, "late " * 25, "waived " * 6]
    rows, answers = ask_readable(Run(teacher=teacher), texts)
    assert rows == [0, 2]
    assert answers.top.tolist() == [1, 0]
    assert ask_readable(Run(teacher=teacher), [])[0] == []


def test_a_denial_that_makes_a_text_too_long_stops_nothing():
    texts = worlds.texts(400, length=18)
    own = [text for text in texts if len(text.split()) <= 20]
    teacher = of(short)
    found = whence.distill(teacher, own, students=[RuleList(rules=4)], checks=NONE)
    # Six words more than 14 are too many; shorter texts are edited all the same.
    assert found.certificate.flips["deny"].fidelity.n == 0
    assert found.certificate.flips["first half"].fidelity.n > 0
    assert found.certificate.agreement.value == 1.0


def test_nothing_held_out_is_learnt_from():
    texts = ["late", "waived late", *worlds.texts(400, length=3)]
    teacher = of(by_rule)
    parts = split(texts)
    pool = teacher.ask(texts)
    queries = plan_queries(len(texts), Budget())
    training, _ = build_training_set(Run(teacher=teacher), texts, pool, parts, queries)
    held = {texts[row] for part in ("select", "certify", "report") for row in parts.rows(part)}
    beside = [t for t, kind in zip(training.texts, training.kinds, strict=True) if kind > 0]
    assert not held & set(beside)
    assert {KINDS[kind] for kind in training.kinds} == {"text", "edit", "ngram"}
    # An edit is of the document of its parent, which learns as well.
    assert set(training.groups[training.kinds == 1]) <= set(training.groups[training.kinds == 0])
    weights = training.weights_for(Prototypes())
    assert np.array_equal(weights > 0, training.kinds == 0)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"students": ["optimal-tree-9"]}, OptionError),
        ({"students": ["sparse-linear-0"]}, OptionError),
        ({"students": ["tree-sum-0"]}, OptionError),
        ({"features": ReadableFeatures(longest=0)}, OptionError),
        ({"compact": Transformer(heads=3)}, OptionError),
        ({"compact": Transformer(hidden_weight=1.0)}, OptionError),
        ({"shifted": {"x": []}}, InputError),
        ({"shifted": {"x": [" "]}}, InputError),
    ],
)
def test_what_can_be_refused_is_refused_before_the_teacher_is_asked(options, error):
    teacher = of(by_rule)
    with pytest.raises(error):
        whence.distill(teacher, worlds.texts(400), **options)
    assert teacher.asked == 0


def test_a_budget_that_leaves_too_few_different_texts_says_so():
    texts = worlds.texts(320) * 6
    none = Budget(queries=400, edits=0.0, ngrams=0.0, flips=0, again=0, attributions=0, parting=0)
    with pytest.raises(OptionError, match="Or allow more queries"):
        whence.distill(of(by_rule), texts, budget=none)


@pytest.mark.parametrize("count", [302, 415])
def test_no_kind_of_question_exceeds_its_plan(count):
    teacher = of(by_rule)
    texts = [text.replace(" ", "  ", 2) for text in worlds.texts(count)]
    found = whence.distill(
        teacher, texts, students=[RuleList(rules=1)], checks=NONE, budget=Budget(parting=100)
    )
    assert found.asked == teacher.asked <= found.plan.total
    assert found.certificate.disagreements.asked <= 100


def test_the_sum_over_all_features_has_a_name():
    from whence.students.families.registry import student_by_name

    assert student_by_name("sparse-linear-all").name == "sparse-linear-all"


def test_texts_without_a_word_in_common_are_refused_before_the_teacher_is_asked():
    teacher = of(by_rule)
    with pytest.raises(InputError, match="no feature is in 2 or more"):
        whence.distill(teacher, [f"word{i}" for i in range(400)])
    assert teacher.asked == 0
