"""Changes to attention: each against the same change made by hand, and nothing left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.zoo.families import FAMILIES
from transformers import AttentionInterface

import whence
from whence.core import CapabilityError, OptionError
from whence.models.access import GivesHeads
from whence.models.internals.interventions import EdgeKnockout, HeadReplacement, ZeroValues

TEXT = "He denies chest pain but reports a mild cough since Monday."
LONG = ["bert", "distilbert", "gpt2", "llama", "qwen3", "mistral", "gemma3", "mixtral"]
BOTH = [*LONG, "t5", "bart"]


def ready(name):
    tiny = FAMILIES[name]()
    model = whence.load((tiny.module, tiny.tokenizer))
    encoding = model.encode(TEXT)
    readout = model.readout(encoding, [whence.Continuation(text=" a b")] if _writes(model) else [])
    return model, encoding, readout


def _writes(model):
    return model.task in ("causal", "seq2seq")


def layers(model, encoding, readout):
    return model.head_outputs([whence.models.protocols.Row(ids=encoding.ids)], readout)


@pytest.mark.parametrize("name", BOTH)
def test_no_change_changes_nothing_and_a_heads_own_output_is_no_change(name):
    model, encoding, readout = ready(name)
    assert isinstance(model, GivesHeads)
    before = dict(AttentionInterface._global_mapping)
    outputs = layers(model, encoding, readout)
    first = next(iter(outputs))
    own = HeadReplacement(layer=first, head=1, outputs=tuple(c[0, :, 1] for c in outputs[first]))
    zero = HeadReplacement(layer=first, head=1)
    values = model.evaluate_with_changes(encoding, readout, [(), (own,), (zero,)]).values
    assert np.allclose(values[0], values[1], atol=1e-6)
    assert abs(values[2, 0] - values[0, 0]) > 1e-7
    assert AttentionInterface._global_mapping == before


@pytest.mark.parametrize("name", LONG)
def test_zeroed_values_and_cut_edges_agree_with_eager_weights_done_by_hand(name):
    model, encoding, readout = ready(name)
    n = len(encoding.ids)
    outputs = layers(model, encoding, readout)
    last = list(outputs)[-1]
    queries = outputs[last][0].shape[1]

    class Capture:
        def __init__(self):
            self.weights = {}

        def rows(self, call, start, weights, seen):
            self.weights.setdefault(call.name, []).append(weights)

        def close(self, call, error, rounding):
            pass

    kept = Capture()
    forced = [] if not _writes(model) else list(readout.sequences[0][:-1])
    model.attention(encoding, kept, forced=forced)
    weights = np.concatenate(kept.weights[last], axis=2)[0]
    cut = np.zeros((queries, queries), dtype=bool)
    cut[n - 1, 0] = True
    edges = EdgeKnockout(layer=last, head=0, cut=cut)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        from whence.models.internals import interventions

        real = interventions._Changes.after

        def after(self, call):
            found = real(self, call)
            if call.name == last:
                seen.append((call.states[2], call.output.clone(), found.clone()))
            return found

        patch.setattr(interventions._Changes, "after", after)
        zeroed = ZeroValues(layer=last, keys=np.array([0]))
        model.evaluate_with_changes(encoding, readout, [(), (edges,), (zeroed,)])
    value, kernel, found = seen[0]
    value = value[0].repeat_interleave(weights.shape[0] // value.shape[1], dim=0).numpy()
    # Everywhere but in the one row of the one head, the kernel's own output.
    same = found[1] == kernel[1]
    same[n - 1, 0] = True
    assert bool(same.all())
    row = weights[0, n - 1].copy()
    gone = row[0]
    row[0] = 0
    # A sink of the model's own takes its share of what is freed.
    total = 1 - gone
    want = (row / total) @ value[0]
    assert np.allclose(found[1, n - 1, 0].numpy(), want, atol=2e-6)
    value[:, 0] = 0
    want = np.einsum("hqk,hkd->qhd", weights, value)
    assert np.allclose(found[2].numpy(), want, atol=2e-6)


def test_a_changed_model_gives_its_own_answer_afterwards():
    model, encoding, readout = ready("gpt2")
    row = whence.models.protocols.Row(ids=encoding.ids)
    before = model.evaluate([row], readout).values
    name = next(iter(layers(model, encoding, readout)))
    model.evaluate_with_changes(encoding, readout, [(HeadReplacement(layer=name, head=0),)])
    assert np.array_equal(before, model.evaluate([row], readout).values)


@pytest.mark.parametrize("name", LONG)
def test_gradients_are_what_a_small_step_measures(name):
    model, encoding, readout = ready(name)
    found = model.head_gradients(encoding, readout)
    last = list(found.outputs)[-1]
    own = found.outputs[last][0][:, 0]
    direction = np.random.default_rng(0).normal(size=own.shape).astype(np.float32)
    step = 1e-2
    pair = [
        (HeadReplacement(layer=last, head=0, outputs=(own + sign * step * direction,)),)
        for sign in (1, -1)
    ]
    up, down = model.evaluate_with_changes(encoding, readout, pair).values[:, 0]
    slope = float((found.gradients[last][0][0, :, 0] * direction).sum())
    assert slope == pytest.approx((up - down) / (2 * step), rel=0.05, abs=2e-4)


def test_what_cannot_be_changed_says_so():
    model, encoding, readout = ready("bert")
    name = next(iter(layers(model, encoding, readout)))
    n = len(encoding.ids)
    wrong = [
        (HeadReplacement(layer=name, head=99), OptionError, "head 99"),
        (HeadReplacement(layer=name, head=0, queries=np.array([n])), OptionError, f"query {n}"),
        (ZeroValues(layer=name, keys=np.array([n])), OptionError, f"key {n}"),
        (
            EdgeKnockout(layer=name, head=0, cut=np.ones((2, 2), bool)),
            OptionError,
            "expected edges",
        ),
        (EdgeKnockout(layer=name, head=0, cut=np.ones((n, n), bool)), OptionError, "no key"),
        (EdgeKnockout(layer=name, head=9, cut=np.eye(n, dtype=bool)), OptionError, "head 9"),
        (HeadReplacement(layer=name, head=0, outputs=()), CapabilityError, "ran 1 times"),
        (
            HeadReplacement(layer=name, head=0, outputs=(np.zeros((2, 8), np.float32),)),
            OptionError,
            "same number of tokens",
        ),
        (HeadReplacement(layer="nowhere", head=0), CapabilityError, "nowhere"),
    ]
    for change, kind, words in wrong:
        with pytest.raises(kind, match=words):
            model.evaluate_with_changes(encoding, readout, [(change,)])
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3", "mixtral"])
def test_the_direct_slope_is_what_a_head_adds_to_the_logit_by_itself(name):
    tiny = FAMILIES[name]()
    model, encoding, _ = ready(name)
    token = 7
    readout = model.readout(encoding, [whence.NextToken(token=token)], link="logit")
    found = model.head_gradients(encoding, readout, direct=True)
    module, n = tiny.module, len(encoding.ids)
    body = getattr(module, "transformer", None) or module.model
    blocks = body.h if name == "gpt2" else body.layers
    norm = body.ln_f if name == "gpt2" else body.norm
    states = []
    handle = norm.register_forward_hook(lambda _, given, out: states.append((given[0], out)))
    with torch.inference_mode():
        module(input_ids=torch.tensor(encoding.ids[None]))
    handle.remove()
    state, normed = states[0][0][0, -1].double(), states[0][1][0, -1].double()
    centred = state - state.mean() if name == "gpt2" else state
    # The norm's own gain over its divisor, read off its output.
    bias = norm.bias.double() if name == "gpt2" else 0
    scale = (normed - bias) / centred
    for layer, (path, calls) in enumerate(found.outputs.items()):
        block = blocks[layer]
        project = block.attn.c_proj.weight.T if name == "gpt2" else block.self_attn.o_proj.weight
        heads, width = calls[0].shape[1:]
        for head in range(heads):
            output = torch.tensor(calls[0][-1, head]).double()
            part = project[:, head * width : (head + 1) * width].detach().double() @ output
            if name == "gemma3":  # a norm stands between the projection and the stream
                after = block.post_attention_layernorm
                whole = project.detach() @ torch.tensor(calls[0][-1].reshape(-1))
                rms = torch.rsqrt(whole.square().mean() + after.eps)
                part = part * (1 + after.weight.detach().double()) * rms
            part = part - part.mean() if name == "gpt2" else part
            wanted = float((module.lm_head.weight[token].double() @ (scale * part)).detach())
            gradients = found.gradients[path][0][0]
            mine = float((gradients[:, head] * calls[0][:, head]).sum())
            assert mine == pytest.approx(wanted, abs=2e-6, rel=2e-4)
            assert np.abs(gradients[: n - 1]).max() == 0


@pytest.mark.parametrize("name", BOTH)
def test_direct_gradients_of_the_last_layer_before_any_feed_forward_hold_what_later_layers_read(
    name,
):
    model, encoding, readout = ready(name)
    whole = model.head_gradients(encoding, readout)
    direct = model.head_gradients(encoding, readout, direct=True)
    assert list(whole.gradients) == list(direct.gradients)
    first = next(iter(direct.gradients))
    assert not np.allclose(whole.gradients[first][0], direct.gradients[first][0])
    assert not [
        h for m in model.module.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)
    ]
