"""Beside the peers at pinned versions: equal where they are right, named where they are not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from tests.asking import explain
from tests.attribution.test_game_methods import plain, run, smooth_game, table_game

from whence.attribution import IntegratedGradients, KernelShap, LeaveOneOut, ShapleyValues
from whence.games import FunctionGame

N = 7


@pytest.fixture(autouse=True)
def _peers_warn():
    state = np.random.get_state()  # noqa: NPY002 - the peers draw from the global generator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    np.random.set_state(state)  # noqa: NPY002


def torch_game(game):
    def function(rows):
        return torch.tensor(plain(game)(rows.numpy().astype(bool)))

    return function


def test_captum_shapley_values_and_ablation():
    captum = pytest.importorskip("captum.attr")
    game = table_game(5, 3)
    ones = torch.ones(1, 5)
    exact = captum.ShapleyValues(torch_game(game)).attribute(ones)[0].numpy()
    assert np.allclose(run(ShapleyValues(), game).scores[:, 0], exact, atol=1e-6)
    single = captum.FeatureAblation(torch_game(game)).attribute(ones)[0].numpy()
    assert np.allclose(run(LeaveOneOut(), game).scores[:, 0], single, atol=1e-6)


def test_shap_exact_and_kernel():
    shap = pytest.importorskip("shap")
    game = table_game(N, 3)
    exact = run(ShapleyValues(), game).scores[:, 0]
    explainer = shap.KernelExplainer(lambda rows: plain(game)(rows.astype(bool)), np.zeros((1, N)))
    found = np.asarray(explainer.shap_values(np.ones((1, N)), nsamples=1 << N, silent=True))
    assert np.allclose(found.reshape(-1), exact, atol=1e-6)


def test_shapiq_exact():
    shapiq = pytest.importorskip("shapiq")
    game = table_game(N, 3)
    exact = shapiq.ExactComputer(lambda rows: plain(game)(np.asarray(rows).astype(bool)), N)
    found = exact("SV")
    expected = run(ShapleyValues(), game).scores[:, 0]
    assert np.allclose([found[(i,)] for i in range(N)], expected, atol=1e-8)


def test_lime_tends_to_our_coefficients():
    lime_text = pytest.importorskip("lime.lime_text")
    from whence.attribution import Lime

    words = [f"w{i}" for i in range(6)]
    _, function = smooth_game(6, 2)

    def classify(texts):
        rows = np.array([[w in t.split() for w in words] for t in texts])
        value = function(rows)
        return np.stack([value, -value], axis=1)

    explainer = lime_text.LimeTextExplainer(bow=True, random_state=0)
    explained = explainer.explain_instance(
        " ".join(words), classify, labels=(0,), num_features=6, num_samples=40_000
    )
    theirs = dict(explained.as_list(label=0))
    ours = Lime(ridge=0.0).estimate(FunctionGame(6, function), budget=64, seed=0).scores[:, 0]
    # LIME weighs the whole text as one sample of 40,000, we as one of 64: a small difference stays.
    assert np.allclose([theirs[w] for w in words], ours, atol=0.15)


class TestWhereTheyAreWrong:
    def test_captums_trapezoid_weights_do_not_sum_to_one(self):
        methods = pytest.importorskip("captum.attr._utils.approximation_methods")
        steps, _ = methods.approximation_parameters("riemann_trapezoid")
        assert sum(steps(50)) == pytest.approx(0.98)
        assert sum(steps(10)) == pytest.approx(0.90)

    def test_captums_lime_is_zero_for_small_outputs(self):
        captum = pytest.importorskip("captum.attr")
        pytest.importorskip("sklearn")
        from whence.attribution import Lime

        weights = 1e-3 * np.array([3.0, -2.0, 1.0, 0.5])
        torch.manual_seed(0)

        def small(rows):
            return rows.double() @ torch.tensor(weights)

        found = captum.Lime(small).attribute(torch.ones(1, 4), n_samples=200)[0].numpy()
        assert not found.any()
        game = FunctionGame(4, lambda rows: rows @ weights)
        ours = Lime(ridge=0.0).estimate(game, budget=16, seed=0).scores[:, 0]
        assert np.allclose(ours, weights)

    def test_captums_kernel_shap_repeats_samples_and_is_less_exact(self):
        captum = pytest.importorskip("captum.attr")
        gaps = []
        for seed in range(5):
            _, function = smooth_game(12, seed)
            exact = run(ShapleyValues(), FunctionGame(12, function)).scores[:, 0]
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - captum's own way
            theirs = (
                captum.KernelShap(torch_game(FunctionGame(12, function)))
                .attribute(torch.ones(1, 12), n_samples=240)[0]
                .numpy()
            )
            ours = run(KernelShap(), FunctionGame(12, function), budget=240, seed=seed)
            gaps.append(np.linalg.norm(theirs - exact) - np.linalg.norm(ours.scores[:, 0] - exact))
        assert np.median(gaps) > 0

    def test_captums_language_wrapper_with_its_cache(self):
        """Its default feeds the whole sequence on top of the cache; other numbers come out."""
        captum = pytest.importorskip("captum.attr")
        from tests.zoo.families import FAMILIES

        import whence

        tiny = FAMILIES["gpt2"]()
        model = whence.load(tiny.pair)
        text, forced = "not a good payment ever", (9, 17, 30)
        target = whence.Continuation(token_ids=forced)
        ours = explain(model, text, target=target, method="random").values[0]

        def value(cached):
            llm = captum.LLMAttribution(captum.FeatureAblation(tiny.module), tiny.tokenizer)
            words = captum.TextTemplateInput("{} a good payment ever", values=["not"])
            return llm.attribute(
                words, target=torch.tensor(forced), use_cached_outputs=cached
            ).seq_attr

        single = explain(
            model,
            text,
            target=target,
            method="leave-one-out",
            unit=whence.games.Spans(spans=((0, 3),)),
            masker="deletion",
        )
        assert np.isfinite(ours)
        assert np.isfinite(single.scores).all()
        assert not np.allclose(value(True).numpy(), value(False).numpy(), atol=1e-3)


def test_captum_integrated_gradients_on_a_real_model():
    captum = pytest.importorskip("captum.attr")
    from tests.zoo.families import FAMILIES

    import whence

    tiny = FAMILIES["bert"]()
    model = whence.load(tiny.pair)
    found = explain(
        model,
        "not a good payment",
        method=IntegratedGradients(tolerance=1e-3),
        unit="token",
        target="low",
        link="logit",
    )
    encoding = model.encode("not a good payment")
    embedded = tiny.module.get_input_embeddings()(torch.tensor(encoding.ids[None])).detach()
    start = embedded.clone()
    start[0, ~encoding.frozen] = torch.tensor(model.mean_embedding())

    def forward(points):
        mask = torch.ones(points.shape[:2], dtype=torch.long)
        return tiny.module(inputs_embeds=points, attention_mask=mask).logits[:, 0]

    scores = captum.IntegratedGradients(forward).attribute(
        embedded, baselines=start, n_steps=200, method="gausslegendre"
    )
    theirs = scores[0].sum(dim=1).detach().numpy()[~encoding.frozen]
    ours = found.scores[:, 0]
    assert len(ours) <= len(theirs)
    assert ours.sum() == pytest.approx(theirs.sum(), abs=2e-3)
    if len(ours) == len(theirs):
        assert np.allclose(ours, theirs, atol=2e-3)
