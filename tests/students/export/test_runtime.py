import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.students import stored, worlds

from whence.core.errors import RecordError
from whence.students.export.runtime import Runtime
from whence.students.export.store import save_student
from whence.students.families.rule_list import FittedRuleList
from whence.students.features.vectorizer import Features

CASES = [
    (kind, labels, rich)
    for kind in stored.STUDENTS
    for labels in (2, 4)
    for rich in (False, True)
    if kind != "scorecard" or labels == 2
]

HEAVY = {"scipy", "torch", "transformers", "pydantic", "tokenizers", "jaxtyping", "whence.core"}

PIECES = [
    *worlds.SIGNALS,
    "word1",
    "word3",
    "NOT",
    ",",
    "’s",
    "\r\n",
    "é",
    "ſ",
    "👍",
    "\u200f",
    "_",
]


def same(student, runtime, texts):
    chances = student.predict_proba(texts)
    for text, wanted, label in zip(texts, chances, student.predict(texts), strict=True):
        decision = runtime.decide(text)
        assert decision.label == label
        assert decision.probabilities == pytest.approx(wanted, rel=0, abs=1e-12)


@pytest.mark.parametrize(("kind", "labels", "rich"), CASES)
def test_it_decides_as_the_fitted_student(kind, labels, rich, tmp_path):
    student = stored.fitted(kind, labels, rich)
    save_student(student, tmp_path)
    texts = [*worlds.texts(200, seed=8), *stored.ODD]
    same(student, Runtime.load(tmp_path), texts)
    assert len(set(student.predict(texts))) > 1


@given(st.lists(st.sampled_from(PIECES), max_size=20), st.text(max_size=20))
def test_of_any_text(pieces, tail):
    for kind, labels, rich in CASES[1::3]:
        student = stored.fitted(kind, labels, rich)
        same(student, Runtime(student.to_json()), [" ".join(pieces) + tail])


def test_ties_are_decided_alike():
    """Words of no weight for either label: the first label, however the sum was rounded."""
    student = stored.fitted("sparse-linear")
    tree = student.to_json()
    rng = np.random.default_rng(0)
    half = rng.integers(-3, 4, size=len(student.features)) / 10
    tree.update(weights=np.stack([-half, half], axis=1).tolist(), intercept=[0.0, 0.0])
    tied = type(student).from_json(tree)
    texts = worlds.texts(400, seed=2)
    chances = tied.predict_proba(texts)
    assert (np.abs(chances[:, 0] - 0.5) < 1e-9).sum() > 5
    same(tied, Runtime(tree), texts)


def test_what_was_found_is_named():
    student = stored.fitted("rule-list")
    found = Runtime(student.to_json()).decide("late, fraud").found
    assert "'late'" in found
    assert len(found) == len(student.features.of("late, fraud"))


def test_a_decision_may_be_changed_without_changing_the_student():
    for kind in stored.STUDENTS:
        runtime = Runtime(stored.fitted(kind).to_json())
        for text in ("", "late fraud"):
            before = runtime.decide(text).probabilities.copy()
            runtime.decide(text).probabilities[:] = -1
            assert np.array_equal(runtime.decide(text).probabilities, before)


def test_a_student_of_no_feature():
    features = Features(stored.PLAIN, [])
    rules = [rule for rule in stored.fitted("rule-list").rules if not rule.literals]
    runtime = Runtime(FittedRuleList(("a", "b"), features, rules).to_json())
    assert runtime.decide("late").found == ()


def test_a_kind_without_a_runtime():
    with pytest.raises(
        RecordError, match="'opaque' has no runtime; these have: additive, decision-tree"
    ):
        Runtime({"kind": "opaque"})


def test_it_imports_numpy_and_little_more(tmp_path):
    """One process for all kinds: what one of them imports stays imported."""
    for kind in stored.STUDENTS:
        save_student(stored.fitted(kind), tmp_path / kind)
    code = (
        "import sys, whence.students.export.runtime as r\n"
        f"for kind in {list(stored.STUDENTS)}:\n"
        f"    d = r.Runtime.load({str(tmp_path)!r} + '/' + kind).decide('late fraud')\n"
        f"    print(kind, d.label, sorted({HEAVY} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    labels = {kind: stored.fitted(kind).predict(["late fraud"])[0] for kind in stored.STUDENTS}
    assert done.stdout.splitlines() == [f"{kind} {label} []" for kind, label in labels.items()]
