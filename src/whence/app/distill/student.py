"""A fitted student as what a template shows: rules, points, weights, questions or cases."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

from whence.app.shared.formatting import signed, visible
from whence.students.export.svg import as_svg
from whence.students.families.base import Fitted
from whence.students.families.views import (
    Answer,
    CasesView,
    NodeView,
    PointsView,
    RulesView,
    TreesView,
    TreeView,
    WeightsView,
)

__all__ = ["FIRST", "student_view"]

FIRST = 30
"""Weights that are seen at once, about a screen; the rest unfolds. Chosen by hand."""

HALF = 48.0
"""Percent of a bar's room that the longest bar takes on its side of zero; 2 are left as a margin."""


def student_view(student: Fitted) -> dict[str, Any]:
    """What a template shows of a student, whole.

    A family that has no view of its own is shown by its own text.
    """
    cost = student.reading_cost
    return {
        "labels": [visible(label) for label in student.labels],
        "words": f"{cost.words:,}",
        "numbers": f"{cost.numbers:,}",
        "lists": _lists(student),
        **_shown(student.view(), student),
    }


@singledispatch
def _shown(view: Any, student: Fitted) -> dict[str, Any]:  # noqa: ARG001
    """The form of a view and its content for the template; the student's text where it has none."""
    lines = student.to_text().split("\n")
    return {"kind": "text", "text": "\n".join(visible(line) for line in lines)}


@_shown.register
def _(view: RulesView, student: Fitted) -> dict[str, Any]:
    rules = [
        {
            "condition": None if condition is None else visible(condition),
            **_answer(student.labels, answer),
        }
        for condition, answer in view.rules
    ]
    return {"kind": "rules", "rules": rules}


@_shown.register
def _(view: PointsView, student: Fitted) -> dict[str, Any]:
    largest = max([1, *(abs(points) for _, points in view.points)])
    rows = [
        {
            "name": visible(name),
            "number": f"{'+' if points > 0 else chr(0x2212)}{abs(points)}",
            **_bar(float(points), float(largest)),
        }
        for name, points in view.points
    ]
    steps = [
        {
            "from": "any lower sum" if place == 0 else f"{start} or more".replace("-", "\u2212"),
            "chance": f"{chance:.2f}",
            "width": f"{100 * chance:.1f}",
        }
        for place, (start, chance) in enumerate(view.steps)
    ]
    return {"kind": "points", "rows": rows, "steps": steps, "second": visible(student.labels[1])}


@_shown.register
def _(view: WeightsView, student: Fitted) -> dict[str, Any]:
    pair = len(student.labels) == 2

    def cells(values: Sequence[float]) -> list[float]:
        # Of two labels one number says all: what a feature adds to the log-odds of the second.
        return [values[1] - values[0]] if pair else list(values)

    rows = [(name, cells(values.tolist())) for name, values in view.rows]
    # 1e-12 stands for 0 under the division, where every weight is 0.
    largest = max([1e-12, *(abs(number) for _, numbers in rows for number in numbers)])
    return {
        "kind": "weights",
        "pair": pair,
        "start": [signed(number) for number in cells(view.start.tolist())],
        "rows": [
            {
                "name": visible(name),
                "cells": [
                    {"number": signed(number), **_bar(number, largest)} for number in numbers
                ],
            }
            for name, numbers in rows
        ],
        "first": FIRST,
        "reach": signed(largest),
    }


@_shown.register
def _(view: TreeView, student: Fitted) -> dict[str, Any]:
    def leaf(node: NodeView) -> dict[str, Any]:
        return _answer(student.labels, Answer(node.value, node.texts))

    picture = "data:image/svg+xml;base64," + b64encode(as_svg(student).encode()).decode()
    return {"kind": "tree", "rows": _questions(view.nodes, leaf), "picture": picture}


@_shown.register
def _(view: TreesView, student: Fitted) -> dict[str, Any]:
    # Of two labels the probability of the second is added up, of more that of each.
    shown = range(1, 2) if len(student.labels) == 2 else range(len(student.labels))

    def added(values: Sequence[float]) -> str:
        return ", ".join(
            f"{visible(student.labels[place])} {signed(values[place])}" for place in shown
        )

    def leaf(node: NodeView) -> dict[str, Any]:
        return {"adds": added(node.value.tolist()), "texts": f"{node.texts:,.0f}"}

    trees = [_questions(nodes, leaf) for nodes in view.trees]
    return {"kind": "trees", "start": added(view.start.tolist()), "trees": trees}


@_shown.register
def _(view: CasesView, student: Fitted) -> dict[str, Any]:
    cases = [
        {"text": visible(text), **_answer(student.labels, answer)} for text, answer in view.cases
    ]
    return {"kind": "cases", "cases": cases, "otherwise": _answer(student.labels, view.otherwise)}


def _lists(student: Fitted) -> list[dict[str, str]]:
    """The words of each list that the student looks for."""
    names = {f.words for f in student.features.kept if f.kind == "lexicon"}
    return [
        {"name": visible(name), "words": visible(", ".join(words))}
        for name, words in student.features.spec.lexicons.items()
        if name in names
    ]


def _answer(labels: Sequence[str], answer: Answer) -> dict[str, Any]:
    chances, top = answer.chances, int(answer.chances.argmax())
    return {
        "label": visible(labels[top]),
        "chance": f"{chances[top]:.2f}",
        "width": f"{100 * float(chances[top]):.1f}",
        "texts": None if answer.texts is None else f"{answer.texts:,.0f}",
        "others": ", ".join(
            f"{visible(label)} {chance:.2f}"
            for label, chance in zip(labels, chances.tolist(), strict=True)
        ),
    }


def _bar(value: float, largest: float) -> dict[str, str]:
    """A bar from the middle of its room to one side, in percent of the width."""
    width = HALF * abs(value) / largest
    return {
        "x": f"{50.0 if value >= 0 else 50.0 - width:.2f}",
        "width": f"{width:.2f}",
        "side": "pos" if value >= 0 else "neg",
    }


def _questions(
    nodes: Sequence[NodeView],
    leaf: Callable[[NodeView], dict[str, Any]],
    index: int = 0,
    lead: str = "",
) -> list[dict[str, Any]]:
    """Questions from a node on, in order.

    Where one way ends at once, its answer stands in the question's line and the other way goes on
    below it; only where both go on are there branches.
    """
    rows: list[dict[str, Any]] = []
    node = nodes[index]
    while node.question is not None:
        row: dict[str, Any] = {
            "lead": lead,
            "question": visible(node.question),
            "ends": None,
            "branches": [],
        }
        rows.append(row)
        ways = {"yes": node.yes, "no": node.no}
        ends = [way for way, place in ways.items() if nodes[place].question is None]
        if not ends:
            row["branches"] = [_questions(nodes, leaf, place, way) for way, place in ways.items()]
            return rows
        row["ends"] = {"way": ends[0], **leaf(nodes[ways[ends[0]]])}
        lead = "no" if ends[0] == "yes" else "yes"
        node = nodes[ways[lead]]
    return [*rows, {"lead": lead, "question": None, **leaf(node)}]
