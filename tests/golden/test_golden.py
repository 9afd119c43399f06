"""Files of every stored form, as the first version wrote them: they read, and decide, as they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import whence
from whence.students.certificate.certificate import Certificate
from whence.students.export.model_file import digest
from whence.students.export.runtime import Runtime
from whence.students.export.store import load_student
from whence.students.routing.router import Router
from whence.students.teacher.offline import OfflineTeacher

FOLDER = Path(__file__).parent / "version-1"
STUDENTS = sorted(FOLDER.glob("student-*"))
TEXTS = json.loads((FOLDER / "texts.json").read_text())


def numbers(folder):
    """What the chosen student and those beside it answered when they were stored."""
    return [
        np.array(value)
        for value in json.loads((folder / "probabilities.json").read_text()).values()
    ]


@pytest.mark.parametrize("folder", STUDENTS, ids=lambda path: path.name)
def test_a_student_decides_as_it_did(folder):
    student = load_student(folder)
    answers = student.predict_proba(TEXTS)
    assert any(np.array_equal(answers, old) for old in numbers(folder))
    runtime = Runtime.load(folder)
    for text, row in zip(TEXTS, answers, strict=True):
        assert runtime.decide(text).probabilities == pytest.approx(row, abs=1e-12)


@pytest.mark.parametrize("folder", STUDENTS, ids=lambda path: path.name)
def test_a_certificate_reads(folder):
    tree = json.loads((folder / "certificate.json").read_text())
    certificate = Certificate.from_json(tree)
    assert certificate.verdict == tree["verdict"]
    assert certificate.agreement.hits == tree["agreement"]["hits"]
    assert len(certificate.lifts) == len(tree["lifts"])


@pytest.mark.parametrize("folder", STUDENTS, ids=lambda path: path.name)
def test_a_router_reads(folder):
    tree = json.loads((folder / "router.json").read_text())
    student = load_student(folder)
    router = Router.from_json(
        tree, student=student, teacher=OfflineTeacher("rule", tree["certified"], student.labels)
    )
    assert router.threshold == tree["threshold"]
    assert len(router.vetoes) == len(tree["vetoes"])
    router.decide(TEXTS[0])


@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("attribution-*.json")), ids=lambda path: path.stem
)
def test_an_attribution_reads(path):
    record = whence.read_record(path)
    tree = json.loads(path.read_text())
    assert record.scores.ravel().tolist() == tree["scores"]["data"]
    assert [feature.text for feature in record.segmentation.features] == [
        feature["text"] for feature in tree["segmentation"]["features"]
    ]


def test_an_attention_record_reads():
    attention = whence.Attention.load(FOLDER / "attention-0")
    tree = json.loads((FOLDER / "attention-0" / "attention.json").read_text())
    assert attention.record.kind == tree["kind"] == "attention"
    assert len(attention.record.layers) == len(tree["layers"])


@pytest.mark.parametrize("folder", STUDENTS, ids=lambda path: path.name)
def test_names_with_half_a_surrogate_pair_are_read_as_its_number(folder, tmp_path):
    """The first version stored them; records of today refuse them."""
    tree = json.loads((folder / "model.json").read_text())
    tree["labels"] = [f"{label}\ud800" for label in tree["labels"]]
    (tmp_path / "model.json").write_text(json.dumps({**tree, "sha256": digest(tree)}))
    student = load_student(tmp_path)
    router = json.loads((folder / "router.json").read_text())
    router["labels"] = tree["labels"]
    teacher = OfflineTeacher("rule", router["certified"], student.labels)
    again = Router.from_json(json.dumps(router), student=student, teacher=teacher)
    assert again.state.labels == tuple(f"{label[:-1]}\\ud800" for label in student.labels)
    assert Router.from_json(again.to_json(), student=student, teacher=teacher).state == again.state
    certificate = json.loads((folder / "certificate.json").read_text())
    certificate["because"] += "\ud800"
    assert Certificate.from_json(json.dumps(certificate)).because.endswith("\\ud800")
