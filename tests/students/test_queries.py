import pytest

from whence.core.errors import OptionError
from whence.students.queries import EDITS, edited, frequent_ngrams

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


def test_unknown_family():
    with pytest.raises(OptionError, match="shuffle"):
        edited(TEXTS, [0], family="shuffle")


def test_ngrams_by_the_texts_they_are_in():
    texts = ["a b", "a b, c", "a a a"]
    assert frequent_ngrams(texts, 3) == ["a", "a b", "b"]
    assert "b ," not in frequent_ngrams(texts, 99)
