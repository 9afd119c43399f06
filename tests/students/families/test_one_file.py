"""A family of students is one file: nothing else is touched, and everything finds it."""

import csv
import importlib
import json
import sys
from pathlib import Path

import pytest
from tests.students import worlds
from tests.students.families.battery import CHECKS
from typer.testing import CliRunner

import whence.students.families
from whence.app.cli.main import app
from whence.app.distill.student import student_view
from whence.students.export.runtime import Runtime
from whence.students.export.store import load_student
from whence.students.families.registry import FAMILIES, FITTED, student_by_name

TOY = '''
"""One word decides: with it, one answer; without it, another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whence.students.families.base import (
    Evidence, Fitted, ReadingCost, Student, feature_subset, training_weights,
)
from whence.students.features.vectorizer import Features

__all__ = ["FittedOneWord", "OneWord"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OneWord(Student):
    """The word that, asked alone, leaves the least squared error."""

    size_field = "least_texts"

    least_texts: int = 5

    def fit(self, table, targets, *, features, labels, weights=None):
        share = training_weights(table, targets, features, labels, weights)
        has = table.toarray() > 0
        best = (np.inf, 0, None)
        for column in range(has.shape[1]):
            sides = [has[:, column], ~has[:, column]]
            if min(side.sum() for side in sides) < self.least_texts:
                continue
            means = [np.average(targets[s], axis=0, weights=share[s] + 1e-12) for s in sides]
            error = sum(
                (share[s, None] * (targets[s] - mean) ** 2).sum()
                for s, mean in zip(sides, means)
            )
            if error < best[0]:
                best = (error, column, means)
        return FittedOneWord(labels, feature_subset(features, np.array([best[1]])), *best[2])


class FittedOneWord(Fitted):
    """The word and its two answers."""

    def __init__(self, labels, features, there, absent):
        super().__init__(labels, features)
        self.there, self.absent = there, absent

    def probabilities(self, table):
        return np.where(table.toarray() > 0, self.there, self.absent)

    @property
    def reading_cost(self):
        return ReadingCost(self.features.cost([0]), 2 * (len(self.labels) - 1))

    def explain(self, text):
        places = self.features.spans(text).get(0, [])
        share = self.there - self.absent
        evidence = [Evidence(self.features.describe(0), tuple(places), share)] if places else []
        return self._reasons(text, self.absent, evidence, "probability")

    def to_json(self):
        return {
            "kind": self.kind, "labels": list(self.labels), "features": self.features.to_json(),
            "there": self.there.tolist(), "absent": self.absent.tolist(),
        }

    @classmethod
    def from_json(cls, tree):
        answers = np.array(tree["there"]), np.array(tree["absent"])
        return cls(tree["labels"], Features.from_json(tree["features"]), *answers)

    def to_text(self):
        answers = [self.labels[int(a.argmax())] for a in (self.there, self.absent)]
        return f"with {self.features.describe(0)}: {answers[0]}; without: {answers[1]}"
'''
MODULE = "whence.students.families.one_word"


@pytest.fixture
def family(tmp_path, monkeypatch):
    """The class of a family whose one file was put into the folder of families."""
    (tmp_path / "one_word.py").write_text(TOY)
    places = [*whence.students.families.__path__, str(tmp_path)]
    monkeypatch.setattr(whence.students.families, "__path__", places)
    importlib.invalidate_caches()
    FAMILIES.reload()
    FITTED.reload()
    yield FAMILIES["one-word"]
    monkeypatch.undo()
    sys.modules.pop(MODULE, None)
    FAMILIES.reload()
    FITTED.reload()


def test_it_is_found_by_name_and_gone_without_its_file(family):
    assert student_by_name("one-word-7") == family(least_texts=7)
    assert student_by_name("one-word-7").name == "one-word-7"
    assert FITTED["one-word"].__name__ == "FittedOneWord"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_it_passes_the_battery(check, family):
    check(family)


def test_its_page_of_reference_is_asked_for(family):
    page = (Path(__file__).parents[3] / "docs/reference/students.md").read_text("utf-8")
    missing = [c for c in FAMILIES.values() if f"::: {c.__module__}.{c.__name__}\n" not in page]
    assert missing == [family]


@pytest.fixture
def folder(family, tmp_path, monkeypatch):
    """What ``whence distill --students one-word`` writes of it."""
    del family
    (tmp_path / "toy_teacher.py").write_text(
        "def labels(texts):\n    return ['reject' if 'fraud' in t.split() else 'accept' for t in texts]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in worlds.texts(420))])
    arguments = [
        "distill", tmp_path / "texts.csv", "--model", "python:toy_teacher:labels",
        "--gives", "label", "--version", "1", "--label", "accept", "--label", "reject",
        "--students", "one-word", "--no-checks", "--no-edits", "--quiet", "-o", tmp_path / "out",
    ]  # fmt: skip
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    sys.modules.pop("toy_teacher", None)
    assert result.exit_code == 0, result.output
    assert "one-word-5" in result.output
    return tmp_path / "out"


def test_it_is_distilled_stored_run_and_shown(folder):
    student, runtime = load_student(folder), Runtime.load(folder)
    assert type(student).__name__ == "FittedOneWord"
    assert student.to_text() == "with 'fraud': reject; without: accept"
    for text in ("a fraud", "late", ""):
        assert runtime.decide(text).label == student.predict([text])[0]
    assert student_view(student)["text"] == student.to_text()
    assert "with 'fraud': reject" in (folder / "rules.md").read_text()
    assert "with &#39;fraud&#39;: reject" in (folder / "report.html").read_text()
    card = (folder / "README.md").read_text()
    for file in ("rules.sql", "tree.svg", "model.onnx"):
        assert not (folder / file).exists()
        assert f"| `{file}` |" in card
    assert "a student of kind 'one-word' is not written as SQL; save it as text" in card
    assert json.loads((folder / "model.json").read_text())["kind"] == "one-word"
