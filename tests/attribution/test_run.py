"""``whence.explain`` from end to end."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tests.asking import explain
from tests.zoo.families import FAMILIES

import whence
from whence.attribution import KernelShap, Lime
from whence.attribution.run import plan_for
from whence.core import BudgetError, CapabilityError, Interrupted, OptionError
from whence.games import DiskCache, MemoryCache, Spans
from whence.games.question import ask

TEXT = "He denies chest pain but reports a mild cough since Monday ."


@pytest.fixture
def model():
    return whence.load(FAMILIES["bert"]().pair)


def test_auto_says_what_it_chose_and_why(model):
    found = explain(model, TEXT)
    assert found.provenance.method.name == "KernelShap"
    assert found.provenance.choice.startswith("KernelShap")
    assert explain(model, "He denies pain").provenance.method.name == "ShapleyValues"
    assert explain(model, TEXT, method="lime").provenance.choice is None


def test_provenance_is_whole(model):
    origin = explain(model, TEXT, method="lime", seed=3).provenance
    assert origin.method.options == {"kernel_width": 0.25, "ridge": 0.01}
    assert origin.masker.name == "MaskToken"
    assert origin.segmenter.name == "Words"
    assert origin.seed == 3
    assert len(origin.model.fingerprint) == 64
    assert {"torch", "transformers", "numpy", "tokenizers"} <= set(origin.environment)
    assert origin.created.endswith("+00:00")


def test_methods_may_be_instances(model):
    found = explain(model, TEXT, method=Lime(ridge=0.5))
    assert found.provenance.method.options["ridge"] == 0.5


def test_own_spans_and_custom_maskers(model):
    found = explain(model, TEXT, unit=Spans(spans=((10, 20),)), masker="deletion")
    assert [f.text for f in found.segmentation.features] == ["chest pain"]
    assert any("deleted" in note for note in found.notes)


def test_only_a_cache_that_is_given_outlives_the_call(model, tmp_path):
    first = explain(model, TEXT, method=KernelShap(guide=False), budget=60)
    again = explain(model, TEXT, method=KernelShap(guide=False), budget=60)
    # Two rows of each batch length are read alone too, which shows that batches change nothing.
    assert again.provenance.cost.distinct_evaluations == 60 + 4
    assert again.scores.tobytes() == first.scores.tobytes()
    with DiskCache(tmp_path / "c.sqlite") as cache:
        explain(model, TEXT, method=KernelShap(guide=False), budget=60, cache=cache)
        other = whence.load(FAMILIES["bert"]().pair)
        found = explain(other, TEXT, method=KernelShap(guide=False), budget=60, cache=cache)
    # One kept answer is asked again before any is used.
    assert found.provenance.cost.distinct_evaluations == 1
    assert found.scores.tobytes() == first.scores.tobytes()


def test_stopping_and_going_on(model):
    cache = MemoryCache()
    calls = []

    def stop(what, done, total):
        calls.append((what, done, total))
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="in the cache"):
        explain(
            model,
            TEXT,
            method=KernelShap(),
            budget=60,
            token_budget=100,
            progress=stop,
            cache=cache,
        )
    found = explain(model, TEXT, method=KernelShap(), budget=60, cache=cache)
    assert found.provenance.cost.distinct_evaluations < 60


def test_forecasts_come_before_the_work(model):
    seen = []
    explain(model, TEXT, budget=104, announce=seen.append)
    # 7 more are the gradient passes of the guide.
    assert seen[0].evaluations == 97
    assert seen[0].features == 12
    assert seen[0].seconds > 0
    assert seen[0].method == "KernelShap"


def test_forecasts_name_what_takes_half_or_less(model):
    seen = []
    text = "a good film . The dog was bad . He saw a good dog and a bad film"
    explain(model, text, announce=seen.append)
    # Every set of three sentences; a gradient of up to 137 passes is more than half of the 258.
    assert seen[0].cheaper == (("unit", "sentence", 8),)
    explain(model, text, unit="sentence", announce=seen.append)
    assert seen[1].cheaper == ()


def test_a_gradient_guides_where_evaluations_are_few(model):
    found = explain(model, TEXT, method="kernel-shap", budget=40)
    cost = found.provenance.cost
    # 33, less one where the evaluations left for pairs are odd, and the guide's own passes; seven
    # or more show that its gradients are those of the answer, and are of no budget.
    assert (cost.evaluations, cost.gradient_evaluations) in [(32, 7 + n) for n in range(7, 17, 2)]
    assert any(note.startswith("guided by integrated gradients") for note in found.notes)
    plain = explain(model, TEXT, method=KernelShap(guide=False), budget=40)
    assert plain.provenance.cost.gradient_evaluations == 0
    many = explain(model, TEXT, method="kernel-shap", budget=200)
    assert many.provenance.cost.gradient_evaluations == 0


def test_a_model_whose_backward_pass_fails_is_explained_without_a_guide(model, monkeypatch):
    from whence.games.embedding_game import EmbeddingGame

    def fails(self, points):
        raise RuntimeError("derivative for this operation is not implemented")

    monkeypatch.setattr(EmbeddingGame, "at", fails)
    found = explain(model, TEXT, method="kernel-shap", budget=40)
    assert found.provenance.cost.evaluations == 40
    assert any("not guided by a gradient: derivative" in note for note in found.notes)


def test_long_texts_take_a_quarter_where_a_gradient_guides(model):
    question = ask(model, " ".join(["chest pain and cough"] * 24))
    n = len(question.segmentation)
    assert n == 96
    assert plan_for(question).usual == 258 + 7
    assert plan_for(question, KernelShap(guide=False)).usual == 8 * n + 2


def test_bf16_is_opted_into_and_measured(model):
    plain = explain(model, TEXT, budget=100, method=KernelShap(guide=False))
    rough = explain(model, TEXT, budget=100, method=KernelShap(guide=False), precision="bfloat16")
    note = next(note for note in rough.notes if "bf16" in note)
    assert "largest deviation" in note
    # Two are read again alone.
    assert rough.provenance.cost.distinct_evaluations == 100 + 2
    assert not np.array_equal(plain.scores, rough.scores)
    assert np.abs(plain.values - rough.values).max() < 0.2


def test_unread_characters_are_said(model):
    found = explain(model, "chest \x07 pain")
    assert any("never reads" in note for note in found.notes)


def test_a_start_token_alone_is_said():
    found = explain(whence.load(FAMILIES["gpt2"]().pair), "not a good", budget=20)
    assert any("start token alone" in note for note in found.notes)


def test_constant_targets_are_degenerate():
    model = whence.load(lambda texts: [2.0] * len(texts))
    found = explain(model, "a b c")
    assert found.outcome == "degenerate"
    assert "every score is zero" in found.advice[0]
    assert np.isnan(found.completeness.relative[0])


def test_continuations_are_what_the_model_says():
    model = whence.load(FAMILIES["llama"]().pair)
    found = explain(model, "not a good", budget=20)
    assert found.decision.text == found.outputs[0].name


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"method": "kernel-shp"}, OptionError, "did you mean 'KernelShap'"),
        ({"unit": "wrod"}, OptionError, "did you mean 'word'"),
        ({"masker": "delete"}, OptionError, "did you mean 'deletion'"),
        ({"seed": -1}, OptionError, "seed"),
        ({"budget": 0}, OptionError, "budget"),
        ({"budget": 1}, BudgetError, "raise the budget"),
        ({"method": "kernel-shap", "budget": 5}, BudgetError, "needs 14"),
        ({"method": "shapley-values", "budget": 5}, BudgetError, "needs 4,096"),
        ({"precision": "fp8"}, OptionError, "precision"),
        ({"target": True}, OptionError, "target=True"),
        ({"options": {"ridge": 1}}, OptionError, "a named method"),
        ({"method": "lime", "options": {"rigde": 1.0}}, OptionError, "did you mean 'ridge'"),
        (
            {"masker": "pad", "method": "integrated-gradients", "budget": 3},
            BudgetError,
            "needs 7",
        ),
    ],
)
def test_bad_options(model, settings, error, says):
    with pytest.raises(error, match=says):
        explain(model, TEXT, **settings)


def test_models_without_gradients_name_what_works():
    model = whence.load(lambda texts: [float(len(t)) for t in texts])
    with pytest.raises(
        CapabilityError,
        match=r"needs gradients.*KernelShap, .*LinearDatamodel, .*Lime, .*LeaveOneOut",
    ):
        explain(model, "a b c", method="integrated-gradients")
    with pytest.raises(CapabilityError, match="has its own"):
        explain(model, "a b c", precision="bfloat16")
    with pytest.raises(OptionError, match="load it first"):
        explain("embedded:credit", "a b c")


def test_models_that_read_neither_tokens_nor_text():
    odd = SimpleNamespace(
        identity=SimpleNamespace(ref="odd", fingerprint=None), task="callable", labels=()
    )
    with pytest.raises(CapabilityError, match="neither tokens nor text"):
        explain(odd, "a b")


@pytest.mark.parametrize(
    ("unit", "target", "method"),
    [
        ("sentence", whence.Continuation(text=" yes"), "LinearDatamodel"),
        ("passage", whence.NextToken(), "LinearDatamodel"),
        ("sentence", whence.NextToken(), "LinearDatamodel"),
        ("word", None, "KernelShap"),
    ],
)
def test_sources_of_an_answer_are_sought_among_statements(unit, target, method):
    model = whence.load("embedded:decider")
    text = " ".join(f"Patient {i} has pain and fever." for i in range(12))
    found = plan_for(ask(model, text, unit=unit, target=target))
    assert type(found.method).__name__ == method


def test_a_record_says_which_question_its_scores_answer():
    model = whence.load("embedded:decider")
    text = " ".join(f"Patient {i} has pain." for i in range(6))
    found = explain(model, text, unit="sentence", target=whence.NextToken())
    assert "averaged over random halves" in found.quantity
    assert any("which removals change the target" in note for note in found.notes)
    assert found.provenance.choice.startswith("LinearDatamodel")
    assert found.provenance.cost.evaluations <= 34
    assert np.isfinite(found.std_errors).all()


def test_statements_of_a_classifier_are_explained_as_before(model):
    text = " ".join(["chest pain and cough."] * 12)
    assert type(plan_for(ask(model, text, unit="sentence")).method).__name__ == "KernelShap"
