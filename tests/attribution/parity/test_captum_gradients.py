"""Gradient methods beside captum's, on a classifier and on a model that writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.asking import explain
from tests.zoo.families import FAMILIES

import whence
from whence.attribution import GradientShap, Saliency, SequentialIntegratedGradients, SmoothGrad

captum = pytest.importorskip("captum.attr")
pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
TEXT = "not a good payment"


@pytest.fixture(autouse=True)
def _captum_draws_from_the_global_generators():
    state = np.random.get_state()  # noqa: NPY002 - it is captum's
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.fixture(params=["bert", "gpt2"])
def case(request):
    """Our question, and captum's function of the same embeddings."""
    tiny = FAMILIES[request.param]()
    model = whence.load(tiny.pair)
    causal = tiny.task == "causal"
    settings = {"target": whence.NextToken()} if causal else {"target": "low"}

    def ask(method, **more):
        return explain(model, TEXT, method=method, unit="token", link="logit", **settings, **more)

    encoding = model.encode(TEXT)
    embedded = tiny.module.get_input_embeddings()(torch.tensor(encoding.ids[None])).detach()
    free = torch.tensor(~encoding.frozen)
    start = embedded.clone()
    start[0, free] = torch.tensor(model.mean_embedding())
    best = int(tiny.module(inputs_embeds=embedded).logits[0, -1].argmax())

    def forward(points):
        mask = torch.ones(points.shape[:2], dtype=torch.long)
        logits = tiny.module(inputs_embeds=points, attention_mask=mask).logits
        return logits[:, -1, best] if causal else logits[:, 0]

    return ask, forward, embedded, start, free


def features(found, scores, free):
    """Captum's scores of the tokens that are ours: some tokens may be one feature."""
    theirs = scores.detach().numpy()[free.numpy()]
    assert len(found.scores) == len(theirs)
    return theirs


def test_saliency(case):
    ask, forward, embedded, _, free = case
    found = ask(Saliency())
    gradient = captum.Saliency(forward).attribute(embedded, abs=False)[0]
    assert np.allclose(found.scores[:, 0], features(found, gradient.norm(dim=1), free), rtol=1e-3)


def test_noise_tunnel_over_the_same_noise(case):
    """The mean of gradients is captum's; its norm is without what few samples add to it."""
    ask, forward, embedded, _, free = case
    pairs, noise = 6, 0.2
    found = ask(SmoothGrad(noise=noise), budget=1 + 2 * pairs)
    point = embedded[0, free].numpy()
    scale = noise * np.sqrt((point.astype(np.float64) ** 2).mean())
    shift = scale * np.random.default_rng(0).standard_normal((pairs, *point.shape))
    gradients = []
    for one in shift:
        for sign in (1.0, -1.0):
            moved = embedded.clone()
            moved[0, free] += torch.tensor((sign * one).astype(np.float32))
            gradients.append(captum.Saliency(forward).attribute(moved, abs=False)[0, free].numpy())
    means = np.array(gradients).reshape(pairs, 2, *point.shape).mean(axis=1)
    squared = (means.sum(axis=0) ** 2 - (means**2).sum(axis=0)).sum(axis=1) / (pairs**2 - pairs)
    assert np.allclose(found.scores[:, 0], np.sqrt(np.maximum(squared, 0)), rtol=2e-3, atol=1e-5)
    tunnel = captum.NoiseTunnel(captum.Saliency(forward)).attribute(
        embedded, nt_samples=300, nt_samples_batch_size=50, stdevs=float(scale), abs=False
    )
    # Captum moves the special tokens as well, which is another smoothing.
    many = ask(SmoothGrad(noise=noise), budget=301).scores[:, 0]
    theirs = features(found, tunnel[0].norm(dim=1), free)
    assert np.corrcoef(many, theirs)[0, 1] > 0.95


def test_gradient_shap_in_expectation(case):
    ask, forward, embedded, start, free = case
    found = ask(GradientShap(baseline="mean"), budget=402)
    theirs = captum.GradientShap(forward).attribute(embedded, start, n_samples=400, stdevs=0.0)
    expected = features(found, theirs[0].sum(dim=1), free)
    # Both are samples; captum's places are drawn without strata.
    errors = np.hypot(found.std_errors[:, 0], found.std_errors[:, 0])
    assert np.all(np.abs(found.scores[:, 0] - expected) < 4 * errors + 1e-6)
    assert found.completeness.relative[0] < 0.02


def test_sequential_paths_are_captums_integrated_gradients_of_one_word(case):
    ask, forward, embedded, start, free = case
    found = ask(SequentialIntegratedGradients())
    scores = []
    for token in np.flatnonzero(free.numpy()):
        base = embedded.clone()
        base[0, token] = start[0, token]
        path = captum.IntegratedGradients(forward).attribute(
            embedded, baselines=base, n_steps=50, method="gausslegendre"
        )
        scores.append(float(path.sum()))
    assert np.allclose(found.scores[:, 0], scores, atol=2e-4)
