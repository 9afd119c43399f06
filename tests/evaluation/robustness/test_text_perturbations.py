from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from tests.evaluation.again import TEXT, asked
from tests.zoo.families import FAMILIES

import whence
from whence.core import CapabilityError, Decision, NamedScore, OptionError
from whence.evaluation.robustness.text_perturbations import (
    decides,
    holds,
    kept_edits,
    neutral_edits,
    own_neighbours,
    replaced,
    synonyms,
    templates,
    typos,
)
from whence.games.question import ask


def counting(texts):
    """Two labels; ``late`` decides, and nothing else is read."""
    return [[float("late" in t), float("late" not in t)] for t in texts]


@pytest.fixture
def question():
    model = whence.load(counting, labels=["late", "punctual"])
    return ask(model, "The parcel arrived late again yesterday morning")


def scores_of(question, *top):
    return np.array([float(f.text in top) for f in question.segmentation.features])


def test_typos_spare_the_top_and_short_words(question):
    scores = scores_of(question, "late", "yesterday")
    made = list(islice(typos(question, scores, seed=1), 40))
    for edit in made:
        before, after = question.source.split(), edit.source.split()
        differing = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert len(differing) == 1
        (old, new), *_ = differing
        assert old in ("parcel", "arrived", "again", "morning")
        assert old[0] == new[0]
        assert abs(len(old) - len(new)) <= 1
        assert repr(old) in edit.says
        assert repr(new) in edit.says
    assert len({edit.source for edit in made}) == len(made) == 40
    same = list(islice(typos(question, scores, seed=1), 40))
    assert [e.source for e in same] == [e.source for e in made]
    other = list(islice(typos(question, scores, seed=2), 40))
    assert [e.source for e in other] != [e.source for e in made]


def test_no_word_to_misspell_is_the_end_and_not_a_loop():
    short = ask(whence.load(counting, labels=["late", "punctual"]), "so it is as it is")
    assert list(typos(short, np.zeros(6))) == []
    one = ask(whence.load(counting, labels=["late", "punctual"]), "a gone b")
    made = list(typos(one, np.array([1.0, 0, 0])))
    assert 3 < len(made) < 40


def test_neutral_edits_and_templates_are_fixed(question):
    sources = [edit.source for edit in neutral_edits(question)]
    text = question.source
    assert sources == [
        text.lower(),
        f"Note: {text}",
        text.replace(" ", "  "),
        f"{text} That is all.",
    ]
    assert [e.source for e in templates(question, ["<{text}>"])] == [f"<{text}>"]
    # A text with braces of its own is put in as it is.
    braces = ask(whence.load(counting, labels=["a", "b"]), "late {0} {text}")
    assert [e.source for e in templates(braces, ["<{text}>"])] == ["<late {0} {text}>"]
    with pytest.raises(OptionError, match="expected a template with"):
        list(templates(question, ["nothing"]))


def test_what_moves_the_prediction_is_discarded_and_told(question):
    before = decides(question, question.source)
    made = kept_edits(
        question, before, templates(question, ["{text}!", "never", "x {text}"][::2]), 3
    )
    assert len(made.kept) == 2
    assert made.share_discarded == 0.0
    # Whatever touches the deciding word changes the answer.
    scores = scores_of(question, "The", "parcel")
    none = kept_edits(
        question, before, (e for e in typos(question, scores) if "late" not in e.source), 2
    )
    assert none.kept == ()
    assert none.share_discarded == 1.0
    assert len(none.discarded) == 8
    assert all("punctual" in line for line in none.discarded)


def test_a_prediction_holds_by_label_and_probability():
    def decision(*pairs, unit="probability"):
        scores = tuple(NamedScore(name=n, value=v) for n, v in pairs)
        return Decision(text=pairs[0][0], scores=scores, unit=unit)

    before = decision(("a", 0.8), ("b", 0.2))
    assert holds(before, decision(("a", 0.71), ("b", 0.29))) is None
    assert "moved" in holds(before, decision(("a", 0.69), ("b", 0.31)))
    assert "became 'b'" in holds(before, decision(("b", 0.51), ("a", 0.49)))
    assert "likely" in holds(before, Decision(text="a", scores=(NamedScore(name="c", value=0.1),)))
    # One number has no label; its text is the number itself.
    one = Decision(text="50", scores=(NamedScore(name="score", value=50.0),), unit="score")
    near = Decision(text="54", scores=(NamedScore(name="score", value=54.0),), unit="score")
    far = Decision(text="56", scores=(NamedScore(name="score", value=56.0),), unit="score")
    assert holds(one, near) is None
    assert holds(one, far) is not None
    assert holds(Decision(text="a"), Decision(text="b")) == "'a' became 'b'"


def test_replaced_in_pairs_and_conversations():
    model = whence.load(FAMILIES["bert"]().pair)
    pair = ask(model, ("It rains.", "It is wet."))
    start = pair.segmentation.document.text.index("wet")
    assert replaced(pair, [(start, start + 3, "damp"), (0, 2, "There")]) == (
        "There rains.",
        "It is damp.",
    )
    chat = whence.load(FAMILIES["qwen3"]().pair)
    turns = [{"role": "user", "content": "Is it late?"}]
    question = ask(chat, turns)
    start = question.segmentation.document.text.index("late")
    found = replaced(question, [(start, start + 4, "soon")])
    assert found == [{"role": "user", "content": "Is it soon?"}]
    assert turns[0]["content"] == "Is it late?"


def test_own_neighbours_are_the_nearest_whole_words_of_the_table():
    tiny = FAMILIES["bert"]()
    model = whence.load(tiny.pair)
    table = tiny.module.get_input_embeddings().weight.detach().numpy().astype(float)
    word = next(w for w in (t for t in tiny.tokenizer.get_vocab()) if w.isalpha() and len(w) > 3)
    found = own_neighbours(model, most=5, least_cosine=-1.0)(f"a {word}", 2, 2 + len(word))
    own = table[tiny.tokenizer.convert_tokens_to_ids(word)]
    # The padding token's embedding is zero.
    norms = np.linalg.norm(table, axis=1) * np.linalg.norm(own)
    cosines = table @ own / np.where(norms == 0, np.inf, norms)
    ranked = tiny.tokenizer.convert_ids_to_tokens(np.argsort(-cosines).tolist())
    assert len(found) == 5
    assert list(found) == [t for t in ranked if t.isalpha() and t != word][:5]
    chunked = own_neighbours(model, most=5, least_cosine=-1.0, chunk=7)(word, 0, len(word))
    assert chunked == found
    assert own_neighbours(model, least_cosine=0.9999)(word, 0, len(word)) == ()
    with pytest.raises(CapabilityError, match="neighbours"):
        own_neighbours(whence.load(counting, labels=["a", "b"]))


def test_synonyms_ask_whoever_is_given(question):
    asked_for = []

    def neighbours(text, start, end):
        asked_for.append(text[start:end])
        return [text[start:end], "shipment", "thing"]

    made = list(synonyms(question, scores_of(question, "late", "again"), neighbours, most=2))
    assert set(asked_for) == {"parcel", "arrived", "yesterday", "morning"}
    assert all("shipment" in edit.source for edit in made)
    assert len(made) == 4


def test_scores_of_another_text_are_refused(question):
    with pytest.raises(OptionError, match="one score for each"):
        next(typos(question, np.zeros(3)))


def test_the_model_is_left_as_it_was():
    from tests.attribution.test_conformance import state_of

    tiny = FAMILIES["bert"]()
    before = state_of(tiny)
    _, instance, found, _ = asked(tiny.pair)
    question = instance.question
    decision = decides(question, TEXT)
    for edits in (typos(question, found.scores[:, 0]), neutral_edits(question)):
        kept_edits(question, decision, edits, 3)
    assert state_of(tiny) == before
