"""Zero-shot pipelines are explained with their hypotheses, as the pipeline computes them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import transformers
from tests.asking import explain
from tests.zoo.families import bert

import whence
from whence.core import CapabilityError, InputError, OptionError, TextTooLongError

TEXT = "She missed four payments last year"
LABELS = ["loan", "pain", "fox"]


def entailing(name, *labels):
    return bert(
        name,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )


NLI = entailing("nli", "contradiction", "neutral", "entailment")
ENTAILMENT_FIRST = entailing("nli-first", "entailment", "neutral", "contradiction")


def pipeline(tiny=NLI, **settings):
    return transformers.pipeline(
        "zero-shot-classification", model=tiny.module, tokenizer=tiny.tokenizer, **settings
    )


@pytest.mark.parametrize("tiny", [NLI, ENTAILMENT_FIRST], ids=["last", "first"])
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [LABELS, ["pain"]], ids=["three", "one"])
def test_probabilities_are_those_of_the_pipeline(tiny, multi_label, labels):
    pipe = pipeline(tiny, multi_label=multi_label, hypothesis_template="It is about {}!")
    model = whence.load(pipe, labels=labels)
    own = pipe(TEXT, candidate_labels=labels)
    own = dict(zip(own["labels"], own["scores"], strict=True))
    decision = model.decide(model.encode(TEXT))
    assert {s.name: pytest.approx(s.value, abs=1e-6) for s in decision.scores} == own
    found = explain(model, TEXT, target="pain", link="probability", method="leave-one-out")
    assert found.values[0] == pytest.approx(own["pain"], abs=1e-6)
    if len(labels) > 1:
        odds = explain(model, TEXT, target="pain", method="random").values[0]
        assert odds == pytest.approx(np.log(own["pain"] / (1 - own["pain"])), abs=1e-5)


def test_each_word_is_perturbed_in_front_of_the_whole_hypothesis():
    pipe = pipeline()
    model = whence.load(pipe, labels=LABELS)
    masker = "deletion"
    found = explain(
        model, TEXT, target="pain", link="probability", method="leave-one-out", masker=masker
    )

    def chance(text):
        own = pipe(text, candidate_labels=LABELS)
        return dict(zip(own["labels"], own["scores"], strict=True))["pain"]

    words = TEXT.split()
    for index, score in enumerate(found.scores[:, 0]):
        shorter = " ".join(words[:index] + words[index + 1 :])
        assert score == pytest.approx(chance(TEXT) - chance(shorter), abs=1e-6)


@pytest.mark.parametrize(
    ("multi_label", "link"),
    list(itertools.product([False, True], ["logit", "log_odds", "probability", "log_probability"])),
)
def test_gradients_are_of_the_values(multi_label, link):
    model = whence.load(pipeline(multi_label=multi_label), labels=LABELS)
    encoding = model.encode(TEXT)
    targets = [whence.Label(label="fox"), whence.Contrast(label="pain", against="loan")]
    readout = model.readout(encoding, targets, link=link)
    point = model.embed(encoding)
    found = model.gradients(encoding, point[None], readout)
    row = whence.models.protocols.Row(ids=encoding.ids, token_types=encoding.token_types)
    assert np.allclose(found.values, model.evaluate([row], readout).values, atol=1e-6)
    rng = np.random.default_rng(0)
    step = rng.standard_normal(point.shape).astype(np.float32)
    step *= 2e-3 / np.linalg.norm(step)
    both = model.gradients(encoding, np.stack([point + step, point - step]), readout).values
    slope = (found.gradients[0] * step).sum(axis=(1, 2))
    assert np.allclose((both[0] - both[1]) / 2, slope, atol=2e-5 + 0.03 * np.abs(slope).max())


def test_only_the_labels_that_an_output_depends_on_are_asked():
    model = whence.load(pipeline(), labels=LABELS)
    encoding = model.encode(TEXT)
    row = whence.models.protocols.Row(ids=encoding.ids, token_types=encoding.token_types)
    sizes = {}
    for link in ("logit", "probability"):
        readout = model.readout(encoding, [whence.Label(label="fox")], link=link)
        # The first time, hypotheses of other lengths are also read alone.
        model.evaluate([row], readout)
        sizes[link] = model.evaluate([row], readout).tokens
        assert sizes[link] == len(row) + readout.extra_tokens
    assert sizes["logit"] < sizes["probability"] / 2


def test_what_is_missing_is_said_before_anything_is_asked():
    with pytest.raises(OptionError, match=r"whence\.load\(pipeline, labels="):
        whence.load(pipeline())
    assert whence.load(pipeline(candidate_labels=LABELS)).labels == tuple(LABELS)
    with pytest.raises(OptionError, match="different labels"):
        whence.load(pipeline(), labels=["a", "a"])
    with pytest.raises(OptionError, match="template"):
        whence.load(pipeline(hypothesis_template="nothing"), labels=LABELS)
    with pytest.raises(OptionError, match="begins with 'entail'"):
        whence.load(pipeline(entailing("low-high", "low", "high")), labels=LABELS)
    model = whence.load(pipeline(), labels=LABELS)
    with pytest.raises(InputError, match="expected a text, got tuple"):
        model.encode((TEXT, TEXT))
    with pytest.raises(TextTooLongError, match="the text with a hypothesis"):
        model.encode("pain " * 121)
    with pytest.raises(CapabilityError, match="attention"):
        whence.attend(model, TEXT)
    assert model.encode("pain " * 100)
