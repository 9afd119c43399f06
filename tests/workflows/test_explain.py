from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.zoo.families import FAMILIES

import whence
from whence.core import (
    BudgetError,
    ModelOutputError,
    OptionError,
    TextTooLongError,
    TrustError,
)
from whence.evaluation.trust.trust_label import evaluations_of
from whence.games import DiskCache

TEXT = "the payment was late again and the bank did not wait for it any more"


@pytest.fixture(scope="module")
def model():
    return whence.load(FAMILIES["bert"]().pair)


def _late(texts):
    return [3.0 * t.count("late") - 1.0 * t.count("wait") for t in texts]


def test_every_explanation_is_judged_unless_it_is_told_not_to(model):
    found = whence.explain(model, TEXT, method="leave-one-out")
    assert found.trust.level == "quick"
    assert found.trust.cost.evaluations <= evaluations_of("quick")
    assert found.trust.output == found.outputs[0].name
    off = whence.explain(model, TEXT, method="leave-one-out", trust="off")
    assert off.trust is None
    assert off.scores.tobytes() == found.scores.tobytes()
    with pytest.raises(OptionError, match="did you mean 'default'"):
        whence.explain(model, TEXT, trust="defualt")


@pytest.mark.parametrize("method", ["leave-one-out", "input-x-gradient", "kernel-shap", "rollout"])
def test_the_default_label_asks_everything_it_can(model, method):
    found = whence.explain(model, TEXT, method=method, trust="default")
    label = found.trust
    assert [q.finding for q in label.quantities][4] != "not_measured"
    assert len(label.quantities) == 7
    assert len(label.pool.masks) == 64
    again = whence.explain(model, TEXT, method=method, trust="default")
    assert [q.says for q in again.trust.quantities] == [q.says for q in label.quantities]


def test_the_evaluations_shown_are_those_the_model_made(tmp_path):
    """Counted by a hook, on a fresh cache; the decision is asked once for each question put."""
    tiny = FAMILIES["bert"]()
    model = whence.load(tiny.pair)
    rows = []
    with DiskCache(tmp_path / "cache.sqlite") as cache:
        whence.explain(model, TEXT, method="leave-one-out", trust="off", cache=cache)
        hook = tiny.module.register_forward_hook(
            lambda m, a, k, o: rows.append(len(k["input_ids"])), with_kwargs=True
        )
        try:
            found = whence.explain(model, TEXT, method="leave-one-out", trust="quick", cache=cache)
        finally:
            hook.remove()
    # Beside the cost shown: what the model decides, and which label is the predicted one.
    spent = found.provenance.cost.distinct_evaluations + found.trust.cost.distinct_evaluations
    assert sum(rows) == spent + 2
    assert found.trust.cost.evaluations <= 55


def test_a_budget_covers_the_judgement_too(model):
    least = 2 + len(whence.explain(model, TEXT, method="random").segmentation)
    whole = whence.explain(model, TEXT, method="kernel-shap", budget=155)
    assert whole.trust is not None
    spent = whole.provenance.cost.evaluations + whole.trust.cost.evaluations
    assert spent <= 155
    tight = whence.explain(model, TEXT, method="leave-one-out", budget=least + 3)
    assert tight.trust is None
    assert any("not judged" in note for note in tight.notes)
    with pytest.raises(BudgetError, match="takes 55 evaluations") as error:
        whence.explain(model, TEXT, method="leave-one-out", budget=least + 3, trust="quick")
    enough = whence.explain(
        model, TEXT, method="leave-one-out", budget=error.value.needed, trust="quick"
    )
    assert enough.trust is not None


def test_random_scores_may_not_be_used():
    model = whence.load(_late)
    found = whence.explain(model, TEXT, method="random")
    assert found.trust.grade == "abstain"
    with pytest.raises(TrustError, match="abstain"):
        found.assert_trust("uncalibrated")
    whence.explain(model, TEXT, method="leave-one-out").assert_trust("uncalibrated")


def test_nothing_is_left_behind(model):
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    state = torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].tobytes()  # noqa: NPY002 - the state that must not move
    whence.explain(model, TEXT, method="input-x-gradient", trust="default")
    assert torch.equal(state, torch.random.get_rng_state())
    assert numpy_state == np.random.get_state()[1].tobytes()  # noqa: NPY002 - as above
    for name, value in model.module.state_dict().items():
        assert torch.equal(before[name], value)
    assert not model.module._forward_hooks


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_models_that_write_are_judged(family):
    model = whence.load(FAMILIES[family]().pair)
    target = whence.Continuation(max_new_tokens=2)
    found = whence.explain(model, TEXT, method="leave-one-out", target=target, trust="default")
    assert len(found.trust.quantities) == 7
    assert found.trust.quantities[4].finding != "not_measured"


def test_an_audit_asks_more_and_puts_the_model_back(tmp_path):
    tiny = FAMILIES["bert"]()
    model = whence.load(tiny.pair)
    before = {k: v.clone() for k, v in tiny.module.state_dict().items()}
    with DiskCache(tmp_path / "cache.sqlite") as cache:
        found = whence.explain(model, TEXT, method="leave-one-out", trust="audit", cache=cache)
    asked = [q.question for q in found.trust.quantities]
    assert "Does it depend on the model?" in asked
    assert "Does the answer stay when more is shown?" in asked
    assert len(found.trust.pool.masks) == 256
    for name, value in tiny.module.state_dict().items():
        assert torch.equal(before[name], value)
    by_question = {q.question: q for q in found.trust.quantities}
    assert "100 %" in by_question["Does it depend on the model?"].says
    plain = whence.load(_late)
    text_only = whence.explain(plain, TEXT, method="leave-one-out", trust="audit")
    findings = {q.question: q.finding for q in text_only.trust.quantities}
    assert findings["Does it depend on the model?"] == "not_measured"
    assert findings["Does the answer stay when more is shown?"] == "not_measured"


def test_an_edit_that_no_longer_fits_leaves_a_question_open():
    model = whence.load(FAMILIES["bert"]().pair)
    words = TEXT.split() * 20
    with pytest.raises(TextTooLongError) as refused:
        model.encode(" ".join(words))
    start, end = refused.value.passages[0]
    full = " ".join(words)[start:end]
    for character in " a" * 64:
        try:
            model.encode(full + character)
        except TextTooLongError:
            break
        full += character
    found = whence.explain(model, full, method="input-x-gradient", trust="default")
    # A doubled space or a lost letter still fits; what no longer does is skipped.
    assert len(found.trust.quantities) == 7
    assert found.trust.quantities[0].finding != "not_measured"


def test_a_label_that_was_not_asked_for_does_not_cost_the_scores():
    def frail(texts):
        return [float("nan") if len(t.split()) < 9 else float(len(t)) for t in texts]

    found = whence.explain(whence.load(frail), TEXT, method="leave-one-out", masker="replacement")
    assert found.trust is not None
    deleted = whence.load(frail)
    with pytest.raises(ModelOutputError):
        whence.explain(deleted, TEXT, method="leave-one-out", masker="deletion", trust="quick")


def test_auto_chooses_by_what_the_label_leaves():
    model = whence.load(_late)
    text = "the bill was late once more"
    found = whence.explain(model, text, budget=100, trust="quick")
    assert found.trust is not None
    assert found.provenance.cost.evaluations + found.trust.cost.evaluations <= 100
