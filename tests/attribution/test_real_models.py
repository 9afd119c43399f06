"""Trained models that are not ours, where they are at hand."""

from __future__ import annotations

import numpy as np
from tests.asking import explain

import whence
from whence.games import AttentionMask, Deletion, MaskToken, TokenGame, Words, align

STORY = "Once upon a time there was a little girl named Lily and she loved to play"


def test_a_zero_baseline_is_told_on_a_norm_of_squares(real_model):
    """Zero embeddings make the integrand singular where layers normalise by the root mean square."""
    model = whence.load(real_model("stories260K"))
    good = explain(model, STORY, method="integrated-gradients")
    assert good.outcome == "converged"
    assert good.completeness.relative[0] < 0.01
    bad = explain(model, STORY, method="integrated-gradients", options={"baseline": "zero"})
    assert bad.outcome == "not_converged"
    assert "completeness residual after 135 points" in bad.advice[0]


def test_evaluations_do_not_depend_on_their_batch(real_model):
    model = whence.load(real_model("minilm-sst2"))
    encoding = model.encode("The plot is thin, but the acting is so wonderful that I did not mind.")
    segmentation, tokens = align(Words().segment(encoding.document), encoding)
    readout = model.readout(encoding, [])
    coalitions = np.random.default_rng(0).random((24, len(segmentation))) < 0.5
    for masker in (MaskToken(), Deletion(), AttentionMask()):
        wide = TokenGame(model, encoding, readout, tokens, masker)(coalitions)
        alone = TokenGame(model, encoding, readout, tokens, masker, token_budget=1)(coalitions)
        assert np.abs(wide - alone).max() < 2e-5


def test_the_sentiment_is_where_a_reader_finds_it(real_model):
    model = whence.load(real_model("minilm-sst2"))
    found = explain(model, "A wonderful, warm film.", target="positive")
    assert found.decision.text == "positive"
    assert found.top(1)[0].feature.text in ("wonderful", "warm")
    assert found.top(1)[0].score > 0
