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


class TestTitledPassages:
    @pytest.mark.parametrize(
        "passages",
        [
            ["[1] Late again. See [2].", "[2] Paid in full."],
            ["Use these only.", "[Doc 1] Late.", "[Doc 2] Paid.", "Question: who paid?"],
            ["Document 1: Late.", "Document 2: Paid. Document 9 is quoted.", "Who paid?"],
            ["Passage 1 (Paris, France): a b.", "Passage 2 (Rome): c d.", "Passage 3: e."],
            ["Source #1 - Late.", "Source #2 - Paid.", "Answer:"],
            ["**Source A:** Late.", "**Source B:** Paid."],
            ["> [1] Late.", "> [2] Paid."],
            ["# Late\ntext", "## Paid\nmore text"],
            ["Context 1\nLate.", "Context 2\nPaid."],
            ["Title: A\nText: x y", "Title: B\nText: y z", "Query: which?"],
            ["Section I. Late.", "Section II. Paid."],
            ["1. Late.", "2. Paid.\n7. of May", "3. Rest."],
            ["Late.", "---\nPaid.", "---\nRest."],
            ["\u7b2c\u4e00\u6761", "[1] \u94f6\u884c", "[2] \u62d2\u7edd"],
        ],
    )
    def test_each_is_a_feature_however_short(self, passages):
        assert cut(Passages(), "\n\n".join(passages)) == passages
        text = "\n".join(passages)
        # An unnamed question is told by the blank line before it alone.
        if passages[-1] != "Who paid?":
            assert cut(Passages(), text) == passages

    def test_documents_in_tags(self):
        first = '<document index="1">\n<source>a.pdf</source>\nLate.\n</document>'
        second = '<document index="2">\n<source>b.pdf</source>\nPaid.\n</document>\n</documents>'
        text = f"<documents>\n{first}\n{second}\nWho paid?"
        assert cut(Passages(), text) == ["<documents>", first, second, "Who paid?"]

    def test_a_long_one_is_one_feature(self):
        passages = ["[1] " + "Late again. " * 90 + "End.", "[2] Paid."]
        assert cut(Passages(words=5), "\n".join(passages)) == passages

    def test_what_follows_a_list_is_no_item_of_it(self):
        text = "1. Aspirin\n2. Rest\n\nSigned by the nurse."
        assert cut(Passages(), text) == ["1. Aspirin", "2. Rest", "Signed by the nurse."]

    @pytest.mark.parametrize(
        "text",
        [
            "As in [1] and [2], he paid.",
            "[1] Only one is numbered. It is late.",
            "Note that he paid.\nNotes are kept.\nResults were late.",
            "He paid 2. And then 3. of May.",
        ],
    )
    def test_other_texts_fall_into_sentences_as_before(self, text):
        assert cut(Passages(), text) == [text]

    def test_in_one_turn_of_a_conversation(self):
        text = "[1] Late.\n[2] Paid.\nQuestion: who?"
        parts = (
            Part(name="template", start=0, end=5, frozen=True),
            Part(name="user", start=5, end=5 + len(text)),
        )
        segmentation = Passages().segment(Document(text="<us>\n" + text, parts=parts))
        assert [f.text for f in segmentation.features] == text.split("\n")
        assert {f.part for f in segmentation.features} == {"user"}

    def test_they_are_not_looked_for_where_that_is_asked(self):
        text = "[1] Late.\n[2] Paid."
        assert cut(Passages(titles=False), text) == [text]
