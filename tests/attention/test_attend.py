"""Attention of every family: sizes, certificates, what is kept, and what is refused."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from tests.zoo.families import FAMILIES

import whence
from whence.attention.attend import attend
from whence.attention.head_ablation import HeadAblation
from whence.attention.statistics import STATISTICS
from whence.attention.store import Attention
from whence.core import CapabilityError, OptionError, RecordError, read_record
from whence.models.internals import attention_capture as module

TEXT = "He denies chest pain but reports a mild cough since Monday."


def loaded(name):
    return whence.load(FAMILIES[name]().pair)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_layer_of_every_family_is_captured(name):
    model = loaded(name)
    found = attend(model, TEXT, row_block=4, effects=None)
    record = found.record
    n = len(model.encode(TEXT).ids)
    assert [t.id for t in record.tokens] == model.encode(TEXT).ids.tolist()
    assert len(record.layers) == (6 if name in {"t5", "bart"} else 2)
    for layer in record.layers:
        kept = found.layer(layer.name)
        assert kept.statistics.shape == (layer.heads, len(STATISTICS))
        assert kept.captured.shape == (layer.heads, layer.queries)
        assert kept.statistics[:, list(STATISTICS).index("row_sum")] == pytest.approx(1, abs=1e-5)
        assert layer.keys == n or layer.attention == "causal"
        if name == "deberta-v2":
            assert layer.certificate is None
            assert "no certificate" in record.notes[0]
            assert layer.states == "not_reproduced"
        else:
            assert layer.certificate < 1e-5
            assert record.notes == ("effects of heads were not asked for",)
            assert layer.states == "kept"
            assert layer.states_error < 1e-5
    kinds = {layer.attention for layer in record.layers}
    if name in {"t5", "bart"}:
        assert kinds == {"bidirectional", "causal", "cross"}
    else:
        assert kinds == {"causal" if model.task == "causal" else "bidirectional"}


@pytest.mark.parametrize("name", ["llama", "mistral", "bart"])
def test_the_continuation_is_read_with_the_prompt(name):
    model = loaded(name)
    written = model.greedy(model.encode(TEXT), 5)
    record = attend(model, TEXT, generate=True, max_new_tokens=5).record
    tokens = record.decoder_tokens or record.tokens
    assert [t.id for t in tokens if t.written][-len(written) + 1 :] == written[:-1]
    last = record.layers[-1]
    assert last.queries == len(tokens)


SMALL = HeadAblation(measure=1, control=0, draws=2, ablation="zero")


@pytest.mark.parametrize("effects", [None, SMALL])
@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize(
    ("name", "generate"),
    [("bert", False), ("deberta-v2", False), ("llama", False), ("llama", True), ("t5", True)],
)
def test_the_record_counts_every_pass(name, generate, flow, effects):
    model = loaded(name)
    ran = [0, 0]

    def count(_, given, named):
        read = [named.get(key) for key in ("decoder_input_ids", "input_ids", "inputs_embeds")]
        ids = next(each for each in read if each is not None)
        ran[0] += ids.shape[0]
        ran[1] += ids.shape[0] * ids.shape[1]

    handle = model.module.register_forward_pre_hook(count, with_kwargs=True)
    try:
        record = attend(
            model, TEXT, generate=generate, max_new_tokens=4, flow=flow, effects=effects
        ).record
    finally:
        handle.remove()
    cost = record.provenance.cost
    passes = cost.evaluations + cost.gradient_evaluations
    tokens = cost.tokens
    if record.effects is not None:
        passes += record.effects.cost.evaluations + record.effects.cost.gradient_evaluations
        tokens += record.effects.cost.tokens
    assert passes == ran[0]
    assert cost.distinct_evaluations == cost.evaluations
    if (
        name != "t5"
    ):  # an encoder's tokens are counted too; see tests/models/internals/test_pass_counter.py
        assert tokens == ran[1]
    # Sizes and the watched pass; a label that the answer decides; the flow where it has an end.
    if name in {"bert", "llama"} and not generate:
        wanted = 2 if effects is None else 3 + flow
        # Once for a model: that logits of some positions are those of all.
        wanted += 2 * (name == "llama")
        assert (cost.evaluations, cost.gradient_evaluations) == (wanted, 0)
    if name == "deberta-v2":
        wanted = (6, 0) if effects is None else (7, 1)
        assert (cost.evaluations, cost.gradient_evaluations) == wanted
    assert cost.seconds > 0


def test_the_record_states_the_options():
    model = loaded("bert")
    asked = {
        "target": whence.Contrast(label="low", against="high"),
        "link": "logit",
        "flow": False,
    }
    options = attend(model, TEXT, effects=SMALL, **asked).record.provenance.method.options
    assert options["target"] == repr(asked["target"])
    assert (options["link"], options["flow"]) == ("logit", False)
    options = attend(model, TEXT, effects=SMALL, target="low").record.provenance.method.options
    assert (options["target"], options["link"], options["flow"]) == ("low", None, True)


def test_saved_and_read_back_bit_for_bit(tmp_path):
    found = attend(loaded("bert"), TEXT)
    again = Attention.load(found.save(tmp_path / "a"))
    assert again.record == found.record
    assert read_record(tmp_path / "a" / "attention.json") == found.record
    assert again.tensors._arrays == {}
    for name in found.tensors:
        mine, theirs = found.tensors[name], again.tensors[name]
        assert mine.dtype == theirs.dtype
        assert mine.tobytes() == theirs.tobytes()
    path = next((tmp_path / "a").glob("*.safetensors"))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    last = found.record.layers[-1].name
    with pytest.raises(RecordError, match="changed or cut off"):
        for name in Attention.load(tmp_path / "a").tensors:
            again.tensors._arrays.clear()
            assert again.tensors[name] is not None
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(RecordError, match="could not read"):
        Attention.load(tmp_path / "a").layer(last)
    path.unlink()
    with pytest.raises(RecordError, match="could not read"):
        Attention.load(tmp_path / "a")


def test_weights_that_miss_the_output_are_not_shown(monkeypatch):
    model = loaded("bert")
    real = module._row_mask

    def wrong(mask, lines, query, key, *, causal):
        _, seen = real(mask, lines, query, key, causal=True)
        later = torch.arange(key.shape[2])[None] > lines[:, None]
        return torch.where(later, -9.0, 0.0)[None, None], seen

    monkeypatch.setattr(module, "_row_mask", wrong)
    found = attend(model, TEXT)
    assert not any(layer.shown for layer in found.record.layers)
    assert len(found.tensors) == 0
    with pytest.raises(OptionError, match="are not shown"):
        found.layer(found.record.layers[0].name)


def test_bad_options_are_refused():
    with pytest.raises(CapabilityError, match="gives only scores"):
        attend(whence.load(lambda texts: [0.0] * len(texts), labels=["x"]), TEXT)
    with pytest.raises(CapabilityError, match="only causal"):
        attend(loaded("bert"), TEXT, generate=True)
    for name in ("max_new_tokens", "row_block"):
        with pytest.raises(OptionError, match=name):
            attend(loaded("bert"), TEXT, **{name: 0})
    with pytest.raises(OptionError, match="layer"):
        attend(loaded("bert"), TEXT).layer("nowhere")


def test_the_heaviest_keys_are_those_of_the_model():
    tiny = FAMILIES["bert"]()
    model = whence.load(tiny.pair)
    encoding = model.encode(TEXT)
    kept = attend(model, TEXT)
    eager = copy.deepcopy(tiny.module)
    eager.set_attn_implementation("eager")
    with torch.inference_mode():
        weights = eager(
            input_ids=torch.tensor(encoding.ids[None]), output_attentions=True
        ).attentions
    for layer, theirs in zip(kept.record.layers, weights, strict=True):
        summary = kept.layer(layer.name)
        top = theirs[0].topk(8, dim=-1)
        assert np.abs(summary.top_weights - top.values.numpy()).max() < 1e-3
        assert (summary.top_keys == top.indices.numpy()).mean() > 0.99


@pytest.mark.parametrize("name", ["bert", "llama", "gemma3", "t5"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_met_within_its_own_rounding(name, dtype):
    tiny = FAMILIES[name]()
    whole = attend(whence.load(tiny.pair), TEXT)
    halved = attend(whence.load((copy.deepcopy(tiny.module).to(dtype), tiny.tokenizer)), TEXT)
    for layer in halved.record.layers:
        assert layer.shown
        assert layer.certificate <= layer.limit == max(1e-3, torch.finfo(dtype).eps)
    assert {layer.limit for layer in whole.record.layers} == {1e-3}


@pytest.mark.parametrize("name", ["bert", "llama", "t5", "deberta-v2"])
def test_double_precision_is_captured(name):
    tiny = FAMILIES[name]()
    whole = attend(whence.load(tiny.pair), TEXT, effects=SMALL)
    module = copy.deepcopy(tiny.module).double()
    doubled = attend(whence.load((module, tiny.tokenizer)), TEXT, effects=SMALL)
    for layer in doubled.record.layers:
        assert layer.shown
        if name != "deberta-v2":
            assert layer.certificate < 1e-6
            assert layer.states == "kept"
        mine, theirs = doubled.layer(layer.name), whole.layer(layer.name)
        # Statistics that a head does not have are NaN on both sides.
        for key in ("statistics", "captured"):
            np.testing.assert_allclose(getattr(mine, key), getattr(theirs, key), atol=1e-3)
    if whole.record.effects is not None:
        assert doubled.record.effects.value == pytest.approx(whole.record.effects.value, abs=1e-4)


def test_a_record_of_the_first_version_is_read_and_its_numbers_are_refused(tmp_path):
    record = attend(loaded("bert"), TEXT, effects=None).record
    tree = json.loads(record.to_json())
    tree["schema_version"] = 1
    for name in ("heads", "effects", "flow", "manifest"):
        del tree[name]
    (tmp_path / "attention.json").write_text(json.dumps(tree))
    old = read_record(tmp_path / "attention.json")
    assert (old.heads, old.effects, old.flow, old.manifest) == ((), None, None, ())
    assert old.tokens == record.tokens
    with pytest.raises(RecordError, match="early whence"):
        Attention.load(tmp_path)
