"""Effects of heads against ablations done by hand; estimates; counts of passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.zoo.families import FAMILIES, VARIANTS

import whence
from whence.attention.ablation_run import NOT_SHARED, AblationInput, AblationRun
from whence.attention.head_ablation import HeadAblation
from whence.core import OptionError
from whence.models.internals.interventions import HeadReplacement
from whence.models.protocols import Row

TEXT = "He denies chest pain but reports a mild cough since Monday."
SMALL = HeadAblation(draws=2)


def case_of(name):
    model = whence.load({**FAMILIES, **VARIANTS}[name]().pair)
    encoding = model.encode(TEXT)
    target = whence.NextToken() if model.task in ("causal", "seq2seq") else None
    return model, encoding, model.readout(encoding, [target] if target else [])


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "gemma3", "t5", "llama-classifier"])
def test_a_zeroed_head_is_its_columns_of_the_projection_set_to_zero(name):
    model, encoding, readout = case_of(name)
    found = HeadAblation(ablation="zero").run(model, encoding, readout)
    before = model.evaluate([Row(ids=encoding.ids)], readout).values[0, 0]
    assert found.how.value == pytest.approx(before, abs=1e-5)
    for entry in found.heads[::3]:
        layer = model.module.get_submodule(entry.layer)
        projection = (
            next(
                m
                for n, m in layer.named_modules()
                if n in ("c_proj", "o_proj", "o") or n.endswith("out_proj")
            )
            if name != "bert"
            else model.module.get_submodule(entry.layer.removesuffix("self") + "output.dense")
        )
        heads = next(e for e in found.heads[::-1] if e.layer == entry.layer).head + 1
        weight = projection.weight if name != "gpt2" else projection.weight.T
        width = weight.shape[1] // heads
        kept = weight.detach().clone()
        with torch.no_grad():
            weight[:, entry.head * width : (entry.head + 1) * width] = 0
        after = model.evaluate([Row(ids=encoding.ids)], readout).values[0, 0]
        with torch.no_grad():
            weight.copy_(kept)
        assert entry.effect == pytest.approx(before - after, abs=2e-5)
        assert entry.low is None


def test_resampling_is_the_mean_over_donors_with_students_interval():
    from scipy import stats

    model, encoding, readout = case_of("bert")
    spec = HeadAblation(draws=6, measure=3, control=2)
    found = spec.run(model, encoding, readout, seed=3)
    again = spec.run(model, encoding, readout, seed=3, token_budget=1)
    assert [e.chosen for e in found.heads].count("ranked") == 3
    assert [e.chosen for e in found.heads].count("random") == 2
    measured = [e for e in found.heads if e.effect is not None]
    for one, two in zip(found.heads, again.heads, strict=True):
        assert one.chosen == two.chosen
        assert one.effect == pytest.approx(two.effect, abs=1e-5) if one.effect else not two.effect
    gradients = sorted((abs(e.gradient) for e in found.heads), reverse=True)
    assert (
        sorted((abs(e.gradient) for e in measured if e.chosen == "ranked"), reverse=True)
        == (gradients[:3])
    )
    # The donors again, from the same seed.
    donors = AblationRun(spec, AblationInput(model, encoding, readout, 3, 4096)).donors()
    assert len({donor.ids.tobytes() for donor in donors}) == 6
    free = ~encoding.frozen
    for donor in donors:
        assert np.array_equal(donor.ids[~free], encoding.ids[~free])
    for one, two in zip(donors[::2], donors[1::2], strict=True):
        assert ((one.ids != encoding.ids) ^ (two.ids != encoding.ids))[free].all()
    entry = measured[0]
    falls = []
    for donor in donors:
        outputs = model.head_outputs([donor], readout)[entry.layer]
        change = HeadReplacement(
            layer=entry.layer,
            head=entry.head,
            outputs=tuple(call[0, :, entry.head] for call in outputs),
        )
        values = model.evaluate_with_changes(encoding, readout, [(), (change,)]).values[:, 0]
        falls.append(values[0] - values[1])
    assert entry.effect == pytest.approx(np.mean(falls), abs=1e-5)
    low, high = stats.t.interval(0.95, 5, loc=np.mean(falls), scale=stats.sem(falls))
    assert (entry.low, entry.high) == pytest.approx((low, high), abs=1e-5)


def test_a_small_head_has_the_effect_its_gradient_says():
    tiny = FAMILIES["llama"]()
    model = whence.load(tiny.pair)
    encoding = model.encode(TEXT)
    readout = model.readout(encoding, [whence.NextToken()], link="logit")
    layer = tiny.module.model.layers[-1].self_attn
    kept = layer.o_proj.weight.detach().clone()
    with torch.no_grad():
        layer.o_proj.weight.mul_(1e-3)
    try:
        found = HeadAblation(ablation="zero").run(model, encoding, readout)
    finally:
        with torch.no_grad():
            layer.o_proj.weight.copy_(kept)
    last = [e for e in found.heads if e.layer.endswith("1.self_attn")]
    for entry in last:
        assert entry.effect == pytest.approx(entry.gradient, rel=0.02, abs=3e-6)


@pytest.mark.parametrize(
    ("spec", "gradients"),
    [
        (HeadAblation(draws=4, measure=3, control=1), 2),
        (HeadAblation(ablation="mean", draws=4, measure=8, control=8), 2),
        (HeadAblation(ablation="zero", measure=2, control=0), 2),
        (HeadAblation(measure=0, control=0, draws=2), 2),
    ],
)
def test_passes_are_those_that_evaluations_states(spec, gradients):
    model, encoding, readout = case_of("distilbert")
    rows = []
    handle = model.module.register_forward_hook(
        lambda m, given, named, out: rows.append(
            len(named.get("input_ids", named.get("inputs_embeds")))
        ),
        with_kwargs=True,
    )
    try:
        found = spec.run(model, encoding, readout)
    finally:
        handle.remove()
    assert sum(rows) == found.how.cost.evaluations + gradients
    # The value of the input, and a row without changes in the batch of each layer.
    layers = {entry.layer for entry in found.heads if entry.effect is not None}
    expected = spec.evaluations(8) + 1 + len(layers)
    if len(found.how.sets) == 1:
        # The ranked heads at once: the draw's own pass, the row, and one without changes.
        expected += 3 * spec.draws if spec.ablation == "resample" else 2
    assert found.how.cost.evaluations == expected
    assert found.how.cost.gradient_evaluations == gradients
    measured = sum(e.effect is not None for e in found.heads)
    assert measured == min(8, spec.measure + spec.control)
    assert np.isnan(found.how.agreement) == (measured < 3)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"deberta-v2"}))
def test_blocks_below_a_head_run_once_and_effects_are_those_of_whole_passes(family):
    model, encoding, readout = case_of(family)
    spec = HeadAblation(draws=2)
    shared = spec.run(model, encoding, readout)
    whole = AblationRun(spec, AblationInput(model, encoding, readout, 0, 4096))
    whole.shares = False
    for one, two in zip(shared.heads, whole.effects().heads, strict=True):
        assert one.effect == pytest.approx(two.effect, abs=1e-5)
    assert shared.notes == ()


def test_one_row_runs_below_the_first_changed_block():
    model, encoding, readout = case_of("bert")
    blocks = model.module.bert.encoder.layer
    rows = []
    # Hooks of a block's parts run after the block's own.
    handles = [
        block.attention.register_forward_pre_hook(
            lambda _, args, named: rows.append(len(args[0])), with_kwargs=True
        )
        for block in blocks
    ]
    last = HeadReplacement(layer=f"bert.encoder.layer.{len(blocks) - 1}.attention.self", head=0)
    try:
        model.evaluate_with_changes(encoding, readout, [(last,), (last,), ()], share=True)
    finally:
        for handle in handles:
            handle.remove()
    assert rows == [1] * (len(blocks) - 1) + [3]


def test_a_model_that_minds_fewer_rows_runs_whole_and_says_so():
    model, encoding, readout = case_of("bert")
    spec = HeadAblation(draws=2)
    whole = AblationRun(spec, AblationInput(model, encoding, readout, 0, 4096))
    whole.shares = False
    rows = []
    handles = [
        model.module.bert.embeddings.register_forward_hook(
            lambda module, args, output: rows.append(len(output))
        ),
        model.module.bert.encoder.layer[0].register_forward_hook(
            lambda module, args, output: output + 0.5 * (len(output) != rows[-1])
        ),
    ]
    try:
        effects = spec.run(model, encoding, readout)
    finally:
        for handle in handles:
            handle.remove()
    assert effects.notes == (NOT_SHARED,)
    for one, two in zip(effects.heads, whole.effects().heads, strict=True):
        assert one.effect == pytest.approx(two.effect, abs=1e-5)


def test_heads_that_cannot_be_replaced_are_noted():
    found = whence.attend(whence.load(FAMILIES["deberta-v2"]().pair), TEXT)
    assert found.record.effects is None
    assert "compute their softmax" in found.record.notes[-1]
    assert all(entry.effect is None for entry in found.record.heads)


def test_an_embedding_needs_a_text_to_compare_with():
    model = whence.load(VARIANTS["embedder"]().pair, task="embedding")
    found = whence.attend(model, TEXT)
    assert found.record.effects is None
    assert "Similarity" in found.record.notes[-1]
    target = whence.Similarity(other="She has a cough.")
    found = whence.attend(model, TEXT, target=target, effects=SMALL)
    assert found.record.effects.output.unit == "cosine"
    assert len(found.ranked()) == 8


def test_bad_options_are_refused():
    for options, words in (
        ({"ablation": "nought"}, "ablation"),
        ({"draws": 1}, "draws"),
        ({"measure": -1}, "measure"),
        ({"confidence": 1.0}, "confidence"),
    ):
        with pytest.raises(OptionError, match=words):
            HeadAblation(**options)
    model, encoding, _ = case_of("gpt2")
    two = model.readout(encoding, [whence.NextToken(token=3), whence.NextToken(token=4)])
    with pytest.raises(OptionError, match="one output at a time"):
        SMALL.run(model, encoding, two)


def test_every_head_of_a_record_has_an_entry_and_nothing_is_left_on_the_model():
    model = whence.load(FAMILIES["gemma3"]().pair)
    found = whence.attend(model, TEXT, effects=SMALL, generate=True, max_new_tokens=4)
    record = found.record
    assert len(record.heads) == sum(layer.heads for layer in record.layers)
    written = model.greedy(model.encode(TEXT), 4)
    assert record.effects.output.target.token_ids == tuple(written)
    assert record.decision.text == model.decode(written)
    assert found.ranked()[0].effect == max((e.effect for e in record.heads), key=abs)
    hooks = [h for m in model.module.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]
    assert hooks == []


def test_a_target_read_beyond_the_record_has_no_flow():
    model = whence.load(FAMILIES["llama"]().pair)
    target = whence.Continuation(text=" a b c")
    found = whence.attend(model, TEXT, target=target, effects=SMALL)
    assert found.record.flow is None
    assert "not in the record" in found.record.notes[-1]
