"""A fitted student as what a template shows: rules, points, weights, questions or cases."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from whence.app.shared.formatting import signed, visible
from whence.students.export.svg import as_svg
from whence.students.families.base import Fitted
from whence.students.families.decision_tree import FittedTree, Node
from whence.students.families.prototypes import FittedPrototypes
from whence.students.families.rule_list import FittedRules
from whence.students.families.scorecard import FittedScorecard
from whence.students.families.sparse_linear import FittedLinear
from whence.students.families.tree_ensemble import Branch, FittedTreeSum

__all__ = ["FIRST", "student_view"]

FIRST = 30
"""Weights that are seen at once; the rest unfolds."""

HALF = 48.0
"""Percent of a bar's room that the longest bar takes on its side of zero."""


def student_view(student: Fitted) -> dict[str, Any]:
    """What a template shows of a student, whole.

    A kind that has no view of its own is shown by its own text.
    """
    cost = student.reading_cost
    shown: dict[str, Any] = {
        "kind": "text",
        "labels": [visible(label) for label in student.labels],
        "words": f"{cost.words:,}",
        "numbers": f"{cost.numbers:,}",
        "lists": _lists(student),
    }
    if isinstance(student, FittedRules):
        return {**shown, "kind": "rules", "rules": _rules(student)}
    if isinstance(student, FittedScorecard):
        return {**shown, "kind": "scorecard", **_scorecard(student)}
    if isinstance(student, FittedTree):
        picture = "data:image/svg+xml;base64," + b64encode(as_svg(student).encode()).decode()
        return {**shown, "kind": "tree", "rows": _tree(student), "picture": picture}
    if isinstance(student, FittedTreeSum):
        return {**shown, "kind": "trees", **_trees(student)}
    if isinstance(student, FittedPrototypes):
        return {**shown, "kind": "cases", **_cases(student)}
    if isinstance(student, FittedLinear):
        return {**shown, "kind": "linear", **_linear(student)}
    return {**shown, "text": "\n".join(visible(line) for line in student.to_text().split("\n"))}


def _lists(student: Fitted) -> list[dict[str, str]]:
    """The words of each list that the student looks for."""
    asked = {f.words for f in student.features.kept if f.kind == "lexicon"}
    lexicons = student.features.spec.lexicons
    return [
        {"name": visible(name), "words": visible(", ".join(words))}
        for name, words in lexicons.items()
        if name in asked
    ]


def _answer(labels: Sequence[str], chances: np.ndarray, texts: float | None) -> dict[str, Any]:
    top = int(chances.argmax())
    return {
        "label": visible(labels[top]),
        "chance": f"{chances[top]:.2f}",
        "width": f"{100 * float(chances[top]):.1f}",
        "texts": None if texts is None else f"{texts:,.0f}",
        "others": ", ".join(
            f"{visible(label)} {chance:.2f}"
            for label, chance in zip(labels, chances.tolist(), strict=True)
        ),
    }


def _rules(student: FittedRules) -> list[dict[str, Any]]:
    return [
        {
            "condition": visible(student.condition(rule)) if rule.literals else None,
            **_answer(student.labels, rule.chances, rule.texts),
        }
        for rule in student.rules
    ]


def _scorecard(student: FittedScorecard) -> dict[str, Any]:
    largest = int(np.abs(student.points).max(initial=1))
    order = np.argsort(-student.points, kind="stable").tolist()
    rows = [
        {
            "name": visible(student.features.describe(j)),
            "number": f"{'+' if student.points[j] > 0 else chr(0x2212)}{abs(student.points[j])}",
            **_bar(float(student.points[j]), float(largest)),
        }
        for j in order
    ]
    steps = [
        {
            "from": "any lower sum" if place == 0 else f"{start} or more".replace("-", "\u2212"),
            "chance": f"{chance:.2f}",
            "width": f"{100 * chance:.1f}",
        }
        for place, (start, chance) in enumerate(student.steps())
    ]
    return {"rows": rows, "steps": steps, "second": visible(student.labels[1])}


def _linear(student: FittedLinear) -> dict[str, Any]:
    pair = len(student.labels) == 2
    # Of two labels one number says all: what a feature adds to the log-odds of the second.
    table = student.weights[:, 1:] - student.weights[:, :1] if pair else student.weights
    start = student.intercept[1:] - student.intercept[:1] if pair else student.intercept
    order = np.argsort(-np.abs(table).max(axis=1, initial=0.0), kind="stable").tolist()
    largest = float(np.abs(table).max(initial=1e-12))
    return {
        "pair": pair,
        "start": [signed(float(number)) for number in start],
        "rows": [
            {
                "name": visible(student.features.describe(j)),
                "cells": [
                    {"number": signed(float(number)), **_bar(float(number), largest)}
                    for number in table[j]
                ],
            }
            for j in order
        ],
        "first": FIRST,
        "reach": signed(largest),
    }


def _bar(value: float, largest: float) -> dict[str, str]:
    """A bar from the middle of its room to one side, in percent of the width."""
    width = HALF * abs(value) / largest
    return {
        "x": f"{50.0 if value >= 0 else 50.0 - width:.2f}",
        "width": f"{width:.2f}",
        "side": "pos" if value >= 0 else "neg",
    }


_Leaf = Callable[[int], dict[str, Any]]


def _asked(
    student: Fitted, nodes: Sequence[Node] | Sequence[Branch], leaf: _Leaf, index: int = 0,
    lead: str = "",
) -> list[dict[str, Any]]:  # fmt: skip
    """Questions from a node on, in order.

    Where one way ends at once, its answer stands in the question's line and the other way goes on
    below it; only where both go on are there branches.
    """
    rows: list[dict[str, Any]] = []
    node = nodes[index]
    while node.column is not None:
        row: dict[str, Any] = {
            "lead": lead,
            "question": visible(student.features.describe(node.column)),
            "ends": None,
            "branches": [],
        }
        rows.append(row)
        ways = {"yes": node.there, "no": node.absent}
        ends = [way for way, place in ways.items() if nodes[place].column is None]
        if not ends:
            row["branches"] = [
                _asked(student, nodes, leaf, place, way) for way, place in ways.items()
            ]
            return rows
        row["ends"] = {"way": ends[0], **leaf(ways[ends[0]])}
        lead = "no" if ends[0] == "yes" else "yes"
        index = ways[lead]
        node = nodes[index]
    return [*rows, {"lead": lead, "question": None, **leaf(index)}]


def _tree(student: FittedTree) -> list[dict[str, Any]]:
    def leaf(index: int) -> dict[str, Any]:
        node = student.nodes[index]
        return _answer(student.labels, node.chances, node.texts)

    return _asked(student, student.nodes, leaf)


def _trees(student: FittedTreeSum) -> dict[str, Any]:
    """Of two labels the probability of the second is added up, of more that of each."""
    shown = range(1, 2) if len(student.labels) == 2 else range(len(student.labels))

    def added(values: np.ndarray) -> str:
        return ", ".join(
            f"{visible(student.labels[place])} {signed(float(values[place]))}" for place in shown
        )

    def rows(branches: Sequence[Branch]) -> list[dict[str, Any]]:
        def leaf(index: int) -> dict[str, Any]:
            return {"adds": added(branches[index].adds), "texts": f"{branches[index].texts:,.0f}"}

        return _asked(student, branches, leaf)

    return {"start": added(student.base), "trees": [rows(branches) for branches in student.trees]}


def _cases(student: FittedPrototypes) -> dict[str, Any]:
    return {
        "cases": [
            {"text": visible(case.text), **_answer(student.labels, case.chances, case.texts)}
            for case in student.cases
        ],
        "otherwise": _answer(student.labels, student.base, None),
    }
