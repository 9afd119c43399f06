"""Methods that change attention: against the change made by hand, and what must hold of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.asking import explain
from tests.attribution.attention import naive
from tests.zoo.architectures import architectures, build
from tests.zoo.families import FAMILIES

import whence
from whence.core import BudgetError, OptionError


def groups_of(seen, unit="word"):
    from whence.games.segmenters import segmenter_by_name
    from whence.games.token_alignment import align

    segmentation = segmenter_by_name(unit).segment(seen.encoding.document, seen.encoding)
    return align(segmentation, seen.encoding)[1].groups


# The others' layers are of two kinds and take no one mask.
@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("readers", ["explained", "everyone"])
def test_knockout_agrees_with_a_mask_given_to_the_model(name, readers):
    seen = naive.Seen(name)
    found = seen.explain("AttentionKnockout", unit="word", options={"readers": readers})
    positions = [seen.position] if readers == "explained" else range(seen.n)
    want = [
        float(seen.value.detach()) - naive.knocked_out(seen, positions, group)
        for group in groups_of(seen)
    ]
    assert np.allclose(found.scores[:, 0], want, atol=2e-5)
    assert np.abs(want).max() > 1e-2
    assert found.unit is None
    cost = found.provenance.cost
    assert (cost.gradient_evaluations, cost.evaluations) == (1, len(want) + 1)


def test_knockout_of_a_token_that_nobody_reads_is_zero():
    seen = naive.Seen("mistral")  # every layer sees 8 tokens back
    found = seen.explain("AttentionKnockout", unit="token")
    reach = seen.n - 8
    for group, score in zip(groups_of(seen, "token"), found.scores[:, 0], strict=True):
        if group.max() < reach:
            assert abs(score) < 1e-5
    assert np.abs(found.scores).max() > 1e-2


def test_knockout_in_a_window_of_layers():
    seen = naive.Seen("bert")
    whole = seen.explain("AttentionKnockout")
    last = seen.explain("AttentionKnockout", options={"first_layer": -1})
    first = seen.explain("AttentionKnockout", options={"last_layer": 0})
    # The first token's reading in the first layer reaches the answer only through itself.
    assert not np.allclose(whole.scores, last.scores)
    assert not np.allclose(first.scores, last.scores)
    again = seen.explain("AttentionKnockout", options={"first_layer": 0, "last_layer": 1})
    assert np.allclose(
        again.scores, whole.scores, atol=1e-6
    )  # single precision, some scores near 0
    for options in ({"first_layer": 5}, {"first_layer": 1, "last_layer": 0}, {"last_layer": -9}):
        with pytest.raises(OptionError, match="from 0 to 1"):
            seen.explain("AttentionKnockout", options=options)
    with pytest.raises(OptionError, match="everyone"):
        whence.AttentionKnockout(readers="all")


def test_knockout_with_continuations_of_several_lengths():
    model = whence.load(FAMILIES["llama"]().pair)
    targets = [whence.Continuation(text=" good"), whence.Continuation(text=" bad fine")]
    both = explain(model, naive.TEXT, method="attention-knockout", target=targets)
    for index, target in enumerate(targets):
        alone = explain(model, naive.TEXT, method="attention-knockout", target=target)
        assert np.allclose(both.scores[:, index], alone.scores[:, 0], atol=1e-4)


def test_layers_of_one_model_may_run_several_times_each_and_unequally_often():
    """Of cycles of two stacks, one runs six times in a pass and the other twice."""
    architecture = next(each for each in architectures() if each.kind == "HrmTextForCausalLM")
    model = whence.load(build(architecture))
    targets = [whence.Continuation(token_ids=ids) for ids in ((40,), (41, 42, 43))]
    text = "she missed four payments but not the loan"
    both = explain(model, text, method="attention-knockout", target=targets)
    for index, target in enumerate(targets):
        alone = explain(model, text, method="attention-knockout", target=target)
        assert np.allclose(both.scores[:, index], alone.scores[:, 0], atol=1e-4)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_a_decoder_that_may_not_read_some_of_the_encoder(name):
    """The decoder alone is cut off: as a mask over the encoder's states given to it by hand."""
    tiny = FAMILIES[name]()
    model = whence.load(tiny.pair)
    target = whence.Continuation(text=" good bad")
    found = explain(model, naive.TEXT, method="AttentionKnockout", target=target, link="logit")
    encoding = model.encode(naive.TEXT)
    ids = torch.tensor(encoding.ids[None])
    forced = list(model.readout(encoding, [target]).sequences[0])
    start = torch.tensor([[tiny.module.config.decoder_start_token_id, *forced[:-1]]])
    groups = groups_of(type("Seen", (), {"encoding": encoding}))

    def value(hidden):
        mask = torch.ones_like(ids)
        mask[0, hidden] = 0
        with torch.no_grad():
            encoded = tiny.module.get_encoder()(ids, attention_mask=torch.ones_like(ids))
            logits = tiny.module(
                encoder_outputs=encoded, attention_mask=mask, decoder_input_ids=start
            ).logits[0]
        return sum(float(logits[place, token]) for place, token in enumerate(forced))

    want = [value([]) - value(group) for group in groups]
    assert np.allclose(found.scores[:, 0], want, atol=5e-5)
    wider = explain(
        model,
        naive.TEXT,
        method="AttentionKnockout",
        target=target,
        link="logit",
        options={"readers": "everyone"},
    )
    assert not np.allclose(wider.scores, found.scores, atol=1e-3)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_values_zeroed_in_every_layer_by_hand(name):
    seen = naive.Seen(name)
    found = seen.explain("ValueZeroing", unit="word", options={"effect": "target"})
    want = []
    for group in groups_of(seen):
        handles = []
        for layer in range(len(seen.blocks)):
            linear, cut = naive._value_linear(seen, layer)

            def zero(module, given, output, group=group, cut=cut):
                output = output.clone()
                for token in group:
                    output[:, token, cut] = 0
                return output

            handles.append(linear.register_forward_hook(zero))
        with torch.no_grad():
            logits = seen.module(seen.ids).logits[0]
        for handle in handles:
            handle.remove()
        row = logits if seen.tiny.task == "classification" else logits[-1]
        want.append(float(seen.value.detach()) - float(row[seen.label]))
    assert np.allclose(found.scores[:, 0], want, atol=2e-5)
    assert found.unit is None
    assert found.quantity == "change of the target by value zeroing"
    cost = found.provenance.cost
    assert (cost.gradient_evaluations, cost.evaluations) == (1, len(want) + 1)


def test_the_note_on_features_at_the_explained_position():
    assert not naive.Seen("bert").explain("AttentionKnockout").notes
    notes = naive.Seen("gpt2").explain("AttentionKnockout", unit="word").notes
    assert notes[0].startswith("1 of ")


def test_budgets_and_options():
    seen = naive.Seen("bert")
    n = len(groups_of(seen))
    with pytest.raises(BudgetError, match=f"needs {n + 2}"):
        seen.explain("AttentionKnockout", unit="word", budget=n + 1)
    with pytest.raises(OptionError, match="states"):
        whence.ValueZeroing(effect="state")
