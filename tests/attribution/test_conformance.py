"""Every method over every family: no trace, within budget; same bits, any batch, right answer."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.asking import explain
from tests.zoo.families import FAMILIES, VARIANTS
from tests.zoo.linear import known, linear_bag

import whence
from whence.attribution import METHODS, AttentionMethod, method_by_name
from whence.core import Attribution, CapabilityError, Similarity
from whence.models.adapters.input_gradients import COARSE, FINE

TEXT = "She did not miss a payment, ever 👍."
EVERY = {**FAMILIES, **VARIANTS}
# Who gives no attention to methods over it, and which method says what of which task.
REFUSED = {("deberta-v2", name): "compute their softmax" for name in METHODS} | {
    (family, "ValueZeroing"): "not defined" for family in ("t5", "bart")
}
ONE_OF_EACH_TASK = ("bert", "gpt2", "t5", "embedder")
# Six words for exact values, more for what samples.
SHORT = "not a good payment"


def state_of(tiny):
    """Everything a run could leave a mark on."""
    module, tokenizer = tiny.pair
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    hooks = sum(
        len(getattr(child, table))
        for child in module.modules()
        for table in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    )
    return {
        "weights": digest.hexdigest(),
        "gradients": [p.grad is None for p in module.parameters()],
        "requires": [p.requires_grad for p in module.parameters()],
        "training": [child.training for child in module.modules()],
        "forwards": [type(child).forward for child in module.modules()],
        "own": ["forward" in vars(child) for child in module.modules()],
        "hooks": hooks,
        "config": module.config.to_json_string(),
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "vocabulary": len(tokenizer),
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002 - the global state itself
        "grad mode": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "softmax": torch.nn.functional.softmax,
        "norm": torch.nn.LayerNorm.forward,
        "transformers": set(vars(sys.modules["transformers.modeling_utils"])),
    }


def ask(tiny, name, **settings):
    model = whence.load(tiny.pair)
    if tiny.task == "embedding":
        settings.setdefault("target", Similarity(other="a rich fine fox"))
    if name == "ShapleyValues":
        settings.setdefault("unit", "word")
        return explain(model, SHORT, method=name, **settings)
    settings.setdefault("budget", budget_of(name))
    return explain(model, TEXT, method=name, **settings)


def budget_of(name):
    method = method_by_name(name)
    if isinstance(method, AttentionMethod):
        return max(30, method.least(12, 60))
    return max(30, method.least(12))


def refused(family, method):
    """Whether the family's layers or its task do not allow the method."""
    return METHODS[method].needs == "attention" and (family, method) in REFUSED


def repeated_always(family, method):
    """Every method over one family of each task, and every family by one method of each kind.

    How a method draws and batches is its own, how a family pads and rounds is its own: each is met
    once. ValueZeroing runs a family's blocks again in batches of its own making, so it meets all.
    The other pairs are repeated by a slow test.
    """
    kind = METHODS[method].needs
    first_of_kind = next(name for name in METHODS if METHODS[name].needs == kind)
    return family in ONE_OF_EACH_TASK or method in (first_of_kind, "ValueZeroing")


def check_repeats(tiny, method, result):
    # Same seed, same bits, in a model loaded anew (so with an empty cache).
    again = ask(tiny, method)
    assert again.scores.tobytes() == result.scores.tobytes()

    # Batches and the padding they bring change nothing beyond float tolerance.
    apart = ask(tiny, method, token_budget=1)
    scale = max(1.0, float(np.abs(result.scores).max()))
    assert np.allclose(apart.scores, result.scores, atol=3e-5 * scale)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", EVERY)
def test_conformance(family, method):
    """No trace, within budget; for the pairs of every run also what the slow test asks."""
    tiny = EVERY[family]()
    before = state_of(tiny)
    if refused(family, method):
        with pytest.raises(CapabilityError, match=rf"{REFUSED[family, method]}.*KernelShap"):
            ask(tiny, method)
        assert [key for key, value in state_of(tiny).items() if before[key] != value] == []
        return
    result = ask(tiny, method)
    after = state_of(tiny)
    changed = [key for key in before if before[key] != after[key]]
    assert changed == []
    assert Attribution.from_json(result.to_json()) == result
    assert np.all(np.isfinite(result.scores))

    # The budget is respected, and the cost says so.
    cost = result.provenance.cost
    spent = {
        "scores": cost.evaluations,
        "gradients": cost.gradient_evaluations,
        "attention": cost.evaluations + cost.gradient_evaluations,
    }[METHODS[method].needs]
    most = 1 << len(result.segmentation) if method == "ShapleyValues" else budget_of(method)
    # Passes that compare a model's gradients with its answer are cost, and not of the budget: 7, or 14
    # where rows that share a pass change each other, and two for each shorter step in two directions.
    steps = max(len(scale.others) for scale in (FINE, COARSE))
    proof = 14 + 4 * steps if METHODS[method].needs == "gradients" else 0
    assert 0 < spent <= max(30, most) + proof

    # Scores without a sign have none, and are no more than there is.
    if result.unit is not None:
        assert (result.scores >= 0).all()
        if result.unit.startswith("share"):
            assert (result.scores.sum(axis=0) <= 1 + 1e-6).all()

    if repeated_always(family, method):
        check_repeats(tiny, method, result)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "method"),
    [
        (family, method)
        for family in EVERY
        for method in METHODS
        if not refused(family, method) and not repeated_always(family, method)
    ],
)
def test_every_other_pair_repeats(family, method):
    """Run again, the same bits; in other batches, the same numbers: the rest of all pairs."""
    tiny = EVERY[family]()
    check_repeats(tiny, method, ask(tiny, method))


def test_pythons_random_state_is_left_alone():
    """In a process of its own: the type checker of the tests draws from it at every call."""
    script = """
import random
import whence
from tests.asking import explain
from tests.zoo.families import FAMILIES
from whence.attribution import METHODS
before = random.getstate()
for name in METHODS:
    explain(whence.load(FAMILIES["bert"]().pair), "not a good payment", method=name)
assert random.getstate() == before
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True, timeout=300)


@pytest.mark.parametrize("family", EVERY)
def test_native_values(family):
    """The value with everything present is what the module itself answers."""
    tiny = EVERY[family]()
    model = whence.load(tiny.pair)
    link = None if tiny.task == "embedding" else "logit"
    target = Similarity(other="a fox") if tiny.task == "embedding" else None
    if tiny.task in ("causal", "seq2seq"):
        target = whence.NextToken()
    found = explain(model, TEXT, method="random", link=link, target=target)
    inputs = tiny.tokenizer(TEXT, return_tensors="pt")
    inputs = {k: v for k, v in inputs.items() if k in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        if tiny.task == "embedding":

            def vector(text):
                sent = tiny.tokenizer(text, return_tensors="pt")
                mean = tiny.module(**sent).last_hidden_state.mean(dim=1)
                return torch.nn.functional.normalize(mean, dim=1)[0]

            native = float(vector(TEXT) @ vector("a fox"))
        elif tiny.task == "seq2seq":
            start = torch.tensor([[tiny.module.config.decoder_start_token_id]])
            native = float(tiny.module(**inputs, decoder_input_ids=start).logits[0, -1].max())
        elif tiny.task == "causal":
            native = float(tiny.module(**inputs).logits[0, -1].max())
        else:
            if tiny.module.config.pad_token_id is None:
                inputs.pop("attention_mask")
            native = float(tiny.module(**inputs).logits[0].max())
    assert found.values[0] == pytest.approx(native, abs=2e-5)


def gradient_lengths(result, weights):
    """Each token has the gradient (1, 0, 0), and a word here one token, or several."""
    tokens = linear_bag().tokenizer
    return [
        np.sqrt(len(tokens(f.text, add_special_tokens=False)["input_ids"]))
        for f in result.segmentation.features
    ]


# What methods without a sign make of a linear model's weights.
UNSIGNED = {
    "Sobol": lambda result, weights: np.square(weights) / np.sum(np.square(weights)),
    "Saliency": gradient_lengths,
    "SmoothGrad": gradient_lengths,
    "VarGrad": lambda result, weights: np.zeros(len(weights)),
}


def known_answers():
    """Methods over values, with every masker; methods over gradients make nothing absent."""
    maskers = ["mask-token", "deletion", "attention-mask", "pad"]
    return [
        pytest.param(name, masker, id=f"{name}-{masker}")
        for name, kind in METHODS.items()
        if name != "Random" and kind.needs != "attention"
        for masker in (maskers if kind.needs == "scores" else ["auto"])
    ]


def agrees(result, expected):
    """Whether scores are those expected: to 2e-4, or to 4 standard errors where that is more.

    A sampled score that keeps its own standard errors is beyond 4 of them once in 16,000.
    """
    errors = 0.0 if result.std_errors is None else np.nan_to_num(result.std_errors[:, 0])
    return bool(np.all(np.abs(result.scores[:, 0] - expected) <= np.maximum(2e-4, 4 * errors)))


def answer_on_linear_model(method, masker="auto"):
    tiny = linear_bag()
    text = "He denies chest pain but never missed a payment" if method != "ShapleyValues" else SHORT
    options = {"ridge": 0.0} if method == "Lime" else {}
    result = explain(
        whence.load(tiny.pair),
        text,
        method=method,
        target="yes",
        link="logit",
        masker=masker,
        options=options,
    )
    return result, known(tiny, text, result.segmentation.features)


@pytest.mark.parametrize(("method", "masker"), known_answers())
def test_known_answer_on_a_linear_model(method, masker):
    result, weights = answer_on_linear_model(method, masker)
    expected = UNSIGNED[method](result, weights) if method in UNSIGNED else weights
    assert (result.unit is not None) == (method in UNSIGNED)
    assert agrees(result, expected)
    assert result.values[0] == pytest.approx(sum(weights), abs=1e-4)


@pytest.mark.parametrize("method", ["KernelShap", "Lime", "LinearDatamodel"])
def test_a_fit_to_an_additive_game_has_no_error(method):
    """All fit linear models, so that here their standard errors allow nothing beyond 2e-4."""
    result, _ = answer_on_linear_model(method)
    assert result.std_errors.max() < 5e-5


@pytest.mark.parametrize("method", [m for m in METHODS if METHODS[m].needs == "attention"])
def test_a_model_without_attention_is_told_what_works(method):
    with pytest.raises(CapabilityError, match=r"Methods that work here: .*IntegratedGradients"):
        explain(whence.load(linear_bag().pair), SHORT, method=method)


def test_a_model_in_training_mode_is_put_back_in_it():
    tiny = EVERY["bert"]()
    calm = ask(tiny, "LeaveOneOut")
    tiny.module.train()
    try:
        before = state_of(tiny)
        assert ask(tiny, "LeaveOneOut").scores.tobytes() == calm.scores.tobytes()
        ask(tiny, "IntegratedGradients")
        after = state_of(tiny)
        assert [key for key in before if before[key] != after[key]] == []
    finally:
        tiny.module.eval()


def test_evaluations_build_no_graph_and_count_right():
    tiny = EVERY["bert"]()
    seen = []

    def look(module, inputs, output):
        seen.append((output.logits.requires_grad, len(output.logits)))

    handle = tiny.module.register_forward_hook(look)
    try:
        model = whence.load(tiny.pair)
        found = explain(model, TEXT, method="lime", budget=40)
    finally:
        handle.remove()
    assert not any(graph for graph, _ in seen)
    # One pass for the prediction, one for the decision, the rest are the rows of the game.
    rows = sum(count for _, count in seen)
    assert rows - found.provenance.cost.distinct_evaluations == 2
    assert found.provenance.cost.evaluations == 40
