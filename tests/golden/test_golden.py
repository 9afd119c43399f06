"""Files of every stored form, as the first version wrote them: they read, and decide, as they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import whence
from whence.students.certificate.certificate import Certificate
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
