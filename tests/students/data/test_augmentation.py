import pytest

from whence.core.errors import OptionError
from whence.students.data.augmentation import EDITS, edited, frequent_ngrams

TEXTS = ["He paid late and twice", "She has a loan", "one"]


@pytest.mark.parametrize("family", EDITS)
def test_each_family_changes_the_text_and_names_its_parent(family):
    for edit in edited(TEXTS, [0, 1, 2], family=family):
        assert edit.parent in (0, 1)
        assert edit.text != TEXTS[edit.parent]
        assert edit.text.strip()
    assert edited(TEXTS, [0, 1], family=family) == edited(TEXTS, [0, 1], family=family)


def test_halves_make_the_whole():
    first = edited(TEXTS, [0], family="first half")[0].text
    second = edited(TEXTS, [0], family="second half")[0].text
    assert f"{first} {second}" == TEXTS[0]


def test_white_space_alone_is_no_edit():
    texts = [f"paid  late\ntwice {i}" for i in range(200)]
    made = edited(texts, list(range(200)), family="drop")
    assert all(edit.text.split() != texts[edit.parent].split() for edit in made)


def test_texts_without_spaces_are_edited_too():
    texts = ["他总是迟到", "她按时付款"]
    halves = [edited(texts, [0], family=f"{which} half")[0].text for which in ("first", "second")]
    assert "".join(halves) == texts[0]


def test_ngrams_are_asked_as_most_texts_write_them():
    texts = ["The US paid", "US debt", "us two", "Straße"]
    assert set(frequent_ngrams(texts, 100)) >= {"US", "Straße", "The US"}
    assert "us" not in frequent_ngrams(texts, 100)
    with pytest.raises(OptionError, match="0 n-grams or more, got -1"):
        frequent_ngrams(texts, -1)


def test_unknown_family():
    with pytest.raises(OptionError, match="shuffle"):
        edited(TEXTS, [0], family="shuffle")


def test_ngrams_by_the_texts_they_are_in():
    texts = ["a b", "a b, c", "a a a"]
    assert frequent_ngrams(texts, 3) == ["a", "a b", "b"]
    assert "b ," not in frequent_ngrams(texts, 99)
