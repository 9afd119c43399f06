"""Patching: the axis from one input to the other holds, and each cell is what is done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.zoo.depth import ACROSS, CLEAN, OTHER, ByHand, albert, loaded, target_of
from tests.zoo.families import VARIANTS

import whence
from whence.attention.patching import patch
from whence.core import CapabilityError, InputError, OptionError, read_record
from whence.models.protocols import Row

FIRST = {"t5", "bart"}


def values(model, target):
    clean, other = model.encode(CLEAN), model.encode(OTHER)
    readout = model.readout(clean, [] if target is None else [target])
    return [
        float(model.evaluate([Row(ids=e.ids, token_types=e.token_types)], readout).values[0, 0])
        for e in (clean, other)
    ]


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("name", list(ACROSS))
def test_the_axis_between_the_inputs(name, direction):
    model = loaded(name)
    target = target_of(model)
    clean, other = values(model, target)
    assert clean != other
    # One at a time, so that a patched run is the other run bit for bit.
    whole = patch(
        model, CLEAN, OTHER, target=target, positions="all", direction=direction, token_budget=1
    )
    assert whole.values.tolist() == [clean] * len(whole.outputs)
    assert whole.base_values.tolist() == [other] * len(whole.outputs)
    assert whole.scores[0, -1] == clean - other
    assert "within 0.0e+00" in "".join(whole.notes)
    if name in FIRST:
        # The encoder's last block decides all that the decoder gets of the text.
        assert "encoder" in whole.outputs[1].name
        assert whole.scores[0, 1] == clean - other
    else:
        assert whole.scores[0].tolist() == [clean - other] * 2
    same = patch(model, CLEAN, CLEAN, target=target, direction=direction)
    assert not same.scores.any()
    assert same.outcome == "degenerate"
    assert "same tokens" in same.advice[0]


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_every_cell_of_states_by_hand(name, direction):
    model = loaded(name)
    target = target_of(model)
    found = patch(model, CLEAN, OTHER, target=target, direction=direction, link=_plain(model))
    hand = ByHand(name)
    read = _Read(model, hand, target)
    donor = read.states(CLEAN if direction == "denoise" else OTHER)
    base = OTHER if direction == "denoise" else CLEAN
    groups = read.groups(found)
    sign = 1 if direction == "denoise" else -1
    plain = read.value(base)
    for layer in range(2):
        for row, positions in enumerate(groups):

            def change(at, state, layer=layer, positions=positions):
                if at != layer:
                    return state
                state = state.clone()
                state[positions] = donor[layer][positions]
                return state

            wanted = sign * (read.value(base, change=change) - plain)
            assert found.scores[row, layer] == pytest.approx(wanted, abs=1e-4)
    assert np.abs(found.scores).max() > 1e-3


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_heads_and_attention_by_hand(name, direction):
    model = loaded(name)
    target = target_of(model)
    link = _plain(model)
    settings = {"target": target, "direction": direction, "link": link}
    heads = patch(model, CLEAN, OTHER, what="heads", **settings)
    each = patch(model, CLEAN, OTHER, what="heads", positions="each", **settings)
    layers = patch(model, CLEAN, OTHER, what="attention", positions="all", **settings)
    apart = patch(model, CLEAN, OTHER, what="attention", **settings)
    hand = ByHand(name)
    read = _Read(model, hand, target)
    kept = {}

    def keep(layer, outputs):
        kept[layer] = outputs
        return outputs

    read.value(CLEAN if direction == "denoise" else OTHER, heads=keep)
    base = OTHER if direction == "denoise" else CLEAN
    sign = 1 if direction == "denoise" else -1
    plain = read.value(base)

    def effect(layer, chosen, positions):
        def change(at, outputs):
            if at != layer:
                return outputs
            outputs = outputs.clone()
            for head in chosen:
                outputs[positions, head] = kept[layer][positions, head]
            return outputs

        return sign * (read.value(base, heads=change) - plain)

    everywhere = slice(None)
    assert [(h.layer, h.head) for h in heads.heads] == [
        (layer, head) for layer in dict.fromkeys(h.layer for h in heads.heads) for head in range(4)
    ]
    for index, row in enumerate(heads.heads):
        wanted = effect(index // 4, [row.head], everywhere)
        assert row.effect == pytest.approx(wanted, abs=1e-4)
        assert row.share == pytest.approx(row.effect / (heads.value - heads.base_value))
    for layer in range(2):
        wanted = effect(layer, range(4), everywhere)
        assert layers.scores[0, layer] == pytest.approx(wanted, abs=1e-4)
    groups = read.groups(apart)
    assert each.scores.shape == (len(groups), 8)
    assert each.outputs[5].name.endswith(" head 1")
    for row, positions in list(enumerate(groups))[-4:]:
        for layer in range(2):
            wanted = effect(layer, range(4), positions)
            assert apart.scores[row, layer] == pytest.approx(wanted, abs=1e-4)
            wanted = effect(layer, [1], positions)
            assert each.scores[row, 4 * layer + 1] == pytest.approx(wanted, abs=1e-4)


def _plain(model):
    return None if model.task == "causal" else "logit"


class _Read:
    """The target by hand: a continuation's log-probability, or the predicted label's logit."""

    def __init__(self, model, hand, target):
        self.model, self.hand = model, hand
        readout = model.readout(model.encode(CLEAN), [] if target is None else [target])
        self.sequence = getattr(readout, "sequences", ((),))[0]
        self.label = None if target else readout.pairs[0][0]

    def ids(self, text):
        return [*self.model.encode(text).ids.tolist(), *self.sequence[:-1]]

    def states(self, text):
        return self.hand.run(self.ids(text))[0]

    def value(self, text, **changes):
        logits = self.hand.run(self.ids(text), **changes)[1]
        if self.label is not None:
            return float(logits[0, self.label])
        start = len(self.model.encode(text).ids) - 1
        logs = torch.log_softmax(logits, -1)
        return sum(float(logs[start + t, token]) for t, token in enumerate(self.sequence))

    def groups(self, found):
        """Each feature's positions: tokens that share a character are one feature."""
        groups, reached = [], 0
        for index, (start, end) in enumerate(self.model.encode(CLEAN).offsets.tolist()):
            if end > start and groups and start < reached:
                groups[-1].append(index)
            else:
                groups.append([index])
            reached = max(end, reached)
        size = len(self.ids(CLEAN))
        groups += [[index] for index in range(groups[-1][-1] + 1, size)]
        assert len(found.segmentation) == len(groups)
        return groups


def test_features_are_all_that_is_read_special_and_forced_tokens_too():
    found = patch(loaded("bert"), CLEAN, OTHER)
    features = found.segmentation.features
    assert (features[0].part, features[0].text) == ("[CLS]", "")
    assert features[-1].part == "[SEP]"
    assert found.segmentation.document.text == CLEAN
    # The last block is read at its first token alone.
    assert found.scores[0, -1] == pytest.approx(found.values[0] - found.base_values[0], abs=1e-5)
    assert np.abs(found.scores[1:, -1]).max() < 1e-6
    model = loaded("gpt2")
    found = patch(model, CLEAN, OTHER, target=" a b")
    assert found.segmentation.features[-1].text == ""
    assert found.segmentation.features[-1].start == len(CLEAN)


@pytest.mark.parametrize("what", ["states", "attention", "heads"])
def test_only_what_differs_is_run_and_all_of_it_is_counted(what):
    model = loaded("gpt2")
    rows = []
    handle = model.module.register_forward_pre_hook(
        lambda _, __, named: rows.append(named["input_ids"].shape[0]), with_kwargs=True
    )
    found = patch(model, CLEAN, OTHER, target=" a b", what=what, positions="each")
    handle.remove()
    cost = found.provenance.cost
    # Nothing differs before the first changed token of a causal model.
    clean, other = (model.encode(t).ids for t in (CLEAN, OTHER))
    first = int(np.flatnonzero(clean != other)[0])
    n, columns = len(found.segmentation), len(found.outputs)
    assert not found.scores[:first].any()
    check = what == "states"
    assert cost.evaluations == n * columns + 5 + check
    assert cost.distinct_evaluations == sum(rows)
    cells = (n - first) * columns
    # The first layer's heads at the last tokens may agree where they do not look back that far.
    assert cells // 2 <= sum(rows) - 5 - check <= cells
    forced = len(clean) + 1
    assert cost.tokens == (sum(rows) - 1) * forced + len(clean)


def test_batches_do_not_matter():
    model = loaded("mistral")
    joint = patch(model, CLEAN, OTHER, target=" a b")
    apart = patch(model, CLEAN, OTHER, target=" a b", token_budget=60)
    assert np.allclose(joint.scores, apart.scores, atol=2e-5)


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    model = loaded("bert")
    joint = patch(model, CLEAN, OTHER)
    real = type(model).evaluate_with_states
    sizes = []

    def tight(self, encoding, readout, changes):
        sizes.append(len(changes))
        if len(changes) > limit:
            raise MemoryError
        return real(self, encoding, readout, changes)

    monkeypatch.setattr(type(model), "evaluate_with_states", tight)
    limit = 3
    assert np.allclose(patch(model, CLEAN, OTHER).scores, joint.scores, atol=2e-5)
    assert sizes[0] > 3 >= min(sizes)
    limit = 0
    with pytest.raises(MemoryError):
        patch(model, CLEAN, OTHER)


@pytest.mark.parametrize("name", sorted(FIRST))
def test_encoder_and_decoder_are_patched_each_at_its_own_tokens(name):
    model = loaded(name)
    found = patch(model, CLEAN, OTHER, target=" a b")
    names = [o.name for o in found.outputs]
    assert sum("encoder" in n for n in names) == sum("decoder" in n for n in names) == 2
    written = model.readout(model.encode(CLEAN), [target_of(model)]).sequences[0]
    text = len(found.segmentation) - len(written)
    assert not found.scores[:text, 2:].any()
    assert not found.scores[text:, :2].any()
    assert found.scores[:text, :2].any()
    assert found.scores[text:, 2:].any()
    assert "nothing to patch" in found.notes[-1]
    layers = patch(model, CLEAN, OTHER, target=" a b", what="attention")
    assert len(layers.outputs) == 6
    assert not layers.scores[text:, :2].any()
    assert not layers.scores[:text, 2:].any()


def test_a_contrast_of_two_next_tokens_is_the_difference_of_both():
    model = loaded("gpt2")
    tokens = {name: whence.Continuation(token_ids=(i,)) for name, i in (("a", 65), ("b", 66))}
    apart = {name: patch(model, CLEAN, OTHER, target=target) for name, target in tokens.items()}
    letters = [model.decode([i]) for i in (65, 66)]
    contrast = whence.Contrast(label=letters[0], against=letters[1])
    joint = patch(model, CLEAN, OTHER, target=contrast)
    wanted = apart["a"].scores - apart["b"].scores
    assert np.allclose(joint.scores, wanted, atol=2e-5)


def test_embeddings_and_rewards_can_be_patched_too():
    target = whence.Similarity(other="a cough")
    found = patch(whence.load(VARIANTS["embedder"]().pair), CLEAN, OTHER, target=target)
    assert found.outputs[0].unit == "cosine"
    assert found.scores.any()
    found = patch(whence.load(VARIANTS["reward"]().pair), CLEAN, OTHER, what="heads")
    assert found.output.unit == "logit"
    assert len(found.top(3)) == 3
    sizes = [abs(head.effect) for head in found.top(8)]
    assert sizes == sorted(sizes, reverse=True)


def test_different_texts_of_one_target_are_degenerate():
    model = loaded("bert")
    frozen = whence.load((_constant(model.module), ACROSS["bert"]().tokenizer))
    found = patch(frozen, CLEAN, OTHER, what="heads")
    assert found.outcome == "degenerate"
    assert "no difference to recover" in found.advice[0]
    assert {head.share for head in found.heads} == {None}


def _constant(module):
    import copy

    module = copy.deepcopy(module)
    with torch.no_grad():
        module.classifier.weight.zero_()
    return module


def test_the_model_is_left_as_it_was():
    model = loaded("llama")
    before = {name: len(m._forward_hooks) for name, m in model.module.named_modules()}
    state = torch.random.get_rng_state()
    for what in ("states", "heads", "attention"):
        patch(model, CLEAN, OTHER, target=" a b", what=what)
    assert before == {name: len(m._forward_hooks) for name, m in model.module.named_modules()}
    assert torch.equal(state, torch.random.get_rng_state())


def test_inputs_of_other_lengths_are_refused_with_both_counts():
    model = loaded("gpt2")
    longer = OTHER.replace("cough", "small cough")
    sizes = [len(model.encode(t).ids) for t in (CLEAN, longer)]
    with pytest.raises(InputError, match=f"{sizes[0]} tokens, the corrupted one {sizes[1]}") as e:
        patch(model, CLEAN, longer)
    assert "They differ from token" in str(e.value)
    assert "Replace words by words" in str(e.value)
    with pytest.raises(InputError, match=r"differ from token 2"):
        patch(model, "ab", "abcd")


def test_bad_options_are_refused():
    model = loaded("gpt2")
    with pytest.raises(CapabilityError, match="gives only scores"):
        patch(whence.load(lambda texts: [0.0] * len(texts), labels=["x"]), CLEAN, OTHER)
    for name, value in (("what", "neurons"), ("positions", "some"), ("direction", "both")):
        with pytest.raises(OptionError, match=f"unknown {name}"):
            patch(model, CLEAN, OTHER, target=" a", **{name: value})
    with pytest.raises(OptionError, match="measures one"):
        patch(model, CLEAN, OTHER, target=whence.Continuation(text=" a b", per_token=True))
    with pytest.raises(OptionError, match="follows one target"):
        patch(model, CLEAN, OTHER, target=True)
    with pytest.raises(OptionError, match="of several tokens"):
        patch(model, CLEAN, OTHER, target=whence.Contrast(label=" a b", against=" c d"))
    with pytest.raises(CapabilityError, match="what='states' works here"):
        patch(loaded("deberta-v2"), CLEAN, OTHER, what="heads")
    with pytest.raises(CapabilityError, match="share their weights"):
        patch(whence.load(albert().pair), CLEAN, OTHER)


@pytest.mark.parametrize("what", ["states", "heads"])
def test_saved_and_read_back(tmp_path, what):
    found = patch(loaded("gpt2"), CLEAN, OTHER, target=" a b", what=what)
    assert read_record(found.save(tmp_path / "p.json")) == found
    assert found.provenance.method.options["corrupted"] == OTHER


def test_an_attribution_of_patching_can_be_shown(tmp_path):
    found = patch(loaded("bert"), CLEAN, OTHER)
    assert "patching effect" in str(found)
    page = found.to_html(tmp_path / "p.html")
    assert "bert.encoder.layer.1" in page


def test_a_real_classifier_moves_its_answer_from_the_word_to_the_first_token(real_model):
    model = whence.load(real_model("minilm-sst2"))
    found = patch(model, "The film is good.", "The film is bad.")
    share = found.scores / (found.values - found.base_values)
    word = next(i for i, f in enumerate(found.segmentation.features) if f.text == "good")
    assert share[word, 0] > 0.8
    assert share[0, 0] < 0.2
    assert share[word, -1] == pytest.approx(0, abs=1e-4)
    assert share[0, -1] == pytest.approx(1, abs=1e-4)
