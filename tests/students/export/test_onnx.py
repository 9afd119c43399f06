import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.students import stored, worlds

from whence.core.errors import CapabilityError, InputError, WriteError
from whence.students.export.model_file import digest
from whence.students.export.onnx import PROBES, export_onnx
from whence.students.families.rule_list import FittedRuleList
from whence.students.families.scorecard import FittedScorecard
from whence.students.families.sparse_linear import FittedSparseLinear
from whence.students.features.tokenizer import VERSION, words
from whence.students.features.vectorizer import Feature, Features, ReadableFeatures
from whence.students.fitting.logistic import Linear

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CASES = [
    (k, n)
    for k in ("sparse-linear", "additive", "scorecard", "rule-list", "decision-tree", "tree-sum")
    for n in (2, 4)
]
CASES.remove(("scorecard", 4))

PIECES = [*worlds.SIGNALS, "word1", "word3", "NOT", ",", "’s", "\r\n", "é", "ſ", "👍", "\x00", "_"]


class Running:
    """The stored model, run by somebody who has its file and our words."""

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def __call__(self, text):
        given = {"tokens": np.array(words(text), dtype=object)}
        label, chances = self.session.run(["label", "probabilities"], given)
        return label[0], chances


def same(student, path, texts):
    run = Running(path)
    for text, label, due in zip(
        texts, student.predict(texts), student.predict_proba(texts), strict=True
    ):
        said, chances = run(text)
        assert said == label
        assert chances == pytest.approx(due, rel=0, abs=1e-12)


def linear(features, weights):
    return FittedSparseLinear(
        ("no", "yes"), features, Linear(np.arange(len(weights)), weights, np.array([0.0, 0.1]))
    )


@pytest.mark.parametrize(("kind", "labels"), CASES)
def test_it_answers_as_the_student(kind, labels, tmp_path):
    student = stored.fitted(kind, labels)
    path = export_onnx(student, tmp_path / "model.onnx", worlds.texts(3))
    same(student, path, [*worlds.texts(200, seed=6), *stored.ODD, *PIECES])
    assert max(len(words(text)) for text in stored.ODD) > 10_000


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    return [
        (student, Running(export_onnx(student, folder / f"{kind}.onnx", ["late"])))
        for kind, student in ((kind, stored.fitted(kind, labels)) for kind, labels in CASES[::2])
    ]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(PIECES), max_size=20), st.text(max_size=10))
def test_of_any_text(written, pieces, tail):
    text = " ".join(pieces) + tail
    for student, run in written:
        said, chances = run(text)
        assert said == student.predict([text])[0]
        assert chances == pytest.approx(student.predict_proba([text])[0], rel=0, abs=1e-12)


def test_beginnings_ends_and_lists(tmp_path):
    lexicons = {"debt": ("Loan", "owed", "two words"), "none": ("a b",)}
    spec = ReadableFeatures(longest=3, position=True, lexicons=lexicons)
    kept = [
        Feature("lexicon", "debt", 2), Feature("ngram", "a b c"), Feature("first", "late"),
        Feature("last", "late"), Feature("lexicon", "debt"), Feature("ngram", "late"),
        Feature("lexicon", "none"), Feature("last", "x"), Feature("ngram", "b c"),
    ]  # fmt: skip
    weights = np.random.default_rng(0).normal(size=(len(kept), 2))
    student = linear(Features(spec, kept), weights)
    path = export_onnx(student, tmp_path / "model.onnx", ["late"])
    filler = " ".join(f"f{i}" for i in range(9))
    texts = ["loan", "loan LOAN", "owed loan", "two words", "a b", "a b c", "b c", "late", "", "x"]
    texts += [f"{filler} late", f"late {filler}", f"{filler} a late", f"late a {filler}"]
    texts += [f"{filler} x {filler} late {filler}", "x late " + filler + " loan owed"]
    same(student, path, texts)
    assert len({row[0] for row in student.predict_proba(texts).tolist()}) > 8


def test_large_linear_students(tmp_path):
    features = Features(ReadableFeatures(), [Feature("ngram", f"word{j}") for j in range(3000)])
    student = linear(features, np.random.default_rng(0).normal(size=(3000, 2)))
    same(student, export_onnx(student, tmp_path / "m.onnx", ["word5"]), worlds.texts(40))


def test_students_of_nothing(tmp_path):
    empty = Features(stored.PLAIN, [])
    rules = [rule for rule in stored.fitted("rule-list").rules if not rule.literals]
    tree = stored.fitted("decision-tree")
    card = FittedScorecard(
        ("a", "b"), empty, np.zeros(0, dtype=np.int64), np.array([0]), np.array([0.3])
    )
    alone = type(tree)(tree.labels, empty, [n for n in tree.nodes if n.column is None][:1])
    lines = linear(empty, np.zeros((0, 2)))
    for student in (FittedRuleList(("a", "b"), empty, rules), card, alone, lines):
        same(student, export_onnx(student, tmp_path / "model.onnx", ["late"]), ["", "late"])


def test_what_the_model_says_of_itself(tmp_path):
    student = stored.fitted("rule-list", 4)
    model = onnx.load(export_onnx(student, tmp_path / "model.onnx", ["late"]))
    notes = {note.key: note.value for note in model.metadata_props}
    assert [notes[f"label_{i}"] for i in range(4)] == list(student.labels)
    assert notes["kind"] == "rule-list"
    assert notes["student_sha256"] == digest(student.to_json())
    assert f"tokenizer version {VERSION}" in model.doc_string
    assert [o.version for o in model.opset_import] == [17]


class Shifted(FittedSparseLinear):
    """Says something else than its weights, on one text."""

    def predict_proba(self, texts, read_to=None):
        chances = super().predict_proba(texts, read_to)
        for row, text in enumerate(texts):
            if text == "loan":
                chances[row] = np.roll(chances[row], 1) if self.turned else chances[row] + [2e-5, 0]
        return chances


@pytest.mark.parametrize("turned", [False, True])
def test_one_answer_that_differs_and_nothing_is_written(turned, tmp_path):
    student = Shifted.from_json(stored.fitted("sparse-linear").to_json())
    student.turned = turned
    path = tmp_path / "model.onnx"
    with pytest.raises(CapabilityError, match=r"not written: on text 1 \('loan'\)"):
        export_onnx(student, path, ["late", "loan", "fraud"])
    assert list(tmp_path.iterdir()) == []
    assert export_onnx(student, path, ["late", "fraud"]) == path


def test_probes_are_compared_though_not_given(tmp_path):
    class Odd(FittedSparseLinear):
        def predict_proba(self, texts, read_to=None):
            chances = super().predict_proba(texts, read_to)
            return np.array([c + 0.1 * (t == "") for c, t in zip(chances, texts, strict=True)])

    assert max(len(words(text)) for text in PROBES) > 10_000
    with pytest.raises(CapabilityError, match=r"on text 1 \(''\)"):
        export_onnx(
            Odd.from_json(stored.fitted("sparse-linear").to_json()), tmp_path / "m", ["late"]
        )


def test_refusals(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(InputError, match="no text given"):
        export_onnx(stored.fitted("decision-tree"), path, [])
    with pytest.raises(InputError, match=r"text 1 .* surrogate"):
        export_onnx(stored.fitted("decision-tree"), path, ["late", "\ud800"])
    with pytest.raises(CapabilityError, match="kind 'prototypes' is not written as an ONNX model"):
        export_onnx(stored.fitted("prototypes"), path, ["late"])
    denied = linear(Features(stored.RICH, [Feature("denied", "late")]), np.ones((1, 2)))
    with pytest.raises(CapabilityError, match=re.escape("1 features ask what a negation reaches")):
        export_onnx(denied, path, ["late"])
    number = linear(Features(stored.PLAIN, [Feature("amount", "", 1e4)]), np.ones((1, 2)))
    with pytest.raises(
        CapabilityError,
        match=re.escape("numbers of a text, which no ONNX operator reads: amount > 10,000"),
    ):
        export_onnx(number, path, ["late"])
    half = linear(Features(stored.PLAIN, [Feature("ngram", "\ud800")]), np.ones((1, 2)))
    with pytest.raises(CapabilityError, match="half a surrogate"):
        export_onnx(half, path, ["late"])
    with pytest.raises(WriteError):
        export_onnx(stored.fitted("decision-tree"), tmp_path / "missing" / "model.onnx", ["late"])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CapabilityError, match=re.escape("pip install 'whence[onnx]'")):
        export_onnx(stored.fitted("decision-tree"), tmp_path / "model.onnx", ["late"])
