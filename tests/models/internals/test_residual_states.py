"""States after blocks: found in every family, replaced where changes_with, and nothing left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.zoo.depth import ACROSS, CLEAN, OTHER, albert, loaded, target_of
from tests.zoo.families import VARIANTS

import whence
from whence.core import CapabilityError, OptionError
from whence.models.access import GivesStates
from whence.models.internals.residual_states import (
    StateReplacement,
    StateSink,
    capture_states,
    last_stack,
    replace_states,
)
from whence.models.protocols import Row


def ready(name):
    model = loaded(name)
    encoding = model.encode(CLEAN)
    target = target_of(model)
    readout = model.readout(encoding, [] if target is None else [target])
    row = Row(ids=encoding.ids, token_types=encoding.token_types)
    return model, encoding, readout, row, model.states(row, readout)


def hooks(module):
    return {name: len(child._forward_hooks) for name, child in module.named_modules()}


@pytest.mark.parametrize("name", list(ACROSS))
def test_a_states_own_copy_is_no_change_and_another_is_one(name):
    model, encoding, readout, row, states = ready(name)
    assert isinstance(model, GivesStates)
    assert len(states) == (4 if name in {"t5", "bart"} else 2)
    before = hooks(model.module)
    value = model.evaluate([row], readout).values
    for block, calls in states.items():
        assert len(calls) == 1
        own = StateReplacement(block=block, positions=np.arange(len(calls[0])), states=tuple(calls))
        kept = model.evaluate_with_states(encoding, readout, [(own,)]).values
        assert np.array_equal(kept, value)
        mirrored = tuple(call[:, ::-1].copy() for call in calls)
        turned = StateReplacement(block=block, positions=own.positions, states=mirrored)
        both = model.evaluate_with_states(encoding, readout, [(), (turned,)]).values
        assert np.allclose(both[0], value, atol=1e-5)
        assert abs(both[1, 0] - value[0, 0]) > 1e-6
    assert hooks(model.module) == before
    assert np.array_equal(model.evaluate([row], readout).values, value)


@pytest.mark.parametrize("name", ["gpt2", "bert", "modernbert"])
def test_states_are_those_that_the_model_tells_of_itself(name):
    model, encoding, _, _, states = ready(name)
    ids = torch.tensor(encoding.ids[None])
    with torch.inference_mode():
        told = model.module(input_ids=ids, output_hidden_states=True).hidden_states
    first = next(iter(states.values()))[0][: ids.shape[1]]
    assert np.allclose(first, told[1][0].numpy(), atol=1e-6)


def test_only_the_positions_named_are_replaced():
    model, encoding, readout, row, states = ready("bert")
    other = model.encode(OTHER)
    donor = model.states(Row(ids=other.ids, token_types=other.token_types), readout)
    last = list(states)[-1]
    # The head reads the first token alone.
    settings = {"block": last, "states": tuple(donor[last])}
    elsewhere = StateReplacement(positions=np.arange(1, len(encoding.ids)), **settings)
    there = StateReplacement(positions=np.array([0]), **settings)
    value = model.evaluate([row], readout).values[0, 0]
    found = [
        model.evaluate_with_states(encoding, readout, [(c,)]).values[0, 0]
        for c in (elsewhere, there)
    ]
    wanted = model.evaluate([Row(ids=other.ids, token_types=other.token_types)], readout).values
    assert found == [value, wanted[0, 0]]


def test_the_hooks_are_gone_after_an_exception():
    model, encoding, readout, _, states = ready("gpt2")
    before = hooks(model.module)
    block, calls = next(iter(states.items()))

    def changes_with(**changes):
        settings = {"block": block, "positions": np.array([0]), "states": tuple(calls)}
        return [(StateReplacement(**{**settings, **changes}),)]

    for changes, error, match in (
        (changes_with(block="nowhere"), OptionError, "expected one of transformer.h.0"),
        (changes_with(positions=np.array([500])), OptionError, "position 500"),
        (changes_with(positions=np.array([-1])), OptionError, "reads"),
        (changes_with(states=(calls[0][:3],)), OptionError, "same number of tokens"),
        (changes_with(states=()), CapabilityError, "ran 1 times; states were given for 0"),
    ):
        with pytest.raises(error, match=match):
            model.evaluate_with_states(encoding, readout, changes)
        assert hooks(model.module) == before
    with pytest.raises(RuntimeError, match="stop"), capture_states(model.module, StateSink()):
        raise RuntimeError("stop")
    assert hooks(model.module) == before
    with (
        pytest.raises(CapabilityError, match="which never ran"),
        replace_states(model.module, changes_with()),
    ):
        pass
    with (
        pytest.raises(CapabilityError, match="expected a batch of 1 rows"),
        torch.inference_mode(),
        replace_states(model.module, changes_with()),
    ):
        model.module(input_ids=torch.ones((2, 4), dtype=torch.long))


def test_a_models_own_hooks_stay_and_are_heard():
    model, _, readout, row, states = ready("llama")
    heard = []
    block = model.module.get_submodule(next(iter(states)))
    handle = block.register_forward_hook(lambda *_: heard.append(1))
    model.states(row, readout)
    assert heard == [1]
    assert list(block._forward_hooks.values())
    handle.remove()


def test_blocks_that_share_weights_and_models_without_blocks():
    model = whence.load(albert().pair)
    encoding = model.encode(CLEAN)
    with pytest.raises(CapabilityError, match="runs 2 times in 1 pass"):
        model.states(Row(ids=encoding.ids), model.readout(encoding, []))
    with pytest.raises(CapabilityError, match="no list of blocks"):
        StateSink().check("Nothing", 1)
    embedder = whence.load(VARIANTS["embedder"]().pair)
    with pytest.raises(CapabilityError, match="has no logits"):
        embedder.block_states(embedder.encode(CLEAN), (), ())


def test_the_last_stack_is_the_decoders():
    names = ["encoder.block.0", "encoder.block.1", "decoder.block.0", "decoder.block.1"]
    assert last_stack(names) == ("decoder.block.0", "decoder.block.1")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_no_dtype_loses_a_bit_on_its_way_through(dtype):
    import copy

    tiny = ACROSS["llama"]()
    model = whence.load((copy.deepcopy(tiny.module).to(dtype), tiny.tokenizer))
    lens = whence.logit_lens(model, CLEAN, target=" a b")
    assert lens.certificate == 0.0
    found = whence.patch(model, CLEAN, OTHER, target=" a b", positions="all", token_budget=1)
    assert found.scores[0].tolist() == (found.values - found.base_values).tolist()
