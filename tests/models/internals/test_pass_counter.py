"""Counted passes and tokens: batches, padding, caches, encoders by themselves, other threads."""

from __future__ import annotations

import threading

import pytest
import torch
from tests.zoo.families import FAMILIES

import whence
from whence.models.internals.pass_counter import count_passes
from whence.models.protocols import Row

TEXT = "He denies chest pain but reports a mild cough since Monday."


def loaded(name):
    return whence.load(FAMILIES[name]().pair)


def test_rows_count_and_padding_does_not():
    model = loaded("bert")
    ids = model.encode(TEXT).ids
    readout = model.readout(model.encode(TEXT), [whence.Label(label="low")])
    with count_passes(model) as count:
        model.evaluate([Row(ids=ids), Row(ids=ids[:5])], readout)
    # Both are read again alone, which shows that the padding of the second changes nothing.
    assert (count.passes, count.tokens) == (4, 2 * (len(ids) + 5))
    assert count.seconds > 0


def test_what_a_cache_held_is_not_read_again():
    model = loaded("llama")
    ids = torch.arange(5, 15)[None]
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    with count_passes(model) as count:
        model.module.generate(ids, attention_mask=torch.ones_like(ids), **options)
    assert (count.passes, count.tokens) == (3, 10 + 1 + 1)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_an_encoder_by_itself_counts_by_its_tokens(name):
    model = loaded(name)
    encoding = model.encode(TEXT)
    with count_passes(model) as count:
        written = model.greedy(encoding, 3)
    steps = count.passes
    assert len(written) <= steps <= len(written) + 1
    # What was written before is in the cache of generate().
    assert count.tokens == len(encoding.ids) + steps


def test_embedded_inputs_and_inputs_given_by_place():
    model = loaded("bert")
    ids = torch.arange(5, 15)[None]
    with torch.inference_mode(), count_passes(model) as count:
        model.module(ids)
        model.module(inputs_embeds=torch.zeros(2, 7, 32))
    assert (count.passes, count.tokens) == (3, 10 + 14)


def test_other_threads_are_not_counted_and_no_hook_is_left():
    model = loaded("t5")
    encoding = model.encode(TEXT)

    def hooks():
        return sum(len(child._forward_pre_hooks) for child in model.module.modules())

    before = hooks()
    with pytest.raises(ZeroDivisionError), count_passes(model) as count:
        thread = threading.Thread(target=model.decide, args=(encoding,))
        thread.start()
        thread.join(30)
        assert hooks() == before + 2
        raise ZeroDivisionError
    assert not thread.is_alive()
    assert (count.passes, count.tokens) == (0, 0)
    assert hooks() == before
