"""Calls of blocks stored for another run, with arguments of every kind."""

from __future__ import annotations

from typing import NamedTuple

import torch
from tests.zoo.families import FAMILIES
from transformers import DynamicCache

from whence.models.internals.block_rerun import BlockCall, rerun


class Pair(NamedTuple):
    first: torch.Tensor
    second: int


def test_arguments_keep_their_kinds_without_gradients_or_a_cache():
    leaf = torch.ones(2, requires_grad=True)
    call = BlockCall.of(
        None,
        (Pair(leaf, 3), [leaf, (leaf, "text")]),
        {"cache": DynamicCache(), "tree": {"deep": Pair(leaf * 2, 4)}, "none": None},
    )
    pair, (plain, (inner, text)) = call.args
    assert isinstance(pair, Pair)
    assert pair.second == 3
    assert text == "text"
    assert isinstance(call.args[1], list)
    assert isinstance(call.kwargs["tree"]["deep"], Pair)
    assert call.kwargs["cache"] is None
    assert call.kwargs["none"] is None
    for tensor in (pair.first, plain, inner, call.kwargs["tree"]["deep"].first):
        assert not tensor.requires_grad


def test_a_block_that_is_given_a_named_tuple_runs_again():
    module = FAMILIES["llama"]().module
    block = module.model.layers[0]
    given = []

    def keep(block, positional, named):
        places = named["position_embeddings"]
        named = {**named, "position_embeddings": Pair(*places)}
        given.append(BlockCall.of(block, positional, named))

    outputs = []
    hooks = [
        block.register_forward_pre_hook(keep, with_kwargs=True),
        block.register_forward_hook(lambda _, __, output: outputs.append(output)),
    ]
    try:
        with torch.inference_mode():
            module(input_ids=torch.arange(5, 11)[None])
    finally:
        for hook in hooks:
            hook.remove()
    with torch.inference_mode():
        as_it_was, zeroed = rerun(module, given[0], "model.layers.0.self_attn", [0, 5])
    state = outputs[0][0] if isinstance(outputs[0], tuple) else outputs[0]
    assert abs(as_it_was - state.reshape(as_it_was.shape).numpy()).max() < 1e-5
    # Values of the last token reach it alone.
    assert abs(zeroed[1, :5] - as_it_was[:5]).max() < 1e-5
    assert abs(zeroed[1, 5] - as_it_was[5]).max() > 1e-3
