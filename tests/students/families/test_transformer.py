"""The small transformer as a student: what it gives, refuses, and writes to disk."""

import json

import numpy as np
import pytest
from scipy import sparse
from tests.models.orders import FILLERS, LABELS, ordered
from tests.zoo import families

import whence
from whence.core.errors import InputError, OptionError, TextTooLongError, WriteError
from whence.students.families.sparse_linear import SparseLinear
from whence.students.families.transformer import FittedTransformer, Transformer
from whence.students.features.vectorizer import ReadableFeatures

TINY = Transformer(layers=1, hidden=16, heads=2, epochs=2, vocabulary=300, tokens=32, batch=8)


def fitted(student, count=40, seed=0, **more):
    texts, targets = ordered(count, seed=seed)
    features = ReadableFeatures(least_texts=1).learn(texts)
    return student.fit(
        features.table(texts), targets, features=features, labels=LABELS, texts=texts, **more
    )


@pytest.fixture(scope="module")
def student():
    return fitted(TINY)


def test_it_is_better_than_chance_on_a_rule_of_word_order_where_a_sum_of_words_is_not():
    texts, targets = ordered(400)
    new, aims = ordered(200, seed=1)
    spec = ReadableFeatures(longest=1, least_texts=1)
    features = spec.learn(texts)
    table = features.table(texts)
    small = Transformer(
        layers=1, hidden=32, heads=2, epochs=10, patience=10, vocabulary=300, tokens=16, batch=16,
        rate=8e-3, dropout=0.0,
    )  # fmt: skip
    compact = small.fit(table, targets, features=features, labels=LABELS, texts=texts)
    linear = SparseLinear(features=None).fit(table, targets, features=features, labels=LABELS)
    wanted = aims.argmax(axis=1)
    follows = (compact.predict_proba(new).argmax(axis=1) == wanted).mean()
    summed = (linear.predict_proba(new).argmax(axis=1) == wanted).mean()
    # Three standard errors of 200 coins.
    assert follows > 0.5 + 3 * np.sqrt(0.25 / 200)
    assert abs(summed - 0.5) < 3 * np.sqrt(0.25 / 200)
    assert follows > summed


def test_what_is_saved_loads_as_a_classifier_with_the_same_answers(student, tmp_path):
    folder = student.save(tmp_path / "small")
    names = {file.name for file in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    loaded = whence.load(folder, device="cpu")
    assert loaded.task == "classification"
    assert loaded.labels == ("after", "before")
    new, _ = ordered(30, seed=3)
    again = FittedTransformer(loaded)
    assert np.array_equal(again.predict_proba(new), student.predict_proba(new))
    for text, row in zip(new[:3], student.predict_proba(new[:3]), strict=True):
        scores = {s.name: s.value for s in loaded.decide(loaded.encode(text)).scores}
        assert [scores[label] for label in LABELS] == pytest.approx(row.tolist(), abs=1e-6)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["small"]


def test_what_is_saved_can_be_explained_as_any_model(student, tmp_path):
    loaded = whence.load(student.save(tmp_path / "small"), device="cpu")
    found = whence.explain(loaded, "no good pain", method="leave-one-out", trust="off")
    assert found.scores.shape == (3, 1)


def test_nothing_is_overwritten_and_a_missing_parent_is_named(student, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(OptionError, match="exists already"):
        student.save(tmp_path / "there")
    with pytest.raises(WriteError, match="absent"):
        student.save(tmp_path / "absent" / "small")
    assert [item.name for item in tmp_path.iterdir()] == ["there"]


def test_its_size_is_all_that_can_be_said_of_it(student):
    count = sum(p.numel() for p in student.model.module.parameters())
    assert student.reading_cost.numbers == student.parameters == count > 5000
    assert student.reading_cost.words == 0
    assert not student.readable
    assert f"{count:,} parameters" in student.to_text()
    assert json.loads(json.dumps(student.to_json()))["numbers"] == count
    with pytest.raises(InputError, match=r"whence\.explain\(whence\.load\(folder\), text\)"):
        student.explain("no pain")
    with pytest.raises(InputError, match="predict_proba"):
        student.probabilities(sparse.csr_array((1, 3)))


def test_probabilities_do_not_depend_on_the_batch(student):
    new, _ = ordered(70, seed=4)
    new[5] = "good " * 20
    together = student.predict_proba(new)
    assert together.shape == (70, 2)
    assert together.sum(axis=1) == pytest.approx(np.ones(70))
    alone = np.vstack([student.predict_proba([text]) for text in new])
    # Single precision, batches of 70 and of one: some units of 6e-8.
    assert together == pytest.approx(alone, abs=1e-6)


def test_what_the_teacher_did_not_read_is_not_looked_at(student):
    found = student.predict_proba(["no good pain", "no good"], read_to=[7, 7])
    # Two rows of one batch may be rounded apart by a few units of 6e-8; the word changes 5e-6.
    assert np.allclose(found[0], found[1], rtol=0, atol=5e-7)
    whole = student.predict_proba(["no good pain", "no good"])
    assert not np.allclose(whole[0], whole[1], rtol=0, atol=2e-6)


def test_a_longer_text_than_it_reads_is_refused(student):
    with pytest.raises(TextTooLongError) as error:
        student.predict_proba(["good " * 60])
    assert error.value.limit == 32


def test_the_same_seed_gives_the_same_student(student):
    new, _ = ordered(20, seed=5)
    assert np.array_equal(fitted(TINY).predict_proba(new), student.predict_proba(new))


def test_select_decides_when_to_stop():
    held = ordered(20, seed=6)
    found = fitted(TINY, select=held)
    last = found.epochs[-1].select
    chances = found.predict_proba(held[0])
    by_hand = (held[1] * np.log(held[1] / chances)).sum(axis=1).mean()
    assert last == pytest.approx(by_hand, rel=1e-4)


def test_a_teachers_layers_are_matched_where_a_weight_asks_for_it():
    teacher = whence.load(families.bert().pair)
    texts, _ = ordered(30)
    targets = FittedTransformer(teacher).predict_proba(texts)
    features = ReadableFeatures(least_texts=1).learn(texts)
    table = features.table(texts)
    small = Transformer(
        layers=1, hidden=16, heads=2, epochs=1, tokens=32, hidden_weight=1.0, attention_weight=1.0
    )
    common = {"features": features, "labels": teacher.labels, "texts": texts}
    found = small.fit(table, targets, teacher=teacher, **common)
    assert found.labels == teacher.labels
    assert found.model.vocabulary.size == teacher.vocabulary.size
    with pytest.raises(OptionError, match="teacher"):
        small.fit(table, targets, **common)


def test_texts_are_due_one_a_row():
    texts, targets = ordered(30)
    features = ReadableFeatures(least_texts=1).learn(texts)
    table = features.table(texts)
    with pytest.raises(InputError, match="expected the 30 texts of the rows in texts=, got none"):
        TINY.fit(table, targets, features=features, labels=LABELS)
    with pytest.raises(InputError, match=r"expected the 30 texts of the rows in texts=, got 29"):
        TINY.fit(table, targets, features=features, labels=LABELS, texts=texts[1:])
    with pytest.raises(InputError, match="got 3 texts"):
        TINY.fit(
            table, targets, features=features, labels=LABELS, texts=texts,
            select=(FILLERS[:3], np.ones((2, 2)) / 2),
        )  # fmt: skip
    wrong = Transformer(hidden=10, heads=3)
    with pytest.raises(OptionError, match="multiple of heads"):
        wrong.check(LABELS)
    with pytest.raises(OptionError, match="multiple of heads"):
        fitted(wrong)


def test_names_say_the_size():
    assert Transformer().name == "transformer-2x128"
    assert TINY.name == "transformer-1x16"
    assert not Transformer.readable
