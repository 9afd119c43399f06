"""What every family of readable students must hold: run each of ``CHECKS`` on the class of a family.

As scikit-learn's ``check_estimator``: whoever writes a family runs these and needs no other test to
know that it fits the catalogue, the stored form, the runtime and the exports.
"""

import functools
import json
import sqlite3
import tempfile

import numpy as np
import pytest
from tests.students import worlds

from whence.app.distill.student import student_view
from whence.core.errors import CapabilityError, InputError, OptionError
from whence.core.registry import slug
from whence.students.export.runtime import Runtime
from whence.students.export.sql import as_sql
from whence.students.export.store import load_student, save_student
from whence.students.export.svg import as_svg
from whence.students.families.registry import FAMILIES, FITTED, student_by_name
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.fitting.logistic import softmax

__all__ = ["CHECKS"]

LABELS = ("accept", "reject")
ASKED = [*worlds.texts(60, seed=9), "", "late", "a text of no known word"]


@functools.cache
def lesson(count=300):
    texts = worlds.texts(count)
    features = ReadableFeatures(longest=1).learn(texts)
    targets = 0.1 + 0.8 * worlds.one_hot([worlds.rule(text) for text in texts], LABELS)
    return texts, features, features.table(texts), targets


def learnt(student, targets=None, weights=None, labels=LABELS):
    texts, features, table, answers = lesson()
    return student.learn(
        table, answers if targets is None else targets, features=features, labels=labels,
        weights=weights, texts=texts,
    )  # fmt: skip


@functools.cache
def fitted(cls):
    return learnt(cls())


def check_one_name(cls):
    """File, class, stored kind and catalogue share one name; older names lead to the same class."""
    assert cls.__module__.rpartition(".")[2] == cls.family().replace("-", "_")
    assert cls.family() == slug(cls.__name__)
    assert FAMILIES[cls.family()] is cls
    student = cls()
    assert student.name.startswith(f"{cls.family()}-")
    assert student_by_name(student.name) == student
    assert student_by_name(cls.family()) == student
    for alias in cls.aliases:
        assert student_by_name(student.name.replace(cls.family(), alias)) == student
    kind = fitted(cls).kind
    assert FITTED[kind] is type(fitted(cls))
    assert type(fitted(cls)).__name__ == "Fitted" + FAMILIES[kind].__name__


def check_options(cls):
    """An option or size that does not exist is refused, and the message names one that does."""
    with pytest.raises(OptionError, match="option of"):
        FAMILIES.make(cls.family(), {"nonsense": 1})
    with pytest.raises(OptionError, match="rule-list"):
        student_by_name(f"{cls.family()}-many")
    with pytest.raises(OptionError):
        cls.of_size("9x9x9")


def check_same_data_same_bits(cls):
    assert json.dumps(learnt(cls()).to_json()) == json.dumps(fitted(cls).to_json())


def check_weights(cls):
    """Weights count by their ratios, and a text of weight 0 does not count."""
    texts, _, _, targets = lesson()
    twice = learnt(cls(), weights=np.full(len(texts), 2.0))
    assert twice.to_json() == fitted(cls).to_json()
    contrary = np.vstack([targets[:200], targets[200:, ::-1]])
    student = learnt(cls(), contrary, np.repeat([1.0, 0.0], [200, 100]))
    truth = np.array([worlds.rule(text) for text in texts[200:]])
    assert (truth == student.predict(texts[200:])).mean() > 0.6


def check_bad_training_sets(cls):
    texts, _, _, targets = lesson()
    for bad in (np.full_like(targets, np.nan), np.ones_like(targets)):
        with pytest.raises(InputError, match="probabilities"):
            learnt(cls(), bad)
    with pytest.raises(InputError, match="one row a text"):
        learnt(cls(), targets[:-1])
    with pytest.raises(OptionError, match="weights"):
        learnt(cls(), weights=-np.ones(len(texts)))


def check_labels(cls):
    """Three labels are learnt, or refused before anything is fitted."""
    names = ("accept", "refer", "reject")
    texts, _, _, targets = lesson()
    middle = np.array([0.8 * ("loan" in text.split()) for text in texts])
    three = np.column_stack([targets[:, 0] * (1 - middle), middle, targets[:, 1] * (1 - middle)])
    refusal = refusal_of(lambda: cls().check(names))
    if refusal:
        assert "label" in refusal
        return
    student = learnt(cls(), three, labels=names)
    chances = student.predict_proba(ASKED)
    assert chances.shape == (len(ASKED), 3)
    assert chances.sum(axis=1) == pytest.approx(np.ones(len(ASKED)))


def check_columns(cls):
    """It holds columns of the features it was given, and decides the same from a wider table."""
    texts, features, table, _ = lesson()
    student = fitted(cls)
    columns = student.features.columns_in(features)
    assert len(set(columns.tolist())) == len(student.features)
    again = student.probabilities(table[:, columns].tocsr())
    assert np.array_equal(again, student.predict_proba(texts))
    counted = student.counted(table[:, columns].tocsr())
    assert np.array_equal(counted.predict_proba(texts), student.predict_proba(texts))


def check_reasons(cls):
    """Base and shares add up to the total, and the total is what it decided by."""
    student = fitted(cls)
    for text in ASKED:
        reasons = student.explain(text)
        chances = student.predict_proba([text])[0]
        added = reasons.base + sum((e.shares for e in reasons.evidence), np.zeros(2))
        assert added == pytest.approx(reasons.total)
        assert reasons.probabilities == pytest.approx(chances)
        assert reasons.label == student.predict([text])[0]
        if reasons.unit == "logit":
            assert softmax(reasons.total[None])[0] == pytest.approx(chances)
        if reasons.unit == "probability":
            assert reasons.total == pytest.approx(chances)
        for piece in reasons.evidence:
            assert all(0 <= start < end <= len(text) for start, end in piece.spans)


def check_reading(cls):
    """What a person reads of it is there: a cost, a text, and a view that the page can draw."""
    student = fitted(cls)
    assert student.reading_cost.total > 0
    assert any(word in student.to_text() for word in worlds.SIGNALS)
    shown = student_view(student)
    assert shown["labels"] == list(LABELS)
    content = json.dumps({k: v for k, v in shown.items() if k != "picture"})
    assert any(word in content for word in worlds.SIGNALS)
    weights = student.weights_by_feature()
    assert weights is None or weights.shape == (len(student.features), 2)
    assert student.quotes_texts == any(text in student.to_text() for text in lesson()[0])


def check_store_and_runtime(cls):
    """Read back it decides bit for bit as before; its runtime within 1e-12, with the same label."""
    student = fitted(cls)
    with tempfile.TemporaryDirectory() as folder:
        save_student(student, folder)
        again, runtime = load_student(folder), Runtime.load(folder)
    assert type(again) is type(student)
    assert again.to_json() == student.to_json()
    chances = student.predict_proba(ASKED)
    assert np.array_equal(again.predict_proba(ASKED), chances)
    for text, row, label in zip(ASKED, chances, student.predict(ASKED), strict=True):
        decision = runtime.decide(text)
        assert decision.label == label
        assert decision.probabilities == pytest.approx(row, rel=0, abs=1e-12)


def check_exports(cls):
    """Each form is written and right, or refused by a message that names the kind and a way out."""
    student = fitted(cls)
    refusal = refusal_of(lambda: as_sql(student))
    if refusal:
        assert f"kind {student.kind!r} is not written as SQL; save it as text" in refusal
    else:
        assert answers_of(as_sql(student), ASKED) == student.predict(ASKED)
    refusal = refusal_of(lambda: as_svg(student))
    if refusal:
        assert "a decision tree can be drawn" in refusal
        assert student.kind in refusal
    else:
        assert "late" in as_svg(student)


def refusal_of(call):
    """The message of the refusal; ``None`` where the call goes through."""
    try:
        call()
    except CapabilityError as error:
        return str(error)
    return None


def answers_of(query, texts):
    db = sqlite3.connect(":memory:")
    try:
        db.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT)")
        db.executemany("INSERT INTO texts VALUES (?, ?)", enumerate(texts))
        done = db.execute(query)
        place = [column[0] for column in done.description].index("label")
        return [row[place] for row in sorted(done.fetchall())]
    finally:
        db.close()


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
