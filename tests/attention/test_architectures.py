"""Attention of families whose kernels read, scale or gate otherwise than most."""

from __future__ import annotations

import numpy as np
import pytest
from tests.zoo.architectures import architectures, build

import whence
from whence.core import CapabilityError, OptionError
from whence.models.internals.interventions import EdgeKnockout

ROWS = {each.kind: each for each in architectures()}
TEXT = "she missed four payments but not the loan"


def loaded(kind):
    return whence.load(build(ROWS[kind]))


@pytest.mark.parametrize("kind", ["Qwen3NextForCausalLM", "OlmoHybridForCausalLM"])
def test_a_gated_norm_is_no_norm_whose_divisor_is_frozen(kind):
    target = whence.NextToken(token=40)
    record = whence.attend(loaded(kind), TEXT, target=target).record
    assert [layer.shown for layer in record.layers] == [True]
    assert record.effects is not None


def test_a_hybrid_says_which_blocks_are_not_followed():
    target = whence.NextToken(token=40)
    for method in ("rollout", "attention-knockout"):
        result = whence.explain(
            loaded("Qwen3NextForCausalLM"), TEXT, target=target, method=method, trust="off"
        )
        assert any("1 blocks hold no attention layer" in note for note in result.notes)


def test_sinks_of_each_query_are_cut_with_the_rows():
    record = whence.attend(loaded("Inkling2ForCausalLM"), TEXT, effects=None, row_block=3).record
    assert all(layer.certificate < 1e-5 for layer in record.layers)


def test_weights_that_leave_out_a_scale_of_the_output_are_not_shown():
    """The sink scales the output behind the softmax: these weights times values are not the output."""
    record = whence.attend(loaded("GraniteSWAForCausalLM"), TEXT, effects=None, flow=False).record
    assert [layer.shown for layer in record.layers] == [False, False]


def test_keys_that_are_not_the_tokens_are_not_shown_and_said_why():
    record = whence.attend(loaded("DeepseekV4ForCausalLM"), TEXT, effects=None, flow=False).record
    assert [layer.shown for layer in record.layers] == [True, False]
    assert any("11 keys are not" in note for note in record.notes)


def test_a_classifier_that_needs_an_end_token_and_reads_the_text_again():
    record = whence.attend(
        loaded("BartForSequenceClassification"), TEXT, effects=None, flow=False
    ).record
    assert all(layer.shown for layer in record.layers)
    encoder, decoder = (
        [token.text for token in each] for each in (record.tokens, record.decoder_tokens)
    )
    assert decoder == ["</s>", *encoder[:-1]]
    first = next(token for token in record.decoder_tokens if token.text == "missed")
    assert TEXT[first.start : first.end] == "missed"


def cut(model, count, keys):
    """A cut of every key in ``keys`` for the last query, in the first layer that runs."""
    encoding = model.encode(TEXT)
    targets = [] if model.task == "classification" else [whence.NextToken(token=40)]
    readout = model.readout(encoding, targets)
    rows = [whence.models.protocols.Row(ids=encoding.ids)]
    layer = next(iter(model.head_outputs(rows, readout)))
    edges = np.zeros((count, count), dtype=bool)
    edges[-1, keys] = True
    change = EdgeKnockout(layer=layer, head=None, cut=edges)
    return model.evaluate_with_changes(encoding, readout, [(change,)])


def test_a_cut_of_every_selected_key_is_refused_by_the_mass_that_is_left_on_it():
    """Sparse selection reads few keys: with those cut, the softmax shares its mass among all."""
    model = loaded("DeepseekV32ForCausalLM")
    for child in model.module.modules():
        if hasattr(child, "index_topk"):
            child.index_topk = 2
    count = len(model.encode(TEXT).ids)
    with pytest.raises(OptionError, match="stays on keys that were cut"):
        cut(model, count, slice(None))


def test_no_edge_is_cut_where_the_rows_computed_again_miss_the_kernel():
    model = loaded("LlamaForCausalLM")
    file = __import__(type(model.module).__module__, fromlist=["eager_attention_forward"])
    own = file.eager_attention_forward

    def doubled(*args, **options):
        output, weights = own(*args, **options)
        return 2 * output, weights

    file.eager_attention_forward = doubled
    try:
        with pytest.raises(CapabilityError, match="no edge of it can be cut"):
            cut(model, len(model.encode(TEXT).ids), [1])
    finally:
        file.eager_attention_forward = own


def test_asking_a_model_for_its_weights_leaves_no_hooks():
    model = loaded("XGLMForCausalLM")
    hooks = [dict(child._forward_hooks) for child in model.module.modules()]
    attributes = [set(vars(child)) for child in model.module.modules()]
    record = whence.attend(model, TEXT, effects=None, flow=False).record
    assert any("that the model returned" in note for note in record.notes)
    assert [dict(child._forward_hooks) for child in model.module.modules()] == hooks
    assert [set(vars(child)) for child in model.module.modules()] == attributes
