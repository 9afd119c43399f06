"""The continuation that is explained is the one that generate() writes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.asking import explain
from tests.zoo.families import FAMILIES

import whence
from whence.core import Continuation

TEXT = "She did not miss a payment"
COUNT = 6
SETTINGS = {
    "repetition": {"repetition_penalty": 3.0},
    "ngrams": {"no_repeat_ngram_size": 1},
    "suppressed": {"suppress_tokens": list(range(100, 200))},
    "forbidden": {"bad_words_ids": [[i] for i in range(20, 200)]},
    "minimum": {"min_new_tokens": 4},
}


def changed(name, **settings):
    tiny = FAMILIES[name]()
    module = copy.deepcopy(tiny.module)
    for key, value in settings.items():
        setattr(module.generation_config, key, value)
    return module, whence.load((module, tiny.tokenizer))


def by_generate(module, model, **options):
    ids = torch.tensor([model.encode(TEXT).ids.tolist()])
    with torch.inference_mode():
        out = module.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=COUNT,
            do_sample=False,
            num_beams=1,
            pad_token_id=0,
            **options,
        )[0].tolist()
    return out[ids.shape[1] :] if model.task == "causal" else out


def own(model, **settings):
    return explain(
        model, TEXT, target=Continuation(max_new_tokens=COUNT), method="random", **settings
    )


def without_end(tokens, module):
    end = module.generation_config.eos_token_id
    return tokens[:-1] if len(tokens) > 1 and tokens[-1] == end else tokens


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart"])
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_penalties_and_forbidden_tokens(name, setting):
    module, model = changed(name, **SETTINGS[setting])
    found = own(model)
    written = by_generate(module, model)[0 if model.task == "causal" else 1 :]
    assert list(found.outputs[0].target.token_ids) == without_end(written, module)
    key = next(iter(SETTINGS[setting]))
    assert any(f"generation settings ({key}=" in note for note in found.notes)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_a_forced_first_token_is_read_and_not_scored(name):
    module, model = changed(name, forced_bos_token_id=11)
    found = own(model)
    start, forced, *written = by_generate(module, model)
    assert forced == 11
    # Without the last of six: the forced one counts among what generate() was asked for.
    tokens = list(found.outputs[0].target.token_ids)
    assert tokens[: COUNT - 1] == without_end(written, module)
    ids = torch.tensor([model.encode(TEXT).ids.tolist()])
    with torch.inference_mode():
        decoder = torch.tensor([[start, forced, *tokens[:-1]]])
        logits = module(input_ids=ids, decoder_input_ids=decoder, use_cache=False).logits[0]
    table = torch.log_softmax(logits.double(), dim=-1)
    truth = sum(float(table[1 + place, token]) for place, token in enumerate(tokens))
    assert found.values[0] == pytest.approx(truth, abs=1e-4)
    assert any("forced to begin with" in note for note in found.notes)
    assert whence.verify(model, found).holds


@pytest.mark.parametrize("name", ["bart", "llama"])
def test_a_forced_end_is_not_ours(name):
    module, model = changed(name, forced_eos_token_id=2)
    free, _ = changed(name, forced_eos_token_id=None)
    found = own(model)
    written = by_generate(free, model)[0 if model.task == "causal" else 1 :]
    assert list(found.outputs[0].target.token_ids) == without_end(written, module)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"do_sample": True, "temperature": 0.7}, "generation settings sample"),
        ({"num_beams": 3, "early_stopping": True}, "search with 3 beams"),
    ],
)
def test_sampling_and_beams_are_left_out_with_a_note(settings, says):
    state = torch.get_rng_state()
    module, model = changed("llama", **settings)
    plain = own(changed("llama")[1])
    found = own(model)
    assert found.outputs[0].target.token_ids == plain.outputs[0].target.token_ids
    assert any(says in note for note in found.notes)
    assert torch.equal(torch.get_rng_state(), state)
    assert getattr(module.generation_config, next(iter(settings))) == next(iter(settings.values()))


def test_given_texts_need_no_note():
    _, model = changed("llama", repetition_penalty=3.0)
    found = explain(model, TEXT, target=Continuation(token_ids=(9, 17)), method="random")
    assert not any("generation settings" in note for note in found.notes)


def test_a_module_that_cannot_generate_writes_its_most_probable_tokens(monkeypatch):
    module, model = changed("llama")
    expected = own(model).outputs[0].target.token_ids
    monkeypatch.setattr(module, "can_generate", lambda: False)
    assert own(model).outputs[0].target.token_ids == expected


def test_a_module_that_fails_in_generate_does_too_and_says_so(monkeypatch):
    module, model = changed("llama")
    expected = own(model).outputs[0].target.token_ids
    monkeypatch.setattr(module, "generate", None)
    found = own(model)
    assert found.outputs[0].target.token_ids == expected
    assert any("generate() failed" in note for note in found.notes)


def test_scores_are_of_the_models_own_probabilities():
    module, model = changed("gpt2", repetition_penalty=3.0)
    found = own(model)
    tokens = list(found.outputs[0].target.token_ids)
    ids = model.encode(TEXT).ids.tolist()
    with torch.inference_mode():
        logits = module(input_ids=torch.tensor([[*ids, *tokens[:-1]]])).logits[0, len(ids) - 1 :]
    table = torch.log_softmax(logits.double(), dim=-1)
    truth = np.sum([float(table[place, token]) for place, token in enumerate(tokens)])
    assert found.values[0] == pytest.approx(truth, abs=1e-4)
