"""Parameters drawn anew: all of them, reproducibly, and put back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.attribution.test_conformance import state_of
from tests.zoo.families import FAMILIES

import whence
from whence.core import CapabilityError, OptionError
from whence.models.weights.quantize import quantize
from whence.models.weights.randomize import change_parameters, layers_of, randomize

FOUR = ["gpt2", "llama", "t5", "bert"]


@pytest.mark.parametrize("name", [*FOUR, "bart", "mixtral", "gemma3", "deberta-v2"])
def test_every_parameter_is_randomised_and_put_back(name):
    """Conv1D, norms and raw parameters too: nothing is left to what a module can reset."""
    tiny = FAMILIES[name]()
    model = whence.load(tiny.pair)
    before = state_of(tiny)
    old = {n: p.detach().clone() for n, p in tiny.module.named_parameters()}
    with randomize(model, seed=3) as changed:
        assert changed.share == 1.0
        assert set(changed.distances) == set(old)
        for key, parameter in tiny.module.named_parameters():
            # By the tensors themselves, not by what the context says of them.
            moved = (parameter != old[key]).float().mean()
            assert moved > 0.99, key
    assert state_of(tiny) == before


def test_conv1d_holds_most_of_gpt2_and_has_no_initialiser():
    """What is reached by modules with reset_parameters alone is a minor part."""
    tiny = FAMILIES["gpt2"]()
    with_reset = {
        id(p)
        for m in tiny.module.modules()
        if hasattr(m, "reset_parameters")
        for p in m.parameters(recurse=False)
    }
    total = sum(p.numel() for p in tiny.module.parameters())
    reached = sum(p.numel() for p in tiny.module.parameters() if id(p) in with_reset)
    assert reached < total
    with randomize(tiny.module, seed=0) as changed:
        assert changed.reached == changed.total == total


@pytest.mark.parametrize("name", FOUR)
def test_layers_cover_all_once_from_the_top_down(name):
    tiny = FAMILIES[name]()
    layers = layers_of(tiny.module)
    names = [p for layer in layers for p in layer.parameters]
    assert sorted(names) == sorted(n for n, _ in tiny.module.named_parameters())
    assert len({layer.name for layer in layers}) == len(layers)
    top, bottom = layers[0].name, layers[-1].name
    assert "emb" in bottom or "wte" in bottom or "shared" in bottom
    assert any(part in top for part in ("classifier", "lm_head", "ln_f", "norm"))


def test_a_tied_weight_is_drawn_once_and_stays_tied():
    tiny = FAMILIES["gpt2"]()
    assert tiny.module.lm_head.weight is tiny.module.transformer.wte.weight
    with randomize(tiny.module, seed=1) as changed:
        assert tiny.module.lm_head.weight is tiny.module.transformer.wte.weight
        assert not any("lm_head" in name for name in changed.distances)


def test_the_seed_decides_and_a_longer_cascade_keeps_what_the_shorter_drew():
    tiny = FAMILIES["bert"]()
    layers = layers_of(tiny.module)
    name = layers[0].parameters[0]

    def value(seed, chosen):
        with randomize(tiny.module, seed=seed, layers=chosen):
            return dict(tiny.module.named_parameters())[name].detach().clone()

    assert torch.equal(value(1, layers[:1]), value(1, layers[:3]))
    assert torch.equal(value(1, [layers[0].name]), value(1, None))
    assert not torch.equal(value(1, None), value(2, None))
    # Two tensors of one shape are not drawn alike.
    with randomize(tiny.module, seed=1):
        query = tiny.module.bert.encoder.layer[0].attention.self.query.weight.detach()
        key = tiny.module.bert.encoder.layer[0].attention.self.key.weight.detach()
        assert abs(np.corrcoef(query.flatten(), key.flatten())[0, 1]) < 0.2


def test_one_layer_alone():
    tiny = FAMILIES["llama"]()
    layer = layers_of(tiny.module)[2]
    old = {n: p.detach().clone() for n, p in tiny.module.named_parameters()}
    with randomize(tiny.module, seed=0, layers=[layer]) as changed:
        assert 0 < changed.share < 1
        assert changed.reached == changed.named
        differing = {n for n, p in tiny.module.named_parameters() if not torch.equal(p, old[n])}
    assert differing == set(layer.parameters)


def test_put_back_after_an_exception():
    tiny = FAMILIES["bert"]()
    before = state_of(tiny)
    with pytest.raises(RuntimeError, match="stop"), randomize(tiny.module, seed=0):
        raise RuntimeError("stop")
    assert state_of(tiny) == before

    def half_way(name, value):
        if "classifier" in name:
            raise RuntimeError("stop")
        return value + 1

    names = [n for n, _ in tiny.module.named_parameters()]
    with pytest.raises(RuntimeError), change_parameters(tiny.module, names, half_way):
        pass
    assert state_of(tiny) == before


def test_fingerprint_and_mean_embedding_follow_the_weights():
    """The fingerprint and the mean embedding follow the weights there and back."""
    model = whence.load(FAMILIES["bert"]().pair)
    before, mean = model.fingerprint(), model.mean_embedding().copy()
    with randomize(model, seed=0):
        assert model.fingerprint() != before
        assert not np.allclose(model.mean_embedding(), mean)
    assert model.fingerprint() == before
    assert np.array_equal(model.mean_embedding(), mean)


def test_refusals():
    with pytest.raises(CapabilityError, match="only scores"):
        layers_of(whence.load(lambda texts: [0.0] * len(texts)))
    with (
        pytest.raises(OptionError, match="unknown layer"),
        randomize(FAMILIES["bert"]().module, seed=0, layers=["nowhere"]),
    ):
        pass
    layer = layers_of(FAMILIES["bert"]().module)[0]
    with (
        pytest.raises(OptionError, match="twice"),
        randomize(FAMILIES["bert"]().module, seed=0, layers=[layer, layer]),
    ):
        pass
    whole = torch.nn.Module()
    whole.register_parameter("k", torch.nn.Parameter(torch.ones(3, dtype=torch.int8), False))
    with pytest.raises(CapabilityError, match="quantisation"), randomize(whole, seed=0):
        pass
    with torch.inference_mode():
        made = torch.nn.Linear(2, 2)
    with pytest.raises(CapabilityError, match="inference mode"), randomize(made, seed=0):
        pass
    with (
        pytest.raises(CapabilityError, match="in memory"),
        randomize(torch.nn.Linear(2, 2, device="meta"), seed=0),
    ):
        pass


def test_rounded_weights_are_representable_near_and_put_back():
    tiny = FAMILIES["gpt2"]()
    before = state_of(tiny)
    old = tiny.module.transformer.h[0].mlp.c_fc.weight.detach().clone()
    with quantize(tiny.module, "int8"):
        new = tiny.module.transformer.h[0].mlp.c_fc.weight.detach()
        step = old.abs().amax(-1, keepdim=True) / 127
        levels = new / step
        assert torch.allclose(levels, levels.round(), atol=1e-3)
        assert ((new - old).abs() <= step / 2 + 1e-6).all()
        assert not torch.equal(new, old)
    with quantize(tiny.module, "bfloat16") as changed:
        assert all(d < 0.004 for d in changed.distances.values())
        assert torch.equal(
            tiny.module.transformer.wte.weight,
            tiny.module.transformer.wte.weight.bfloat16().float(),
        )
    assert state_of(tiny) == before
    with pytest.raises(OptionError, match="format"), quantize(tiny.module, "int7"):
        pass
