"""A kept answer is used again only where all that decides it is the same."""

from __future__ import annotations

import copy
import types
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from tests.zoo.families import FAMILIES

import whence
from whence.core import CapabilityError
from whence.games import DiskCache, MemoryCache

TEXT = "He denies chest pain ."
ROWS = 5 + 2
"""Each word left out, all and none."""


@pytest.fixture
def pair():
    return copy.deepcopy(FAMILIES["bert"]().pair)


def _asked(model, cache=None):
    found = whence.explain(
        model, TEXT, target=0, link="logit", method="leave-one-out", trust="off", cache=cache,
        token_budget=1,
    )  # fmt: skip
    return found, found.values[0]


def _truth(module, tokenizer):
    with torch.inference_mode():
        return float(module(**tokenizer(TEXT, return_tensors="pt")).logits[0, 0])


def _fused_step(module, tokenizer):
    steps = torch.optim.AdamW(module.parameters(), lr=0.05, fused=True)
    module(**tokenizer(TEXT, return_tensors="pt"), labels=torch.tensor([1])).loss.backward()
    steps.step()


def _buffer(module, _):
    """Type ids of a text without any come from a buffer that is not saved."""
    module.bert.embeddings.token_type_ids = torch.ones_like(module.bert.embeddings.token_type_ids)


def _scale(module, _):
    """A number that is no weight."""
    for layer in module.bert.encoder.layer:
        layer.attention.self.scaling = 0.9


def _activation(module, _):
    module.bert.encoder.layer[0].intermediate.intermediate_act_fn = torch.nn.Identity()


def _function(module, _):
    part = module.bert.encoder.layer[0].intermediate
    del part.intermediate_act_fn
    part.intermediate_act_fn = torch.tanh


def _weight_norm(module, _):
    """The product of a direction and a size, of which the size is doubled."""
    torch.nn.utils.parametrizations.weight_norm(module.classifier)
    module.classifier.parametrizations.weight.original0.data.mul_(2)


CHANGES = {
    "fused step": _fused_step,
    "data": lambda module, _: module.classifier.weight.data.mul_(2),
    "swap of data": lambda module, _: setattr(
        module.classifier.weight, "data", -module.classifier.weight.data
    ),
    "one number": lambda module, _: module.classifier.bias.data[0].add_(1),
    "bfloat16": lambda module, _: module.bfloat16(),
    "replaced parameter": lambda module, _: setattr(
        module.classifier, "bias", torch.nn.Parameter(module.classifier.bias + 1)
    ),
    "buffer": _buffer,
    "setting": _scale,
    "activation": _activation,
    "function": _function,
    "parametrization": _weight_norm,
    "head": lambda module, _: setattr(
        module, "classifier", torch.nn.Sequential(module.classifier, torch.nn.Tanh())
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_decides_an_answer_is_in_its_key(pair, change):
    module, tokenizer = pair
    model, cache = whence.load(pair, task="classification"), MemoryCache()
    for kept in (None, cache):
        _asked(model, kept)
    before = model.answer_state()
    CHANGES[change](module, tokenizer)
    # float(): a text read alone has its type ids from the tokenizer, and its mask.
    inputs = model.batch([_row(model)])
    with torch.inference_mode():
        truth = float(module(**inputs).logits[0, 0])
    for kept in (None, cache):
        found, value = _asked(model, kept)
        assert value == pytest.approx(truth, rel=1e-5, abs=1e-6)
        assert found.provenance.cost.distinct_evaluations == ROWS
    assert model.answer_state().key != before.key
    assert model.answer_state().doubts == ()


def _row(model):
    from whence.models.protocols import Row

    encoding = model.encode(TEXT)
    return Row(ids=encoding.ids, token_types=encoding.token_types)


def _hook(module):
    handle = module.classifier.register_forward_hook(lambda *a: 3 * a[-1])
    return handle.remove


def _deep_pre_hook(module):
    layer = module.bert.encoder.layer[1].output.dense
    return layer.register_forward_pre_hook(lambda _, args: (2 * args[0],)).remove


def _global_hook(module):
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda child, _, out: 3 * out if child is module.classifier else None
    )
    return hook.remove


def _instance(module):
    old = module.classifier.forward
    module.classifier.forward = lambda x: 3 * old(x)
    return lambda: delattr(module.classifier, "forward")


def _top(module):
    old = module.forward

    def forward(self, *args, **kwargs):
        result = old(*args, **kwargs)
        result.logits = 3 * result.logits
        return result

    module.forward = types.MethodType(forward, module)
    return lambda: delattr(module, "forward")


@pytest.mark.parametrize("put", [_hook, _deep_pre_hook, _global_hook, _instance, _top])
def test_what_cannot_be_read_leaves_a_cache_alone(pair, put, tmp_path):
    """Neither read nor written: answers under a hook are not those of the model without it."""
    model = whence.load(pair)
    untouched = _asked(model)[1]
    with DiskCache(tmp_path / "c") as cache:
        remove = put(pair[0])
        try:
            found, value = _asked(model, cache)
        finally:
            remove()
        assert len(cache) == 0
        assert value != pytest.approx(untouched)
        assert any("the cache was not used" in note for note in found.notes)
        found, value = _asked(whence.load(pair), cache)
        assert value == untouched
        assert not any("cache" in note for note in found.notes)
        # And once it is filled, it is not read.
        remove = put(pair[0])
        try:
            assert _asked(model, cache)[1] != pytest.approx(untouched)
        finally:
            remove()


@contextmanager
def _patched_class(module):
    kind = type(module.classifier)
    old = kind.forward
    kind.forward = lambda self, x: 3 * old(self, x)
    try:
        yield
    finally:
        kind.forward = old


def test_a_class_whose_forward_was_replaced_has_another_key(pair):
    model, cache = whence.load(pair), MemoryCache()
    untouched = _asked(model, cache)[1]
    with _patched_class(pair[0]):
        assert _asked(model, cache)[1] != pytest.approx(untouched)
    found, value = _asked(model, cache)
    assert value == untouched
    assert found.provenance.cost.distinct_evaluations == 1


FACTOR = 1.0


class _Scaled(torch.nn.Linear):
    def forward(self, x):
        return FACTOR * super().forward(x)


def test_one_kept_answer_is_asked_again_and_a_difference_found(pair, monkeypatch):
    """A global that a layer reads is in no key: only the model's own answer shows it."""
    pair[0].classifier.__class__ = _Scaled
    model, cache = whence.load(pair), MemoryCache()
    untouched = _asked(model, cache)[1]
    size = len(cache)
    found, value = _asked(model, cache)
    assert value == untouched
    assert found.provenance.cost.distinct_evaluations == 1
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    found, value = _asked(model, cache)
    assert value == pytest.approx(3 * untouched)
    assert any("something that whence cannot read" in note for note in found.notes)
    assert len(cache) == size
    # The one that showed it, and all of them.
    assert found.provenance.cost.distinct_evaluations == ROWS + 1


def test_callables_are_asked_in_every_call():
    factor = [1.0]
    model, cache = whence.load(lambda texts: [factor[0] * len(t) for t in texts]), MemoryCache()
    first = whence.explain(model, TEXT, method="leave-one-out", trust="off", cache=cache)
    factor[0] = 2.0
    second = whence.explain(model, TEXT, method="leave-one-out", trust="off", cache=cache)
    assert np.array_equal(second.scores, 2 * first.scores)
    assert len(cache) == 0


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "gemma3", "t5", "mixtral", "deberta-v2"])
def test_reading_a_model_leaves_its_key(name):
    """In another process and after a run: what a run leaves behind must not hide kept answers."""
    model = whence.load(copy.deepcopy(FAMILIES[name]().pair))
    before = model.answer_state()
    target = None if model.task == "classification" else whence.Continuation(max_new_tokens=2)
    whence.explain(model, TEXT, target=target, method="leave-one-out", trust="off")
    assert model.answer_state() == before == whence.load(FAMILIES[name]().pair).answer_state()


def test_counting_passes_is_no_doubt(pair):
    from whence.models.internals.pass_counter import count_passes

    model = whence.load(pair)
    with count_passes(model):
        assert model.answer_state().doubts == ()


def test_hooks_that_transformers_leaves_are_no_doubt(pair):
    module, tokenizer = pair
    before = whence.load(pair).answer_state()
    module(**tokenizer(TEXT, return_tensors="pt"), output_hidden_states=True)
    assert any(child._forward_hooks for child in module.modules())
    assert whence.load(pair).answer_state() == before
    assert before.doubts == ()


@pytest.fixture
def int8(pair):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            torch.ao.quantization.quantize_dynamic(pair[0], {torch.nn.Linear}, dtype=torch.qint8),
            pair[1],
        )


def test_packed_weights_are_explained_and_tell_models_apart(int8):
    model = whence.load(int8, task="classification")
    found, value = _asked(model)
    assert value == pytest.approx(_truth(*int8), rel=1e-5)
    first = found.provenance.model.fingerprint
    weight, bias = int8[0].classifier._packed_params._weight_bias()
    int8[0].classifier.set_weight_bias(weight, bias + 1)
    found, value = _asked(model)
    assert value == pytest.approx(_truth(*int8), rel=1e-5)
    assert found.provenance.model.fingerprint != first


@pytest.mark.parametrize("method", ["integrated-gradients", "value-zeroing"])
def test_gradients_through_integers_are_refused_by_name(int8, method):
    model = whence.load(int8, task="classification")
    with pytest.raises(CapabilityError, match=r"self\.query .*passes no gradients.*KernelShap"):
        whence.explain(model, TEXT, method=method, trust="off")
    assert whence.explain(model, TEXT, trust="default").trust is not None


def test_an_error_inside_a_property_is_shown(pair, monkeypatch):
    model = whence.load(pair)

    def broken():
        raise AttributeError("no such field of the module")

    monkeypatch.setattr(model, "fingerprint", broken)
    with pytest.raises(AttributeError, match="no such field"):
        whence.explain(model, TEXT, trust="off")


def test_the_weights_are_read_once_in_a_call(pair, monkeypatch):
    from whence.models.adapters import local_model

    calls = []
    original = local_model.fingerprint_of
    monkeypatch.setattr(local_model, "fingerprint_of", lambda *a: calls.append(1) or original(*a))
    model = whence.load(pair)
    whence.explain(model, TEXT, method="leave-one-out", trust="default")
    assert len(calls) == 1
