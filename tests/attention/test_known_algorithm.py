"""A model whose algorithm is known: the k-th letter it writes is the k-th smallest it was given."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

import whence
from whence.models.internals.interventions import EdgeKnockout

GIVEN, WRITES, SIZE = range(6), range(5, 11), 11
LAYERS = [f"transformer.h.{layer}.attn" for layer in range(3)]
TEXTS = ["".join(text) for text in itertools.product("ABC", repeat=6)][::27]


@pytest.fixture
def sorter(real_model):
    inner = Tokenizer(models.WordLevel({"A": 0, "B": 1, "C": 2}, unk_token="A"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=SIZE)
    module = AutoModelForCausalLM.from_pretrained(real_model("nano-gpt-sort"))
    return whence.load((module, tokenizer))


def cut(rows, columns):
    """In every layer and head, these queries no longer read these keys; each keeps itself."""
    edges = np.zeros((SIZE, SIZE), dtype=bool)
    edges[np.ix_(rows, columns)] = True
    edges &= np.tril(np.ones((SIZE, SIZE), dtype=bool), -1)
    return tuple(EdgeKnockout(layer=layer, head=None, cut=edges) for layer in LAYERS)


def test_knocked_out_edges_give_the_algorithm(sorter):
    """What is written is counted from the letters alone: not from each other, nor from what was
    written before."""
    cases = {
        "nothing": (),
        "letters": cut(WRITES, GIVEN),
        "what was written": cut(WRITES, range(6, SIZE)),
        "letters of letters": cut(range(5), GIVEN),
        "all but the letters": cut(WRITES, range(6, SIZE)) + cut(range(5), GIVEN),
    }
    right = dict.fromkeys(cases, 0)
    for text in TEXTS:
        encoding = sorter.encode(text)
        target = whence.Continuation(text="".join(sorted(text)), per_token=True)
        readout = sorter.readout(encoding, [target])
        values = sorter.evaluate_with_changes(encoding, readout, list(cases.values())).values
        for case, row in zip(cases, values, strict=True):
            # More probable than all other letters together, at each place.
            right[case] += bool((row > np.log(0.5)).all())
    assert len(TEXTS) == 27
    for case in ("nothing", "what was written", "letters of letters", "all but the letters"):
        assert right[case] == 27, case
    assert right["letters"] < 0.25 * 27


def test_the_heads_that_count_the_letters_are_ranked_first(sorter):
    total = {}
    for text in TEXTS[::3]:
        target = whence.Continuation(text="".join(sorted(text)))
        found = whence.attend(sorter, text, target=target, link="log_odds")
        for entry in found.record.heads:
            total.setdefault((LAYERS.index(entry.layer), entry.head), []).append(entry.effect)
    mean = {head: np.mean(effects) for head, effects in total.items()}
    first = sorted(mean, key=lambda head: -mean[head])[:2]
    assert {layer for layer, _ in first} == {0}
    by_layer = [sum(v for (layer, _), v in mean.items() if layer == k) for k in range(3)]
    assert by_layer[0] > by_layer[1] > by_layer[2]
