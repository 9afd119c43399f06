"""Positions of queries and keys: from 0 in every pass, and on from what a cache holds."""

from __future__ import annotations

import inspect

import pytest
import torch
from tests.zoo.families import FAMILIES
from transformers import DynamicCache

from whence.models.internals.attention_capture import capture_attention

IDS = torch.arange(5, 15)[None]


class Calls:
    """The calls as they come."""

    def __init__(self):
        self.found = []

    def rows(self, call, start, weights, seen):
        pass

    def close(self, call, error, rounding):
        self.found.append(call)

    def places(self, kind):
        return [(c.query_start, c.key_start) for c in self.found if c.kind == kind]


def watched(module, run):
    calls = Calls()
    with torch.inference_mode(), capture_attention(module, calls):
        run()
    return calls


@pytest.mark.parametrize("name", ["bert", "llama", "gemma3", "t5", "bart"])
@pytest.mark.parametrize("use_cache", [True, False])
def test_every_pass_without_a_filled_cache_begins_at_0(name, use_cache):
    module = FAMILIES[name]().module
    options = {} if name == "bert" else {"use_cache": use_cache}
    if name in {"t5", "bart"}:
        options["decoder_input_ids"] = torch.tensor([[2, 5, 6, 7]])

    def run():
        for _ in range(2):
            module(input_ids=IDS, **options)

    calls = watched(module, run)
    assert len(calls.found) == 2 * (6 if name in {"t5", "bart"} else 2)
    assert {(call.query_start, call.key_start) for call in calls.found} == {(0, 0)}


@pytest.mark.parametrize("name", ["llama", "gemma3"])
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_generation_twice_in_one_context(name, cache):
    """The first layer of gemma3 keeps 8 keys, in a static cache too."""
    module = FAMILIES[name]().module
    options = {
        "max_new_tokens": 3,
        "do_sample": False,
        "pad_token_id": 0,
        "eos_token_id": None,
        "cache_implementation": cache,
        "disable_compile": True,
    }

    def run():
        for _ in range(2):
            module.generate(IDS, attention_mask=torch.ones_like(IDS), **options)

    calls = watched(module, run)
    each = {}
    for call in calls.found:
        each.setdefault(call.name, []).append((call.query_start, call.key_start))
    local, whole = each.values()
    assert whole == 2 * [(0, 0), (10, 0), (11, 0)]
    assert local == (2 * [(0, 0), (10, 3), (11, 4)] if name == "gemma3" else whole)


def test_a_cache_filled_before_capture():
    module = FAMILIES["llama"]().module
    # The argument has another name from transformers 5.24 on.
    names = inspect.signature(module.forward).parameters
    state = {"cache" if "cache" in names else "past_key_values": DynamicCache(config=module.config)}
    with torch.inference_mode():
        module(input_ids=IDS, **state)
    calls = watched(module, lambda: module(input_ids=IDS[:, :2], **state))
    assert calls.places("causal") == [(10, 0), (10, 0)]


def test_cross_attention_has_the_places_of_its_decoder():
    module = FAMILIES["t5"]().module
    options = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None}

    def run():
        module.generate(IDS, attention_mask=torch.ones_like(IDS), **options)
        module(input_ids=IDS, decoder_input_ids=IDS[:, :4])

    calls = watched(module, run)
    wanted = [(place, 0) for place in (0, 1, 2, 0) for _ in range(2)]
    assert calls.places("causal") == wanted
    assert calls.places("cross") == wanted
    assert set(calls.places("bidirectional")) == {(0, 0)}
