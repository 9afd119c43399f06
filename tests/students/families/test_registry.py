"""Names of families: one class each, with the names of earlier versions among them."""

from __future__ import annotations

import pytest

from whence.core.errors import OptionError
from whence.students.families.decision_tree import DecisionTree
from whence.students.families.registry import student_by_name
from whence.students.families.rule_list import RuleList


@pytest.mark.parametrize("alias", ["rules", "decision-tree"])
def test_an_alias_of_two_families_is_refused(monkeypatch, alias):
    assert isinstance(student_by_name("rules"), RuleList)
    monkeypatch.setattr(DecisionTree, "aliases", ("rules",))
    if alias == "decision-tree":
        monkeypatch.setattr(DecisionTree, "aliases", ())
        monkeypatch.setattr(RuleList, "aliases", (alias,))
    with pytest.raises(OptionError, match=f"one family of students called '{alias}'") as refusal:
        student_by_name(alias)
    assert DecisionTree.__module__ in str(refusal.value)
    assert RuleList.__module__ in str(refusal.value)
