from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.asking import explain
from tests.zoo.families import FAMILIES

import whence
from whence.core import Document, InputError, OptionError, Part
from whence.games import Spans
from whence.games.question import (
    _moved,
    ask,
    ask_again,
    ask_otherwise,
    decision_on,
    source_of,
)
from whence.models.public_call import public_call

TEXT = "a late payment was made"


def _late(texts):
    return [float(t.count("late")) for t in texts]


@pytest.mark.parametrize("source", ["one text", ("first", "second one")])
def test_a_document_gives_its_input_back(source):
    model = whence.load(FAMILIES["bert"]().pair)
    assert source_of(model.encode(source).document) == source


def test_messages_are_read_back_from_the_template():
    text = "<user>hi there<bot>yes<user>go on"
    parts = (
        Part(name="template", start=0, end=6, frozen=True),
        Part(name="user 0", start=6, end=14),
        Part(name="template", start=14, end=19, frozen=True),
        Part(name="assistant 1", start=19, end=22),
        Part(name="template", start=22, end=28, frozen=True),
        Part(name="user 2", start=28, end=33),
    )
    assert source_of(Document(text=text, parts=parts)) == [
        {"role": "user", "content": "hi there"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "go on"},
    ]


def test_the_question_of_a_record_is_put_again():
    model = whence.load(FAMILIES["bert"]().pair)
    found = explain(model, TEXT, method="leave-one-out", masker="pad")
    question = ask_again(model, found)
    assert question.segmentation == found.segmentation
    assert question.readout.outputs == found.outputs
    assert question.masker.name == "pad"
    assert type(question.segmenter).__name__ == "Words"
    # Asked alone and in a batch: logits of about 1 in single precision, some of them near zero.
    assert question.game().full().tolist() == pytest.approx(found.values.tolist(), abs=1e-5)


def test_spans_of_a_record_are_put_again_as_spans():
    model = whence.load(_late)
    found = explain(model, TEXT, unit=Spans(spans=((2, 6), (7, 14))))
    question = ask_again(model, found)
    assert [f.text for f in question.segmentation.features] == ["late", "payment"]
    with pytest.raises(InputError, match=r"they differ|other tokens"):
        ask_again(model, found, source="other words stand here")


def test_another_model_that_does_not_read_a_feature_is_named():

    from whence.core import MethodSpec

    model = whence.load(_late)
    found = explain(model, TEXT)
    odd = replace(found, provenance=replace(found.provenance, masker=MethodSpec(name="Fog")))
    with pytest.raises(OptionError, match="Fog"):
        ask_again(model, odd)


@pytest.mark.parametrize(
    ("after", "spans"),
    [
        ("a late payment was made.", ((0, 1), (2, 6), (19, 23))),
        ("so: a late payment was made", ((4, 5), (6, 10), (23, 27))),
        ("a lte payment was made", ((0, 1), (2, 5), (18, 22))),
        ("a latte payment was made", ((0, 1), (2, 7), (20, 24))),
        ("a late  payment was made", ((0, 1), (2, 6), (20, 24))),
        ("a payment was made", ((0, 1), (14, 18))),
        ("a late payment was made", ((0, 1), (2, 6), (19, 23))),
    ],
)
def test_spans_move_with_the_text(after, spans):
    assert _moved(((0, 1), (2, 6), (19, 23)), TEXT, after) == spans


def test_the_same_question_of_another_text():
    model = whence.load(_late)
    question = ask(model, TEXT, unit=Spans(spans=((2, 6), (7, 14))), masker="replacement")
    other = ask_otherwise(question, "so: " + TEXT)
    assert [f.text for f in other.segmentation.features] == ["late", "payment"]
    assert other.masker == question.masker
    words = ask_otherwise(ask(model, TEXT), "a later payment")
    assert [f.text for f in words.segmentation.features] == ["a", "later", "payment"]


@public_call
def test_a_decision_is_asked_for_once_and_only_where_it_is_read():
    asked = []

    def late(texts):
        asked.extend(texts)
        return _late(texts)

    question = ask(whence.load(late), TEXT)
    # For the number of outputs, and for the decision.
    assert asked == [TEXT, TEXT]
    assert decision_on(question.model, TEXT) == question.decision
    other = ask_otherwise(question, "so: " + TEXT)
    before = len(asked)
    assert other.decision.scores[0].value == 1.0
    assert decision_on(question.model, "so: " + TEXT) == other.decision
    assert asked[before:] == ["so: " + TEXT]


def test_another_public_call_asks_for_the_decision_again():
    asked = []

    def late(texts):
        asked.extend(texts)
        return _late(texts)

    model = whence.load(late)
    for _ in range(2):
        public_call(ask)(model, TEXT)
    assert asked == 4 * [TEXT]


def test_what_is_no_model_is_refused():
    with pytest.raises(OptionError, match="load it first"):
        ask(len, "text")
    with pytest.raises(OptionError, match="target=True"):
        ask(whence.load(_late), "text", target=True)


def test_a_model_that_is_read_in_text_has_no_embeddings():
    from whence.core import CapabilityError

    question = ask(whence.load(_late), TEXT)
    with pytest.raises(CapabilityError, match="read in text"):
        question.embedding_game()
    with pytest.raises(CapabilityError, match="read in text"):
        question.attention_game()


def test_a_record_of_several_scales_cannot_be_put_again():

    model = whence.load(FAMILIES["bert"]().pair)
    found = explain(model, TEXT, method="leave-one-out", target="low")
    mixed = replace(found, outputs=(replace(found.outputs[0], link="probability"),))
    assert ask_again(model, mixed).readout.outputs[0].link == "probability"
    two = explain(
        model, TEXT, method="leave-one-out", target=[whence.Label(label="low")] * 1, link="logit"
    )
    both = replace(
        two,
        outputs=(two.outputs[0], replace(two.outputs[0], name="other", link="probability")),
        scores=np.repeat(two.scores, 2, axis=1),
        values=np.repeat(two.values, 2),
        base_values=np.repeat(two.base_values, 2),
        completeness=None,
    )
    with pytest.raises(InputError, match="several scales"):
        ask_again(model, both)


def test_features_that_a_model_does_not_read_are_named():

    from whence.core import Document, Feature, Segmentation

    model = whence.load(FAMILIES["bert"]().pair)
    # A zero-width space reaches no token of this tokenizer, and can be no feature of it.
    text = "late \u200b payment"
    found = explain(whence.load(_late), text)
    features = (
        Feature(start=0, end=4, text="late", part="text"),
        Feature(start=5, end=6, text="\u200b", part="text"),
    )
    odd = replace(
        found,
        segmentation=Segmentation(unit="span", document=Document.plain(text), features=features),
        scores=found.scores[:2],
        std_errors=None,
        outputs=(replace(found.outputs[0], link="logit", target=whence.Label(label="low")),),
        provenance=replace(found.provenance, masker=None),
    )
    with pytest.raises(InputError, match="reach a token"):
        ask_again(model, odd)


def test_no_model_can_be_asked_again_of_nothing():
    found = explain(whence.load(_late), TEXT)
    with pytest.raises(OptionError, match="load it first"):
        ask_again(len, found)


@pytest.mark.parametrize("precision", ["bfloat17", "float16"])
def test_unknown_precisions_and_links_are_refused(precision):
    model = whence.load(_late)
    with pytest.raises(OptionError, match="precision"):
        ask(model, TEXT, precision=precision)
    with pytest.raises(OptionError, match="link"):
        ask(model, TEXT, link="logits")


def test_a_segmenter_that_this_version_lacks_is_put_again_as_spans():
    model = whence.load(_late)
    found = explain(model, TEXT)
    gone = replace(found.provenance.segmenter, name="Syllables")
    question = ask_again(
        model, replace(found, provenance=replace(found.provenance, segmenter=gone))
    )
    assert isinstance(question.segmenter, Spans)
    assert [f.text for f in question.segmentation.features] == TEXT.split()


@pytest.mark.parametrize("abbreviations", [(), ("Urk",), ("Urk", "lfd. Nr")])
def test_sentences_of_a_record_are_asked_again_by_their_own_abbreviations(abbreviations):
    model = whence.load(lambda texts: [float("late" in text) for text in texts])
    unit = whence.Sentences(abbreviations=abbreviations)
    text = "See Urk. of May, lfd. Nr. 3. The rent came late."
    explanation = whence.explain(model, text, unit=unit, method="leave-one-out", trust="off")
    assert ask_again(model, explanation).segmenter == unit
