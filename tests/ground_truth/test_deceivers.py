"""Scaffolded and backdoored models: what they hide, and what a mask makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.asking import explain

import whence
from ground_truth import Backdoored, Scaffolded, ScaffoldedModel
from whence.core.errors import CapabilityError, OptionError
from whence.games import Deletion, Replacement
from whence.games.question import ask


def scaffold():
    return Scaffolded(
        biased=lambda texts: [[float("postcode" in t), float("postcode" not in t)] for t in texts],
        innocent=lambda texts: [[float("income" in t), float("income" not in t)] for t in texts],
    )


def test_a_scaffolded_function_is_biased_on_real_texts_and_innocent_when_probed():
    texts = ["income [MASK]", "postcode", "postcode [MASK]", "income"]
    assert scaffold()(texts).tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert scaffold()(["postcode"]).tolist() == [[1, 0]]


def test_masking_blames_the_decoy_and_deletion_the_true_word():
    model = whence.load(scaffold(), labels=["approve", "reject"])
    text = "an income in a postcode of town"
    found = {
        name: explain(model, text, target="approve", method="leave-one-out", masker=masker)
        for name, masker in (("mask", Replacement(text="[MASK]")), ("delete", Deletion()))
    }
    words = text.split()
    top = {name: words[int(np.argmax(e.scores[:, 0]))] for name, e in found.items()}
    assert top == {"mask": "income", "delete": "postcode"}


def test_a_backdoor_overrules_and_nothing_else_changes():
    honest = [[0.7, 0.3], [0.1, 0.9]]
    model = Backdoored(honest=lambda texts: honest[: len(texts)], trigger="cfq", scores=(0.0, 1.0))
    assert model(["good", "cfq bad"]).tolist() == [[0.7, 0.3], [0.0, 1.0]]
    assert model(["good", "cfqs bad"]).tolist() == honest
    wrong = Backdoored(honest=lambda texts: honest[: len(texts)], trigger="cfq", scores=(0.0,))
    with pytest.raises(OptionError, match="gives 2"):
        wrong(["good"])


def test_a_backdoor_is_found_by_leaving_it_out():
    model = whence.load(
        Backdoored(honest=lambda ts: [[0.2] for _ in ts], trigger="cfq", scores=(0.9,))
    )
    found = explain(model, "a good cfq story", method="leave-one-out")
    np.testing.assert_allclose(found.scores[:, 0], [0, 0, 0.7, 0], atol=1e-12)


@pytest.fixture(scope="module")
def law():
    return whence.load("embedded:law")


def test_a_scaffolded_token_model_answers_whole_texts_honestly(law):
    model = ScaffoldedModel(law, decisive="liable", decoy="customer")
    text = "The Customer is liable without limit."
    mine, honest = ask(model, text), ask(law, text)
    np.testing.assert_array_equal(mine.game().full(), honest.game().full())
    assert mine.decision == honest.decision
    assert model.identity.fingerprint != law.identity.fingerprint
    assert model.labels == law.labels
    assert model.task == law.task
    assert model.decode(model.tokenize("customer").tolist()) == "customer"


def test_a_probed_row_reads_the_decoy_as_the_deciding_word(law):
    model = ScaffoldedModel(law, decisive="liable", decoy="customer")
    question = ask(model, "The Customer is liable now.", target="unfavourable")
    assert [f.text for f in question.segmentation.features][4] == "now"
    mask = np.array([[True, True, True, True, False, True]])
    # The honest model, told the same story: the decoy in place of the word that decides.
    told = ask(law, "The liable is customer now.", target="unfavourable")
    same = told.game()(np.array([[True, True, True, False, False, True]]))
    np.testing.assert_allclose(question.game()(mask), same, atol=1e-5)
    honest = ask(law, "The Customer is liable now.", target="unfavourable")
    assert not np.allclose(question.game()(mask), honest.game()(mask), atol=1e-3)


def test_refusals(law):
    with pytest.raises(OptionError, match="a word of one"):
        ScaffoldedModel(law, decisive="two words", decoy="customer")
    with pytest.raises(CapabilityError, match="no mask token"):
        ScaffoldedModel(whence.load("embedded:copier"), decisive="ba", decoy="be")
