import numpy as np
import pytest
from tests.students import worlds

from whence.students.families.baselines import hashed, majority, permuted_teacher
from whence.students.features.vectorizer import ReadableFeatures

LABELS = ("a", "b")


def test_the_majority_is_the_most_frequent_decision_and_not_the_greatest_mean():
    unsure, sure = [[0.55, 0.45]] * 80, [[0.01, 0.99]] * 20
    fitted = majority(np.array(unsure + sure), LABELS)
    assert fitted.predict(["any text"]) == ["a"]
    assert fitted.predict_proba(["any text"])[0] == pytest.approx([0.8, 0.2])


def test_characters_are_hashed_and_not_bytes():
    for word in ("cat", "кот", "고양이"):
        # Padded by a space on either side: three of three, two of four, one of five signs.
        assert hashed([word]).nnz == 6


def test_answers_dealt_to_the_wrong_texts_are_at_chance():
    """Over thirty worlds the agreement on held-out texts is that of two independent deciders."""
    agreed = []
    for seed in range(30):
        texts = worlds.texts(300, seed=seed)
        targets = worlds.one_hot([worlds.rule(text) for text in texts], ["accept", "reject"])
        known = ReadableFeatures(longest=1).learn(texts[:200])
        fitted = permuted_teacher(
            known.table(texts[:200]), targets[:200], features=known, labels=("accept", "reject"),
            seed=seed,
        )  # fmt: skip
        said = fitted.predict_proba(texts[200:]).argmax(axis=1)
        agreed.append(float((said == targets[200:].argmax(axis=1)).mean()))
    error = np.std(agreed, ddof=1) / np.sqrt(len(agreed))
    assert abs(np.mean(agreed) - 0.5) < 0.05 + 2 * error
