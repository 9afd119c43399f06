"""Labels of words, checked against the bare module on one row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from tests.asking import explain
from tests.zoo.families import TAGGERS, TAGS, save

import whence
from whence.core import CapabilityError, Contrast, InputError, OptionError, TokenLabel
from whence.models.protocols import Row

TEXT = "She missed four payments last year"
KINDS = ["Bert", "Roberta"]


def logits_of(tiny, ids, attention=None):
    ids = torch.tensor([ids])
    mask = torch.ones_like(ids) if attention is None else torch.tensor([attention])
    with torch.inference_mode():
        return tiny.module(input_ids=ids, attention_mask=mask).logits[0].double()


def first_tokens(tiny, text=TEXT):
    """The first token of each word, from the tokenizer's own offsets."""
    output = tiny.tokenizer(text, return_offsets_mapping=True)
    starts = [text.index(word) for word in text.split()]
    return output["input_ids"], [
        next(i for i, (a, b) in enumerate(output["offset_mapping"]) if a <= start < b)
        for start in starts
    ]


def log_odds(logits, label):
    p = torch.softmax(logits, -1)[TAGS.index(label)]
    return float(torch.log(p) - torch.log1p(-p))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", [0, 3, 5])
def test_the_label_of_a_word(kind, word):
    tiny = TAGGERS[kind]()
    model = whence.load(tiny.pair)
    ids, firsts = first_tokens(tiny)
    expected = logits_of(tiny, ids)[firsts[word]]
    p = torch.softmax(expected, -1)
    own = {
        "log_odds": log_odds(expected, "B-LOC"),
        "logit": float(expected[3]),
        "log_probability": float(torch.log(p[3])),
        "probability": float(p[3]),
    }
    start = TEXT.index(TEXT.split()[word])
    named = TokenLabel(label="B-LOC", start=start, end=start + len(TEXT.split()[word]))
    targets = (f"B-LOC@{word}", f"B-LOC@{TEXT.split()[word]}", f"B-LOC@{start}:{named.end}", named)
    for target in targets:
        found = explain(model, TEXT, target=target, method="random")
        assert found.values[0] == pytest.approx(own["log_odds"], abs=1e-5)
        assert found.outputs[0].target == named
    for link, value in own.items():
        found = explain(model, TEXT, target=named, link=link, method="random")
        assert found.values[0] == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masker", ["mask-token", "deletion", "replacement", "pad"])
def test_the_word_is_read_where_it_stands_in_every_row(kind, masker):
    tiny = TAGGERS[kind]()
    model = whence.load(tiny.pair)
    found = explain(model, TEXT, target="B-PER@3", method="leave-one-out", masker=masker)
    ids, firsts = first_tokens(tiny)
    offsets = tiny.tokenizer(TEXT, return_offsets_mapping=True)["offset_mapping"]
    # A word takes the space before it along, where that is a token.
    groups = [
        next(i for i, (a, b) in enumerate(offsets) if b and a >= TEXT.index(word) - 1)
        for word in TEXT.split()
    ]
    groups.append(len(ids) - 1)
    full = log_odds(logits_of(tiny, ids)[firsts[3]], "B-PER")
    tokenizer = tiny.tokenizer
    dots = tokenizer("...", add_special_tokens=False)["input_ids"]
    for word in range(6):
        a, b = groups[word], groups[word + 1]
        place = groups[3] if word == 3 and masker in ("deletion", "replacement") else firsts[3]
        if masker == "deletion":
            # What is read leaves the mask token in its place.
            stand_in = [tokenizer.mask_token_id] if word == 3 else []
            row = ids[:a] + stand_in + ids[b:]
        elif masker == "replacement":
            stand_in, row = dots, ids[:a] + dots + ids[b:]
        else:
            token = tokenizer.mask_token_id if masker == "mask-token" else tokenizer.pad_token_id
            stand_in = [token] * (b - a)
            row = ids[:a] + stand_in + ids[b:]
        if word < 3:
            place += len(stand_in) - (b - a)
        if kind == "Roberta" and masker == "pad":
            continue  # its positions are counted over what is no padding, inside the module
        expected = full - log_odds(logits_of(tiny, row)[place], "B-PER")
        assert found.scores[word, 0] == pytest.approx(expected, abs=1e-5)


def test_an_entity_of_several_words_scores_like_a_continuation():
    tiny = TAGGERS["Bert"]()
    model = whence.load(tiny.pair)
    ids, firsts = first_tokens(tiny)
    table = torch.log_softmax(logits_of(tiny, ids), -1)
    total = float(table[firsts[1], 1] + table[firsts[2], 2])
    for label in ("B-PER", "PER"):
        target = TokenLabel(label=label, start=4, end=15)
        found = explain(model, TEXT, target=target, link="log_probability", method="leave-one-out")
        assert found.values[0] == pytest.approx(total, abs=1e-5)
        assert found.outputs[0].name == f"{label} at 'missed four'"
        odds = explain(model, TEXT, target=target, method="random").values[0]
        assert odds == pytest.approx(total - np.log1p(-np.exp(total)), abs=1e-5)
        assert whence.verify(model, found).holds
    # The two words are read where they stand after another was deleted.
    found = explain(
        model,
        TEXT,
        target=target,
        link="log_probability",
        method="leave-one-out",
        masker="deletion",
    )
    shorter = ids[:1] + ids[firsts[1] :]
    shift = firsts[1] - 1
    table = torch.log_softmax(logits_of(tiny, shorter), -1)
    expected = float(table[firsts[1] - shift, 1] + table[firsts[2] - shift, 2])
    assert found.scores[0, 0] == pytest.approx(total - expected, abs=1e-5)


def test_the_default_is_the_entity_of_highest_probability():
    tiny = TAGGERS["Bert"]()
    model = whence.load(tiny.pair)
    ids, firsts = first_tokens(tiny)
    chances = torch.softmax(logits_of(tiny, ids), -1)[firsts]
    labelled = [w for w in range(6) if int(chances[w].argmax()) != 0]
    word = max(labelled, key=lambda w: float(chances[w].max()))
    found = explain(model, TEXT, method="random")
    assert found.outputs[0].target.start == TEXT.index(TEXT.split()[word])
    assert found.outputs[0].target.label == TAGS[int(chances[word].argmax())]
    decided = {score.name: score.value for score in found.decision.scores}
    assert decided == {
        f"{TEXT.split()[w]}: {TAGS[int(chances[w].argmax())]}": pytest.approx(
            float(chances[w].max()), abs=1e-6
        )
        for w in labelled
    }


def test_contrasts_at_a_word():
    tiny = TAGGERS["Bert"]()
    model = whence.load(tiny.pair)
    ids, firsts = first_tokens(tiny)
    logits = logits_of(tiny, ids)[firsts[3]]
    for against in ("B-LOC", "B-LOC@3"):
        target = Contrast(label="B-PER@3", against=against)
        found = explain(model, TEXT, target=target, link="logit", method="random")
        assert found.values[0] == pytest.approx(float(logits[1] - logits[3]), abs=1e-5)
        assert whence.verify(model, found).holds


@pytest.mark.parametrize("link", ["log_odds", "logit", "probability"])
def test_gradients_are_of_the_values(link):
    model = whence.load(TAGGERS["Bert"]().pair)
    encoding = model.encode(TEXT)
    readout = model.readout(encoding, [TokenLabel(label="PER", start=4, end=15)], link=link)
    point = model.embed(encoding)
    found = model.gradients(encoding, point[None], readout)
    row = Row(ids=encoding.ids, token_types=encoding.token_types)
    assert np.allclose(found.values, model.evaluate([row], readout).values, atol=1e-5)
    step = np.random.default_rng(0).standard_normal(point.shape).astype(np.float32)
    step *= 2e-3 / np.linalg.norm(step)
    both = model.gradients(encoding, np.stack([point + step, point - step]), readout).values
    slope = (found.gradients[0] * step).sum()
    assert (both[0] - both[1]) / 2 == pytest.approx(slope, abs=float(2e-5 + 0.03 * abs(slope)))


@pytest.mark.parametrize(
    "method",
    [
        "shapley-values",
        "kernel-shap",
        "lime",
        "integrated-gradients",
        "attention-knockout",
        "rollout",
    ],
)
def test_methods_run_on_it(method):
    model = whence.load(TAGGERS["Bert"]().pair)
    found = explain(model, TEXT, target="B-PER@1", method=method)
    assert np.isfinite(found.scores).all()
    if method == "shapley-values":
        assert found.scores.sum() == pytest.approx(float(found.values[0] - found.base_values[0]))


def test_what_is_around_an_explanation_follows_the_word():
    model = whence.load(TAGGERS["Bert"]().pair)
    judged = whence.explain(model, TEXT, target="B-PER@3", trust="default", budget=400)
    assert judged.trust is not None
    audited = whence.explain(model, TEXT, target="B-PER@3", trust="audit", method="leave-one-out")
    shown = [q for q in audited.trust.quantities if q.measurements and "label" in q.says]
    assert any("keeps the label" in q.says for q in shown)
    attended = whence.attend(model, TEXT, target="B-PER@3")
    assert attended.record.effects.output.name == "B-PER at 'payments'"
    with pytest.raises(CapabilityError, match="token_classification"):
        whence.logit_lens(model, TEXT)
    from whence.games.question import ask, ask_otherwise

    question = ask(model, TEXT, target="B-PER@3")
    moved = ask_otherwise(question, "Never " + TEXT).readout.outputs[0]
    assert moved.name == "B-PER at 'payments'"
    assert moved.target.start == TEXT.index("payments") + 6
    with pytest.raises(InputError, match="'payments', whose label is explained"):
        ask_otherwise(question, "She missed four last year")


@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        ("B-PRE@1", OptionError, "did you mean 'B-PER'"),
        ("B-PER@9", OptionError, "there is no word 9; the text has 6"),
        ("B-PER@s", OptionError, "stands 4 times"),
        ("B-PER@40:45", OptionError, "no word at characters 40 to 45"),
        (TokenLabel(label=7, start=0, end=3), OptionError, "no label 7"),
        (whence.NextToken(), CapabilityError, "TokenLabel, Contrast"),
        (Contrast(label="B-PER@3"), OptionError, "needs both"),
    ],
)
def test_bad_targets(target, error, says):
    with pytest.raises(error, match=says):
        explain(whence.load(TAGGERS["Bert"]().pair), TEXT, target=target)


def test_folders_and_pipelines(tmp_path):
    tiny = TAGGERS["Bert"]()
    save(tiny, tmp_path)
    expected = explain(whence.load(tiny.pair), TEXT, target="B-PER@3", method="random").values
    for task in (None, "token_classification", "token-classification"):
        model = whence.load(tmp_path, task=task)
        assert model.task == "token_classification"
        assert explain(model, TEXT, target="B-PER@3", method="random").values == expected
    pipe = transformers.pipeline("ner", model=tiny.module, tokenizer=tiny.tokenizer)
    model = whence.load(pipe)
    own = {(e["start"], e["entity"]): e["score"] for e in pipe(TEXT)}
    found = explain(model, TEXT, link="probability", method="random")
    target = found.outputs[0].target
    if len(TEXT[target.start : target.end].split()) == 1:
        assert found.values[0] == pytest.approx(own[target.start, target.label], abs=1e-6)
