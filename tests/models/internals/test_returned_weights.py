"""Weights that a model returns are shown where they are those of its answer, and refused elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.zoo.architectures import architectures, build

import whence
from whence.core import CapabilityError

ROWS = {each.kind: each for each in architectures()}
TEXT = "she missed four payments but not the loan"


class Capture:
    """Every weight of a pass, by layer."""

    def __init__(self):
        self.layers, self.kinds = [], []

    def rows(self, call, start, weights, seen):
        self.layers.append(weights[0])
        self.kinds.append(call.kind)

    def close(self, call, error, rounding):
        pass


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("FalconForCausalLM", "weights of another computation"),
        ("ReformerModel", "differently in two passes"),
        ("RwkvForCausalLM", "not over tokens"),
        ("LongformerModel", "not over tokens"),
        ("SqueezeBertModel", "are no weights"),
        ("FNetModel", "takes a softmax over tokens"),
        ("MambaForCausalLM", "takes a softmax over tokens"),
    ],
)
def test_what_is_no_weight_of_the_answer_is_refused_for_its_own_reason(kind, reason):
    model = whence.load(build(ROWS[kind]))
    with pytest.raises(CapabilityError, match=reason):
        whence.attend(model, TEXT, effects=None, flow=False)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("XGLMForCausalLM", "compute their softmax themselves"),
        ("MvpForSequenceClassification", "compute their softmax themselves"),
        ("FSMTForConditionalGeneration", "compute their softmax themselves"),
        ("MambaForCausalLM", "takes a softmax over tokens"),
        ("MraForSequenceClassification", "takes a softmax over tokens"),
    ],
)
def test_a_softmax_over_heads_and_rows_as_one_axis_is_one(kind, reason):
    model = whence.load(build(ROWS[kind]))
    target = None if model.task == "classification" else whence.Continuation(token_ids=(40,))
    with pytest.raises(CapabilityError, match=reason):
        whence.explain(model, TEXT, target=target, method="attention-knockout", trust="off")


def test_weights_of_two_stacks_are_named():
    model = whence.load(build(ROWS["LEDForConditionalGeneration"]))
    with pytest.raises(CapabilityError, match="returned encoder_attentions, decoder_attentions"):
        whence.attend(model, TEXT, effects=None, flow=False)


def test_cross_attention_without_a_decoder_is_over_no_tokens():
    model = whence.load(build(ROWS["BltForCausalLM"]))
    record = whence.attend(model, TEXT, effects=None, flow=False)
    shown = {layer.name: layer.shown for layer in record.record.layers}
    assert shown["model.local_decoder.layers.0.self_attn"]
    assert not any(state for name, state in shown.items() if "cross" in name)


def test_falcon_in_its_eager_implementation_reads_no_future():
    other, tokenizer = build(ROWS["FalconForCausalLM"])
    module = type(other)._from_config(other.config, attn_implementation="eager").eval()
    model, sink = whence.load((module, tokenizer)), Capture()
    model.attention(model.encode(TEXT), sink)
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    with torch.no_grad():
        right = module(input_ids=ids, output_attentions=True).attentions
    assert sink.kinds == ["causal"] * len(right)
    for got, each in zip(sink.layers, right, strict=True):
        assert np.allclose(got, each[0].numpy(), atol=1e-6)
        assert np.triu(got, 1).max() == 0


def test_the_kind_of_weights_is_read_off_them_and_not_off_the_class():
    model, sink = whence.load(build(ROWS["XLMWithLMHeadModel"])), Capture()
    model.attention(model.encode(TEXT), sink)
    assert set(sink.kinds) == {"bidirectional"}
