"""The lens: certified over every family, equal to the papers' equations, and open about limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.zoo.depth import ACROSS, CLEAN, ByHand, albert, loaded, target_of
from tests.zoo.families import VARIANTS

import whence
from whence.attention.logit_lens import CAVEAT, logit_lens
from whence.core import CapabilityError, OptionError, read_record


@pytest.mark.parametrize("name", list(ACROSS))
def test_the_last_layer_put_back_is_the_model_itself_bit_for_bit(name):
    model = loaded(name)
    target = target_of(model)
    lens = logit_lens(model, CLEAN, target=target)
    encoding = model.encode(CLEAN)
    assert lens.certificate == 0.0
    assert len(lens.layers) == 2
    assert lens.notes == (CAVEAT,)
    assert lens.divergences[-1] == pytest.approx(0, abs=1e-12)
    assert (lens.divergences[0] > 0).all()
    writes = target is not None
    readout = model.readout(encoding, [target] if writes else [], link="log_probability")
    row = whence.models.protocols.Row(ids=encoding.ids, token_types=encoding.token_types)
    value = model.evaluate([row], readout).values[0, 0]
    assert lens.log_probabilities[-1].sum() == pytest.approx(value, abs=2e-5)
    for layer in range(2):
        for place in range(len(lens.positions)):
            row = lens.top[layer][place]
            assert len(row) == (5 if writes else 3)
            assert [t.probability for t in row] == sorted(
                (t.probability for t in row), reverse=True
            )
            rank = lens.ranks[layer][place]
            if rank <= len(row):
                followed = row[rank - 1]
                assert followed.id == lens.positions[place].target_id
                assert np.log(followed.probability) == pytest.approx(
                    lens.log_probabilities[layer, place], abs=1e-9
                )
    if writes:
        read = lens.decoder_tokens or lens.tokens
        count = len(lens.positions)
        assert read[-1].written
        assert [p.target_id for p in lens.positions[:-1]] == [t.id for t in read[1 - count :]]
        assert lens.positions[-1].index == len(read) - 1


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_each_layer_is_the_state_through_final_norm_and_head_by_hand(name):
    model = loaded(name)
    target = target_of(model)
    hand = ByHand(name)
    lens = logit_lens(model, CLEAN, target=target)
    states, _ = hand.run([t.id for t in lens.tokens])
    finals = torch.log_softmax(hand.tail(states[-1]), -1)
    for layer, state in enumerate(states):
        logs = torch.log_softmax(hand.tail(state), -1)
        for column, place in enumerate(lens.positions):
            index = 0 if place.index is None else place.index
            own, final = logs[index], finals[index]
            near = {"abs": 2e-4}
            assert lens.log_probabilities[layer, column] == pytest.approx(
                float(own[place.target_id]), **near
            )
            entropy = -float((own.exp() * own).sum())
            assert lens.entropies[layer, column] == pytest.approx(entropy, **near)
            lost = float((final.exp() * (final - own)).sum())
            assert lens.divergences[layer, column] == pytest.approx(lost, **near)
            rank = 1 + int((own > own[place.target_id]).sum())
            assert lens.ranks[layer][column] == rank
            assert lens.top[layer][column][0].id == int(own.argmax())
    # Without the norm (a known mistake) the first layer reads otherwise.
    if name != "bert":
        bare = torch.log_softmax(states[0] @ hand.w["lm_head.weight"].T, -1)
        place = lens.positions[0]
        missed = float(bare[place.index, place.target_id]) - lens.log_probabilities[0, 0]
        assert abs(missed) > 1e-2


def test_layers_in_one_batch_or_apart_read_alike():
    model = loaded("llama")
    apart = logit_lens(model, CLEAN, target=" a b", token_budget=1)
    joint = logit_lens(model, CLEAN, target=" a b")
    assert np.allclose(apart.log_probabilities, joint.log_probabilities, atol=1e-5)
    assert apart.ranks == joint.ranks


def test_positions_of_the_prompt_follow_the_token_that_comes():
    model = loaded("gpt2")
    lens = logit_lens(model, CLEAN, target=" a b", positions=[0, 3], top=2)
    ids = model.encode(CLEAN).ids
    assert [p.target_id for p in lens.positions] == [ids[1], ids[4]]
    assert lens.provenance.method.options == {"top": 2, "positions": "0, 3"}
    assert len(lens.top[0][0]) == 2


def test_a_next_token_and_the_models_own_words():
    model = loaded("gpt2")
    own = logit_lens(model, CLEAN, target=whence.Continuation(max_new_tokens=2))
    assert [p.target_id for p in own.positions] == model.greedy(model.encode(CLEAN), 2)
    assert own.ranks[-1] == (1, 1)
    left_open = logit_lens(model, CLEAN)
    assert left_open.decision.text == "".join(p.target for p in left_open.positions)
    token = logit_lens(model, CLEAN, target=whence.NextToken(token=7))
    assert [p.target_id for p in token.positions] == [7]
    assert token.positions[0].index == len(token.tokens) - 1


def test_passes_are_counted():
    model = loaded("gpt2")
    calls = []
    handle = model.module.register_forward_hook(lambda *_: calls.append(1))
    lens = logit_lens(model, CLEAN, target=" a b", token_budget=1)
    handle.remove()
    # One for the states, one the certificate, one for each layer but the last, one decision.
    assert len(calls) == 4 == lens.provenance.cost.distinct_evaluations
    n = len(model.encode(CLEAN).ids)
    assert lens.provenance.cost.tokens == 3 * len(lens.tokens) + n


def test_independent_labels_are_distributions_of_their_own():
    model = whence.load(VARIANTS["multi-label"]().pair)
    lens = logit_lens(model, CLEAN)
    hand = model.module
    with torch.inference_mode():
        ids = torch.tensor(model.encode(CLEAN).ids[None])
        logits = hand(input_ids=ids).logits[0].double()
    chances = torch.sigmoid(logits)
    label = lens.positions[0].target_id
    near = {"abs": 1e-5}  # two ways through the head, in single precision
    assert lens.log_probabilities[-1, 0] == pytest.approx(float(chances[label].log()), **near)
    entropy = -(chances * chances.log() + (1 - chances) * (1 - chances).log()).sum()
    assert lens.entropies[-1, 0] == pytest.approx(float(entropy), **near)
    assert sum(t.probability for t in lens.top[-1][0]) == pytest.approx(
        float(chances.sum()), **near
    )


def test_a_decoder_that_classifies_is_read_at_its_last_token():
    model = whence.load(VARIANTS["llama-classifier"]().pair)
    lens = logit_lens(model, CLEAN, target="high")
    assert lens.certificate == 0.0
    assert lens.positions[0].target == "high"
    decided = {score.name: score.value for score in lens.decision.scores}
    assert np.exp(lens.log_probabilities[-1, 0]) == pytest.approx(decided["high"], abs=1e-6)


def test_the_model_is_left_as_it_was():
    model = loaded("gpt2")
    before = {name: len(m._forward_hooks) for name, m in model.module.named_modules()}
    state = torch.random.get_rng_state()
    logit_lens(model, CLEAN, target=" a b")
    after = {name: len(m._forward_hooks) for name, m in model.module.named_modules()}
    assert before == after
    assert torch.equal(state, torch.random.get_rng_state())


def test_bad_options_are_refused():
    model = loaded("gpt2")
    with pytest.raises(CapabilityError, match="gives only scores"):
        logit_lens(whence.load(lambda texts: [0.0] * len(texts), labels=["x"]), CLEAN)
    with pytest.raises(CapabilityError, match="model of task embedding"):
        logit_lens(whence.load(VARIANTS["embedder"]().pair), CLEAN)
    with pytest.raises(CapabilityError, match="gives numbers"):
        logit_lens(whence.load(VARIANTS["reward"]().pair), CLEAN)
    with pytest.raises(CapabilityError, match="share their weights"):
        logit_lens(whence.load(albert().pair), CLEAN)
    with pytest.raises(OptionError, match="top=0"):
        logit_lens(model, CLEAN, top=0)
    with pytest.raises(OptionError, match="token_budget=0"):
        logit_lens(model, CLEAN, target=" a", token_budget=0)
    with pytest.raises(OptionError, match="position 900"):
        logit_lens(model, CLEAN, target=" a", positions=[900])
    with pytest.raises(OptionError, match="no position"):
        logit_lens(model, CLEAN, target=" a", positions=[])
    with pytest.raises(OptionError, match="positions=\\[0\\] given"):
        logit_lens(loaded("bert"), CLEAN, positions=[0])
    contrast = whence.Contrast(label=" a", against=" b")
    with pytest.raises(OptionError, match="follows one"):
        logit_lens(model, CLEAN, target=contrast)
    with pytest.raises(OptionError, match="contrast of labels"):
        logit_lens(loaded("bert"), CLEAN, target=whence.Contrast())
    with pytest.raises(OptionError, match="follows one target"):
        logit_lens(model, CLEAN, target=True)
    with pytest.raises(OptionError, match="layer"):
        logit_lens(model, CLEAN, target=" a").layer("nowhere")


def test_a_device_that_does_not_repeat_itself_is_noted(monkeypatch):
    model = loaded("bert")
    real = type(model).logits_from_states
    monkeypatch.setattr(type(model), "logits_from_states", lambda *a, **k: real(*a, **k) + 0.5)
    lens = logit_lens(model, CLEAN)
    # Half a unit added to logits of single precision.
    assert lens.certificate == pytest.approx(0.5, abs=1e-5)
    assert "misses the model's own logits by 5.0e-01" in lens.notes[1]


def test_saved_and_read_back(tmp_path):
    lens = logit_lens(loaded("bart"), CLEAN, target=" a b")
    assert read_record(lens.save(tmp_path / "lens.json")) == lens
    assert lens.layer(lens.layers[1]) == 1


def test_a_real_model_settles_on_its_answer_with_depth(real_model):
    model = whence.load(real_model("stories260K"))
    text = "Once upon a time, there was a little girl named Lily. She"
    lens = logit_lens(model, text, target=whence.Continuation(max_new_tokens=6))
    assert lens.certificate == 0.0
    assert set(lens.ranks[-1]) == {1}
    lost = lens.divergences.mean(axis=1)
    assert lost[0] > lost[-2] > 0
