"""Where features begin and end."""

from __future__ import annotations

import pytest

from whence.core import Document, InputError, OptionError, Part
from whence.games import (
    Paragraphs,
    Passages,
    Sentences,
    Spans,
    Tokens,
    Turns,
    Words,
    segmenter_by_name,
)


def cut(segmenter, text):
    return [f.text for f in segmenter.segment(Document.plain(text)).features]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("He doesn't mind.", ["He", "doesn't", "mind", "."]),
        ("a state-of-the-art test", ["a", "state-of-the-art", "test"]),
        ("£1,250.50 or 42 % of it", ["£1,250.50", "or", "42 %", "of", "it"]),
        ("cafe\u0301 naïve", ["cafe\u0301", "naïve"]),
        ("so good!!! really?", ["so", "good", "!!!", "really", "?"]),
        ("👩\u200d👩\u200d👧 and 🇩🇪👋🏽", ["👩\u200d👩\u200d👧", "and", "🇩🇪", "👋🏽"]),
        ("银行拒绝", ["银", "行", "拒", "绝"]),
        ("GPT银行", ["GPT", "银", "行"]),
        ("银行GPT", ["银", "行", "GPT"]),
        ("رفض البنك", ["رفض", "البنك"]),
        ("הבנק דחה", ["הבנק", "דחה"]),
        ("on 12/03/2024 at 10:30", ["on", "12/03/2024", "at", "10:30"]),
        ("snake_case x", ["snake_case", "x"]),
        ("A 63-year-old, 10-20 mg", ["A", "63-year-old", ",", "10", "-", "20", "mg"]),
        ("one", ["one"]),
    ],
)
def test_words(text, words):
    assert cut(Words(), text) == words


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. No met J. Smith. He left.", ["Dr. No met J. Smith.", "He left."]),
        ("See e.g. this. And that.", ["See e.g. this.", "And that."]),
        ("He said \u201cno.\u201d Then he left.", ["He said \u201cno.\u201d", "Then he left."]),
        ("它好。我不知道!", ["它好。", "我不知道!"]),
        ("A head\n\nand a body", ["A head", "and a body"]),
        ("pH of 7.4 is fine.", ["pH of 7.4 is fine."]),
    ],
)
def test_sentences(text, sentences):
    assert cut(Sentences(), text) == sentences


def test_paragraphs_and_passages():
    text = "One two. Three four five.\n\nSix. Seven eight nine ten eleven."
    assert cut(Paragraphs(), text) == [
        "One two. Three four five.",
        "Six. Seven eight nine ten eleven.",
    ]
    assert cut(Passages(words=5), text) == [
        "One two. Three four five.",
        "Six.",
        "Seven eight nine ten eleven.",
    ]
    with pytest.raises(OptionError, match="1 word or more"):
        Passages(words=0)


def test_turns_are_the_open_parts():
    text = "<user>hello there<end>"
    document = Document(
        text=text,
        parts=(
            Part(name="template", start=0, end=6, frozen=True),
            Part(name="user 0", start=6, end=17),
            Part(name="template", start=17, end=22, frozen=True),
        ),
    )
    found = Turns().segment(document)
    assert [(f.text, f.part) for f in found.features] == [("hello there", "user 0")]


def test_features_never_cross_parts():
    document = Document.join({"first": "one two", "second": "three"})
    assert [f.part for f in Words().segment(document).features] == ["first", "first", "second"]
    assert len(Sentences().segment(document)) == 2


def test_own_spans():
    document = Document.plain("one two three")
    found = Spans(spans=((0, 7), (8, 13))).segment(document)
    assert [f.text for f in found.features] == ["one two", "three"]
    with pytest.raises(OptionError, match="overlaps"):
        Spans(spans=((0, 7), (4, 13))).segment(document)
    with pytest.raises(OptionError, match="not inside"):
        Spans(spans=((0, 70),)).segment(document)
    with pytest.raises(InputError, match="no span"):
        Spans().segment(document)


def test_tokens_need_tokens():
    with pytest.raises(OptionError, match="Units that work here: word, sentence"):
        Tokens().segment(Document.plain("one"))


def test_by_name():
    assert segmenter_by_name("Words") == Words()
    assert segmenter_by_name("sentence") == Sentences()
    assert segmenter_by_name(Turns()) == Turns()
    assert segmenter_by_name("passage", words=7) == Passages(words=7)
    with pytest.raises(OptionError, match="did you mean 'sentence'"):
        segmenter_by_name("sentense")
