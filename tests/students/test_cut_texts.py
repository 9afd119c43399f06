"""A teacher that reads only the start of long texts, from its questions to the stored student."""

import json

import numpy as np
import pytest

from whence.students.certificate.check_options import Checks
from whence.students.data.query_budget import Budget
from whence.students.distill import distill
from whence.students.export.model_file import digest
from whence.students.export.store import load_student
from whence.students.families.rule_list import RuleList
from whence.students.routing.router import Router
from whence.students.teacher.backends import Replies
from whence.students.teacher.teacher import Teacher

READS = 150


class Start:
    """Says ``reject`` of a text with 'late' among its first 150 characters."""

    gives, labels, ref, fingerprint = "label", ("accept", "reject"), "start", "start 1"

    def __init__(self):
        self.asked = 0

    def answer(self, texts):
        self.asked += len(texts)
        rejects = [int("late" in text[:READS].split()) for text in texts]
        read = np.array([min(len(text), READS) for text in texts], dtype=np.int64)
        return Replies(np.eye(2)[rejects], read)


def mixed(count, seed):
    """Half of short words, of which it reads all, and half of long ones, with 'late' anywhere."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        stem = "averylongword" if rng.random() < 0.5 else ""
        own = [f"{stem}{k:03d}" for k in rng.integers(0, 150, 30)]
        if rng.random() < 0.4:
            own[int(rng.integers(30))] = "late"
        found.append(" ".join(own))
    return found


@pytest.fixture(scope="module")
def found():
    return distill(
        Teacher(Start()),
        mixed(900, seed=0),
        students=[RuleList(rules=2)],
        budget=Budget(edits=0.0, ngrams=0.0, flips=0, again=0, attributions=0, parting=0),
        checks=Checks(refits=0, topics=0, curve=0, permutations=0),
    )


def test_the_student_answers_only_what_the_teacher_reads_whole(found):
    assert found.applicability_domain.cut_from > READS
    teacher, texts = Teacher(Start()), mixed(600, seed=1)
    made = found.router(teacher, audit_rate=0.0).decide_many(texts)
    truth = teacher.ask(texts).top
    long = [len(text) >= found.applicability_domain.cut_from for text in texts]
    assert 250 < sum(long) < 350
    assert [r.by for r in made] == ["teacher" if own else "student" for own in long]
    assert all(r.label == teacher.labels[top] for r, top in zip(made, truth, strict=True))
    assert made[long.index(True)].reason.startswith("the teacher may read a part only")
    # Given all of a long text, the student says what the teacher does not.
    alone = found.student.predict(texts)
    parted = [i for i, own in enumerate(long) if own and alone[i] != teacher.labels[truth[i]]]
    assert len(parted) > 50


def test_what_is_stored_says_so(found, tmp_path):
    found.save(tmp_path, date="2026-01-31")
    said = f"Texts from {found.applicability_domain.cut_from:,} characters on were read in part by the teacher"
    assert said in (tmp_path / "README.md").read_text("utf-8")
    provenance = json.loads((tmp_path / "provenance.json").read_text("utf-8"))
    assert provenance["applicability_domain"]["cut_from"] == found.applicability_domain.cut_from
    assert provenance["parts"]["certify"]["texts"] == len(found.split.certify)
    router = Router.from_json(
        json.loads((tmp_path / "router.json").read_text("utf-8")),
        student=load_student(tmp_path),
        teacher=Teacher(Start()),
    )
    assert router.applicability_domain == found.applicability_domain


def serve(folder):
    """Decide some texts with a saved router, and save what it has seen."""
    path = folder / "router.json"
    router = Router.from_json(
        path.read_bytes(), student=load_student(folder), teacher=Teacher(Start())
    )
    router.decide_many(mixed(200, seed=2))
    assert router.counts.student > 0
    router.state.save(path)


@pytest.mark.parametrize("version", [1, 2])
def test_audits_outlive_another_run_that_gives_the_same_student(found, tmp_path, version):
    """Also where the folder was written by the version before, under the earlier name of the family."""
    found.save(tmp_path, date="2026-01-31")
    serve(tmp_path)
    path = tmp_path / "model.json"
    tree = json.loads(path.read_text("utf-8"))
    assert tree["schema_version"] == 3
    if version == 1:
        tree |= {"schema_version": 1, "kind": "rules"}
        # A folder of that version has no manifest.
        (tmp_path / "manifest.json").unlink()
        path.write_text(json.dumps(tree | {"sha256": digest(tree)}), "utf-8")
    seen = (tmp_path / "router.json").read_bytes()
    found.save(tmp_path, date="2026-01-31")
    assert (tmp_path / "router.json").read_bytes() == seen
    assert json.loads(path.read_text("utf-8"))["schema_version"] == 3


@pytest.mark.parametrize("damaged", ["another student", "no JSON", "no file"])
def test_audits_of_another_student_are_not_taken_over(found, tmp_path, damaged):
    found.save(tmp_path, date="2026-01-31")
    new = (tmp_path / "router.json").read_bytes()
    serve(tmp_path)
    assert (tmp_path / "router.json").read_bytes() != new
    path = tmp_path / "model.json"
    tree = json.loads(path.read_text("utf-8"))
    if damaged == "another student":
        tree["labels"] = ["no", "yes"]
        path.write_text(json.dumps(tree | {"sha256": digest(tree)}), "utf-8")
    elif damaged == "no JSON":
        path.write_text("{", "utf-8")
    else:
        path.unlink()
    found.save(tmp_path, date="2026-01-31")
    assert (tmp_path / "router.json").read_bytes() == new
