import pytest
from tests.students import worlds
from tests.students.test_distill import by_rule, of

from whence.core.errors import OptionError
from whence.students.data.query_budget import Budget, plan_queries
from whence.students.distill import distill
from whence.students.families.rule_list import RuleList


def test_of_what_is_learnt_from_three_fifths_are_texts():
    edits, ngrams = Budget().learnt(600)
    assert (edits, ngrams) == (200, 200)
    assert Budget(edits=0.0, ngrams=0.5).learnt(600) == (0, 600)


@pytest.mark.parametrize("queries", [2_000, 5_000, 9_999])
def test_the_largest_plan_within_the_budget(queries):
    planned = plan_queries(50_000, Budget(queries=queries))
    assert planned.total <= queries
    assert plan_queries(planned.texts + 1, Budget()).total > queries


def test_all_texts_are_asked_where_the_budget_has_room():
    assert plan_queries(400, Budget(queries=10_000)) == plan_queries(400, Budget())
    assert plan_queries(400, Budget()).texts == 400


def test_budgets_that_are_none():
    with pytest.raises(OptionError, match=r"a sum below 1, got edits=0\.5"):
        Budget(edits=0.5, ngrams=0.5)
    with pytest.raises(OptionError, match="flips of 0 or more, got -1"):
        Budget(flips=-1)
    with pytest.raises(OptionError, match="which 300 texts take"):
        plan_queries(10_000, Budget(queries=500))


def test_a_teacher_is_asked_no_more_than_the_budget():
    teacher = of(by_rule)
    texts = worlds.texts(3_000)
    allowed = Budget(queries=1_500, attributions=100, parting=90)
    found = distill(
        teacher, texts, students=[RuleList(rules=4)], budget=allowed, checks=worlds.UNCHECKED
    )
    assert teacher.asked == found.asked <= found.plan.total <= 1_500
    assert len(found.rows) == found.plan.texts < 3_000
    assert sorted(set(found.rows)) == list(found.rows)
    # Rows of the split are among the texts that were asked.
    parts = found.split
    held = [*parts.fit, *parts.select, *parts.certify, *parts.report]
    assert max(held) < len(found.rows)


def test_nothing_but_the_texts_is_asked_where_nothing_else_is_allowed():
    teacher = of(by_rule)
    none = Budget(edits=0.0, ngrams=0.0, flips=0, again=0, attributions=0, parting=0)
    found = distill(
        teacher, worlds.texts(400), students=[RuleList(rules=4)],
        budget=none, checks=worlds.UNCHECKED,
    )  # fmt: skip
    assert found.asked == found.plan.total == 400
    assert found.certificate.flips == {}
    assert found.ceiling is None
