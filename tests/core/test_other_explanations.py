"""Interactions, counterfactuals and rules: read back bit for bit, and refuse what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.samples import attribution

from whence.core import Counterfactual, Edit, Interactions, Interval, Rule, read_record
from whence.core.arrays import frozen_array

GOLDEN = Path(__file__).parent / "golden"
SHARED = ("outputs", "decision", "outcome", "advice", "notes", "provenance")


def shared(*names):
    sample = attribution()
    return {name: getattr(sample, name) for name in (*SHARED, *names)}


def interactions(**changes):
    settings = shared("segmentation", "values", "base_values") | {
        "groups": ((0,), (0, 2), (0, 1)),
        "order": 2,
        "scores": frozen_array([[1.0, 0.0], [0.5, 0.1], [-2.0, 0.2]]),
        "std_errors": None,
        "quantity": "Faith-Shap",
    }
    return Interactions(**(settings | changes))


def counterfactual(**changes):
    sample = attribution()
    settings = shared("values") | {
        "document": sample.segmentation.document,
        "edits": (Edit(start=0, end=4, text="ache"), Edit(start=5, end=11, text="")),
        "edited_values": frozen_array([0.0, 1.0]),
        "edited_decision": sample.decision,
        "actionable": None,
    }
    return Counterfactual(**(settings | changes))


def rule(**changes):
    settings = {k: v for k, v in shared("segmentation").items() if k != "outputs"} | {
        "features": (0, 2),
        "precision": 0.97,
        "precision_interval": Interval(low=0.95, high=0.99, level=0.95, how="Clopper-Pearson"),
        "coverage": 0.1,
        "n": 200,
        "threshold": 0.95,
    }
    return Rule(**(settings | changes))


@pytest.mark.parametrize("make", [interactions, counterfactual, rule])
def test_reads_back_whole(make, tmp_path):
    record = make()
    assert read_record(record.save(tmp_path / "r.json")) == record


def test_strongest_groups_are_those_of_two_or_more():
    assert interactions().top(1) == (((0, 1), -2.0),)
    assert [group for group, _ in interactions().top()] == [(0, 1), (0, 2)]
    assert interactions().top(5, output=1)[0] == ((0, 1), 0.2)


def test_edits_are_applied_in_order_and_the_flip_is_read_off_the_decisions():
    assert counterfactual().edited_text == "ache  today"
    assert counterfactual(edits=()).edited_text == "pain denied today"
    assert not counterfactual().flipped


@pytest.mark.parametrize(
    ("make", "changes", "says"),
    [
        (interactions, {"groups": ((0,), (0, 2))}, "groups x outputs"),
        (interactions, dict.fromkeys(("values", "base_values"), frozen_array([1.0])), "one number"),
        (interactions, {"groups": ((0,), (0, 2), (0, 2))}, "twice"),
        (interactions, {"groups": ((0,), (0, 2), (1, 0))}, "ascending"),
        (interactions, {"groups": ((0,), (0, 2), (0, 9))}, "ascending"),
        (interactions, {"groups": ((0,), (0, 2), (0, 1, 2))}, "order is 2"),
        (
            counterfactual,
            dict.fromkeys(("values", "edited_values"), frozen_array([1.0])),
            "one number",
        ),
        (counterfactual, {"edits": (Edit(start=0, end=99, text=""),)}, "outside"),
        (
            counterfactual,
            {"edits": (Edit(start=0, end=4, text=""), Edit(start=3, end=5, text=""))},
            "overlap",
        ),
        (rule, {"features": (2, 0)}, "ascending"),
        (rule, {"precision": 1.5}, "share"),
        (rule, {"coverage": -0.5}, "share"),
    ],
)
def test_what_cannot_be_is_refused(make, changes, says):
    with pytest.raises(ValueError, match=says):
        make(**changes)


def test_an_edit_is_an_interval():
    with pytest.raises(ValueError, match="not an interval"):
        Edit(start=3, end=2, text="")


@pytest.mark.parametrize(("name", "make"), [("counterfactual-2", counterfactual), ("rule-1", rule)])
def test_records_of_before_read_as_they_were(name, make):
    """Written by the version before: what it did not know is unknown, the rest is as it was."""
    old = read_record(GOLDEN / f"{name}.json")
    assert old == make(provenance=old.provenance)
    assert old.minimal is None


def test_the_size_of_a_change_is_in_words_and_characters():
    assert (counterfactual().words, counterfactual().characters) == (2, 14)


def test_a_rule_names_its_words():
    assert rule().texts == ("pain ", "d today")
