"""Watching attention: the model's own output to the bit, its own weights, nothing left behind."""

from __future__ import annotations

import copy
import dataclasses
import threading

import numpy as np
import pytest
import torch
import transformers
from tests.zoo.families import FAMILIES
from transformers import AttentionInterface

from whence.core import CapabilityError
from whence.models.internals.attention_capture import capture_attention

TEXT = "He denies chest pain but reports a mild cough since Monday."
SHARED = [name for name in FAMILIES if name != "deberta-v2"]
ROTARY = ["llama", "qwen3", "gemma3", "mistral", "mixtral"]


class Capture:
    """Puts whole matrices together: for tests only."""

    def __init__(self):
        self.weights, self.errors, self.calls, self.seen = {}, [], [], {}

    def rows(self, call, start, weights, seen):
        self.weights.setdefault(call, []).append(weights)
        self.seen.setdefault(call, []).append(seen)

    def close(self, call, error, rounding):
        self.calls.append(call)
        self.errors.append(error)

    def matrix(self, call):
        return np.concatenate(self.weights[call], axis=2)

    def rows_seen(self, call):
        return np.concatenate(self.seen[call], axis=1)


def inputs(tiny, *, padding=None):
    ids = tiny.tokenizer(TEXT)["input_ids"]
    short = ids[: len(ids) // 2]
    if padding is None:
        rows, mask = [ids], [[1] * len(ids)]
    else:
        fill = [0] * (len(ids) - len(short))
        ones, none = [1] * len(short), [0] * len(fill)
        left = padding == "left"
        rows = [ids, fill + short if left else short + fill]
        mask = [[1] * len(ids), none + ones if left else ones + none]
    found = {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}
    if tiny.name in {"t5", "bart"}:
        found["decoder_input_ids"] = torch.tensor([[2, 5, 6, 7]] * len(rows))
    return found


def eager_weights(tiny, given):
    """The same model with its weights asked for, in the order the layers run."""
    module = copy.deepcopy(tiny.module)
    module.set_attn_implementation("eager")
    with torch.inference_mode():
        out = module(**given, output_attentions=True)
    if tiny.name in {"t5", "bart"}:
        crossed = [
            w
            for pair in zip(out.decoder_attentions, out.cross_attentions, strict=True)
            for w in pair
        ]
        return [*out.encoder_attentions, *crossed]
    return list(out.attentions)


@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize("name", SHARED)
def test_own_output_to_the_bit_and_the_weights_of_eager(name, padding):
    tiny = FAMILIES[name]()
    given = inputs(tiny, padding=padding)
    capture = Capture()
    with torch.inference_mode():
        plain = tiny.module(**given).logits
        with capture_attention(tiny.module, capture, row_block=5):
            watched = tiny.module(**given).logits
        after = tiny.module(**given).logits
    assert torch.equal(plain, watched)
    assert torch.equal(plain, after)
    wanted = eager_weights(tiny, given)
    assert len(capture.calls) == len(wanted)
    assert max(capture.errors) < 1e-5
    for place, (call, theirs) in enumerate(zip(capture.calls, wanted, strict=True)):
        mine, real = capture.matrix(call), _real(capture, given, call)
        gap = np.abs(mine - theirs.float().numpy()).max(axis=(1, 3))
        # The first layer's states are the same on both sides. Those of later ones differ by the
        # rounding of the two kernels before them, which is the model's own.
        assert gap[real].max() < (1e-6 if place == 0 else 2e-6)
        assert np.allclose(mine.sum(-1).transpose(0, 2, 1)[real], 1, atol=1e-5)


@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize("name", SHARED)
def test_the_weights_of_eager_in_every_layer_where_the_model_does_not_round(name, padding):
    """In float64 the kernels before a layer agree, so what differs is the watching alone."""
    tiny = doubled(FAMILIES[name]())
    given = inputs(tiny, padding=padding)
    capture = Capture()
    with torch.inference_mode(), capture_attention(tiny.module, capture, row_block=5):
        tiny.module(**given)
    # Where softmax is taken in float32, the mask's least float64 becomes -inf, so that a row of
    # padding that sees nothing is NaN in eager, and NaN spreads from it to all later layers. Such
    # models tell positions by their distance: each input by itself gives the same weights.
    alone = padding is not None and name in ROTARY
    wanted = weights_alone(tiny, given) if alone else eager_weights(tiny, given)
    assert len(capture.calls) == len(wanted)
    assert max(capture.errors) < 1e-6
    for call, theirs in zip(capture.calls, wanted, strict=True):
        mine = capture.matrix(call)
        assert np.isfinite(mine).all()
        gap = np.abs(mine - theirs.numpy()).max(axis=(1, 3))
        assert gap[_real(capture, given, call)].max() < 1e-6


def doubled(tiny):
    module = copy.deepcopy(tiny.module).double()
    if tiny.name == "mixtral":
        module.set_experts_implementation("eager")  # the grouped product has no float64
    return dataclasses.replace(tiny, module=module)


def weights_alone(tiny, given):
    """Each input's weights by itself, where they lie among padding."""
    masks = given["attention_mask"].bool()
    found = []
    for row, mask in enumerate(masks):
        one = given["input_ids"][row][mask][None]
        weights = eager_weights(tiny, {"input_ids": one, "attention_mask": torch.ones_like(one)})
        for layer, each in enumerate(weights):
            if row == 0:
                found.append(each.new_zeros(len(masks), each.shape[1], len(mask), len(mask)))
            places = mask.nonzero()[:, 0]
            found[layer][row][:, places[:, None], places] = each[0]
    return found


def _real(capture, given, call):
    """Rows of real tokens: padding reads what came before it in another order of layers."""
    seen = capture.rows_seen(call)
    if call.kind == "cross":
        return seen
    return seen & _tokens(given, call)


def _tokens(given, call):
    mask = given["attention_mask"].numpy().astype(bool)
    return mask if mask.shape[1] == call.queries else np.ones((len(mask), call.queries), bool)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "gemma3", "mistral", "mixtral"])
def test_generation_with_the_cache_says_where_queries_and_keys_are(name):
    tiny = FAMILIES[name]()
    given = inputs(tiny)
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    capture = Capture()
    plain = tiny.module.generate(**given, **options)
    with capture_attention(tiny.module, capture):
        watched = tiny.module.generate(**given, **options)
    assert torch.equal(plain, watched)
    size = given["input_ids"].shape[1]
    whole = eager_weights(
        tiny, {"input_ids": plain[:, :-1], "attention_mask": torch.ones_like(plain[:, :-1])}
    )
    names = list(dict.fromkeys(call.name for call in capture.calls))
    for call in capture.calls:
        theirs = whole[names.index(call.name)][:, :, call.query_start :][:, :, : call.queries]
        theirs = theirs[..., max(call.key_start, 0) :][..., : call.keys].numpy()
        mine = capture.matrix(call)[..., -theirs.shape[-1] :]
        assert np.abs(mine - theirs).max() < 1e-5
    assert {call.query_start for call in capture.calls} == {0, size, size + 1, size + 2}
    assert max(capture.errors) < 1e-5


def test_the_private_table_is_there_and_is_put_back_after_an_exception():
    before = dict(AttentionInterface._global_mapping)
    tiny = FAMILIES["bert"]()
    with pytest.raises(ZeroDivisionError), capture_attention(tiny.module, Capture()):
        assert AttentionInterface._global_mapping["sdpa"] is not before["sdpa"]
        raise ZeroDivisionError
    assert AttentionInterface._global_mapping == before
    assert "eager" not in before


def test_other_models_pass_through_and_other_threads_wait():
    """The module runs under one hook at a time; the other model, hooked meanwhile, keeps its own."""
    tiny, other = FAMILIES["bert"](), FAMILIES["llama"]()
    before = dict(AttentionInterface._global_mapping)
    capture, theirs, others = Capture(), Capture(), Capture()
    inside, elsewhere = threading.Event(), threading.Event()

    def run():
        with torch.inference_mode():
            with capture_attention(other.module, others):
                other.module(**inputs(other))
                elsewhere.set()
            with capture_attention(tiny.module, theirs):
                inside.set()
                tiny.module(**inputs(tiny))

    thread = threading.Thread(target=run)
    with torch.inference_mode(), capture_attention(tiny.module, capture):
        thread.start()
        assert elsewhere.wait(20)
        other.module(**inputs(other))
        assert not inside.wait(0.2)
        assert capture.calls == []
    thread.join(20)
    assert not thread.is_alive()
    assert capture.calls == []
    assert (len(theirs.calls), len(others.calls)) == (2, 2)
    assert AttentionInterface._global_mapping == before


def test_layers_with_their_own_softmax_give_nothing():
    tiny = FAMILIES["deberta-v2"]()
    capture = Capture()
    with torch.inference_mode(), capture_attention(tiny.module, capture):
        tiny.module(**inputs(tiny))
    assert capture.calls == []


def test_a_mask_that_has_no_rows_is_refused_by_name():
    tiny = FAMILIES["bert"]()
    layer = tiny.module.bert.encoder.layer[0].attention.self
    states = torch.zeros(1, 4, 3, 8)
    with capture_attention(tiny.module, Capture()):
        kernel = AttentionInterface._global_mapping["sdpa"]
        with pytest.raises(CapabilityError, match="attn_implementation='sdpa'"):
            kernel(layer, states, states, states, torch.zeros(3, 3), scaling=1.0)


def special(kind):
    """Families with a cap on the scores, and with sinks of their own."""
    common = {
        "vocab_size": 60,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.3,
        "sliding_window": 6,
        "pad_token_id": 0,
    }
    if kind == "gemma2":
        config = transformers.Gemma2Config(
            **common, attn_logit_softcapping=2.0, query_pre_attn_scalar=8
        )
        build = transformers.Gemma2ForCausalLM
    else:
        config = transformers.GptOssConfig(**common, num_local_experts=4, num_experts_per_tok=2)
        build = transformers.GptOssForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build(config).eval()


@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize("kind", ["gemma2", "gpt-oss"])
def test_capped_scores_and_sinks(kind, padding):
    module = special(kind)
    # Neither has another kernel, so the weights must be those of the very same states.
    assert module.config._attn_implementation == "eager"
    rows, mask = [list(range(1, 21))], [[1] * 20]
    if padding is not None:
        short, none, ones = list(range(5, 15)), [0] * 10, [1] * 10
        rows.append(none + short if padding == "left" else short + none)
        mask.append(none + ones if padding == "left" else ones + none)
    given = {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}
    capture = Capture()
    with torch.inference_mode():
        plain = module(**given).logits
        with capture_attention(module, capture, row_block=7):
            watched = module(**given).logits
        wanted = module(**given, output_attentions=True).attentions
    assert torch.equal(plain, watched)
    assert len(capture.calls) == len(wanted) == 2
    assert max(capture.errors) < 1e-5
    for call, theirs in zip(capture.calls, wanted, strict=True):
        gap = np.abs(capture.matrix(call) - theirs.numpy()).max(axis=(1, 3))
        assert gap[_real(capture, given, call)].max() < 1e-6
    first = capture.calls[0]
    sums = capture.matrix(first).sum(-1).transpose(0, 2, 1)[_real(capture, given, first)]
    # What a row lacks of 1 went to the sink.
    assert (sums.min() < 0.9) == (kind == "gpt-oss")


def test_a_kernel_registered_meanwhile_stays_and_is_hooked_from_the_next_context_on():
    tiny, other = FAMILIES["bert"](), FAMILIES["llama"]()
    table = AttentionInterface._global_mapping
    before = dict(table)
    theirs = before["sdpa"]
    ran = []

    def mine(*given, **options):
        ran.append("mine")
        return theirs(*given, **options)

    capture = Capture()
    try:
        with capture_attention(other.module, Capture()):
            AttentionInterface.register("sdpa", mine)
            AttentionInterface.register("new", mine)
            with torch.inference_mode(), capture_attention(tiny.module, capture):
                tiny.module(**inputs(tiny))
        assert ran == ["mine", "mine"]
        assert len(capture.calls) == 2
        assert dict(table) == {**before, "sdpa": mine, "new": mine}
        with capture_attention(other.module, Capture()):
            del table["new"]
        assert dict(table) == {**before, "sdpa": mine}
    finally:
        table.clear()
        table.update(before)
