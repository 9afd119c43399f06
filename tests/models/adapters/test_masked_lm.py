"""Tokens at a mask, and weights of a sparse embedding, checked against the bare module."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from tests.asking import explain
from tests.zoo.families import MASKED, save

import whence
from whence.core import (
    CapabilityError,
    Contrast,
    Expansion,
    InputError,
    MaskFill,
    ModelLoadError,
    OptionError,
)
from whence.models.protocols import Row

PLAIN = "She missed four payments last year"


def text_of(tiny, *words):
    """The text with these words masked."""
    return " ".join(tiny.tokenizer.mask_token if w in words else w for w in PLAIN.split())


def logits_of(tiny, ids):
    with torch.inference_mode():
        return tiny.module(input_ids=torch.tensor([ids])).logits[0].double()


@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_a_token_at_the_mask(kind):
    tiny = MASKED[kind]()
    model = whence.load(tiny.pair)
    text = text_of(tiny, "missed")
    ids = tiny.tokenizer(text)["input_ids"]
    logits = logits_of(tiny, ids)[ids.index(tiny.tokenizer.mask_token_id)]
    whole = tiny.tokenizer(" not", add_special_tokens=False)["input_ids"]
    assert len(whole) == 1
    table = torch.log_softmax(logits, -1)
    for target in ("not", MaskFill(token="not"), MaskFill(token=whole[0])):
        found = explain(model, text, target=target, method="random")
        assert found.values[0] == pytest.approx(float(table[whole[0]]), abs=1e-5)
        assert found.outputs[0].name == "not"
    best = explain(model, text, method="random")
    assert best.values[0] == pytest.approx(float(table.max()), abs=1e-5)
    assert best.decision.text == best.outputs[0].name
    assert not any("reach no token" in note for note in best.notes)
    pipe = transformers.pipeline("fill-mask", model=tiny.module, tokenizer=tiny.tokenizer)
    own = [entry["score"] for entry in pipe(text)]
    assert [s.value for s in whence.load(pipe).decide(model.encode(text)).scores] == pytest.approx(
        own, abs=1e-6
    )


@pytest.mark.parametrize("masker", ["deletion", "mask-token"])
def test_the_mask_is_read_where_it_stands_in_every_row(masker):
    tiny = MASKED["Bert"]()
    model = whence.load(tiny.pair)
    text = text_of(tiny, "payments")
    found = explain(model, text, target="no", method="leave-one-out", masker=masker)
    tokenizer = tiny.tokenizer
    ids = tokenizer(text)["input_ids"]
    token = tokenizer.convert_tokens_to_ids("no")
    mask = tokenizer.mask_token_id
    place = ids.index(mask)

    def value(row, place):
        return float(torch.log_softmax(logits_of(tiny, row)[place], -1)[token])

    words = [f.text for f in found.segmentation.features]
    assert words == ["She", "missed", "four", "last", "year"]
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    for index, feature in enumerate(found.segmentation.features):
        group = [i for i, (a, b) in enumerate(offsets) if feature.start <= a < feature.end and b]
        if masker == "deletion":
            row = [t for i, t in enumerate(ids) if i not in group]
            read = place - sum(i < place for i in group)
        else:
            row, read = [mask if i in group else t for i, t in enumerate(ids)], place
        expected = value(ids, place) - value(row, read)
        assert found.scores[index, 0] == pytest.approx(expected, abs=1e-5)


def test_a_model_that_reads_its_padding_is_read_without():
    """FNet mixes all positions, those of padding too."""
    tokenizer = MASKED["Bert"]().tokenizer
    config = transformers.FNetConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, intermediate_size=48,
        max_position_embeddings=64, pad_token_id=tokenizer.pad_token_id, initializer_range=0.25,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = transformers.FNetForMaskedLM(config).eval()
    model = whence.load((module, tokenizer))
    text = "She [MASK] four payments last year"
    found = explain(model, text, target="no", method="leave-one-out", masker="deletion")
    token = tokenizer.convert_tokens_to_ids("no")

    def value(text):
        inputs = tokenizer(text, return_tensors="pt")
        place = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        with torch.inference_mode():
            logits = module(input_ids=inputs["input_ids"]).logits[0, place].double()
        return float(torch.log_softmax(logits, -1)[token])

    words = text.split()
    for index, feature in enumerate(found.segmentation.features):
        shorter = " ".join(word for word in words if word != feature.text)
        assert found.scores[index, 0] == pytest.approx(value(text) - value(shorter), abs=1e-5)


def test_several_masks_and_contrasts():
    tiny = MASKED["Bert"]()
    model = whence.load(tiny.pair)
    text = text_of(tiny, "missed", "last")
    ids = tiny.tokenizer(text)["input_ids"]
    places = [i for i, t in enumerate(ids) if t == tiny.tokenizer.mask_token_id]
    table = torch.log_softmax(logits_of(tiny, ids), -1)
    good, bad = tiny.tokenizer.convert_tokens_to_ids(["good", "bad"])
    targets = [
        MaskFill(token="good", mask=1),
        MaskFill(token="bad"),
        Contrast(label="good", against="bad"),
    ]
    found = explain(model, text, target=targets, method="leave-one-out", masker="deletion")
    a, b = places
    expected = [table[b, good], table[a, bad], table[a, good] - table[a, bad]]
    assert np.allclose(found.values, [float(v) for v in expected], atol=1e-5)
    assert whence.verify(model, found).holds
    with pytest.raises(OptionError, match="no mask token 2; the text has 2"):
        explain(model, text, target=MaskFill(mask=2))


def weights_of(tiny, ids):
    return torch.log1p(torch.relu(logits_of(tiny, ids))).amax(dim=0)


@pytest.mark.parametrize("masker", ["deletion", "attention-mask"])
def test_the_weight_of_a_token_in_a_sparse_embedding(masker):
    tiny = MASKED["Bert"]()
    model = whence.load(tiny.pair, task="sparse-embedding")
    ids = tiny.tokenizer(PLAIN)["input_ids"]
    weights = weights_of(tiny, ids)
    found = explain(model, PLAIN, method="leave-one-out", masker=masker)
    best = int(weights.argmax())
    assert found.values[0] == pytest.approx(float(weights[best]), abs=1e-5)
    assert found.outputs[0].target == Expansion(token=best)
    assert found.outputs[0].unit == "score"
    token = tiny.tokenizer.convert_tokens_to_ids("good")
    for each in (model, whence.load(tiny.pair)):
        named = explain(each, PLAIN, target=Expansion(token="good"), method="random")
        assert named.values[0] == pytest.approx(float(weights[token]), abs=1e-5)
    if masker == "deletion":
        shorter = weights_of(tiny, tiny.tokenizer(" ".join(PLAIN.split()[1:]))["input_ids"])
        assert found.scores[0, 0] == pytest.approx(float((weights - shorter)[best]), abs=1e-5)


def test_gradients_are_of_the_values():
    tiny = MASKED["Bert"]()
    model = whence.load(tiny.pair)
    encoding = model.encode(text_of(tiny, "missed"))
    point = model.embed(encoding)
    row = Row(ids=encoding.ids, token_types=encoding.token_types)
    for target in (MaskFill(token="good"), Expansion()):
        readout = model.readout(encoding, [target])
        found = model.gradients(encoding, point[None], readout)
        assert np.allclose(found.values, model.evaluate([row], readout).values, atol=1e-5)
        step = np.random.default_rng(0).standard_normal(point.shape).astype(np.float32)
        step *= 2e-3 / np.linalg.norm(step)
        both = model.gradients(encoding, np.stack([point + step, point - step]), readout).values
        slope = (found.gradients[0] * step).sum()
        assert (both[0] - both[1]) / 2 == pytest.approx(slope, abs=float(2e-5 + 0.03 * abs(slope)))


@pytest.mark.parametrize(
    "settings", [{}, {"pooling_strategy": "sum", "activation_function": "log1p_relu"}]
)
def test_a_sparse_folder(tmp_path, settings):
    tiny = MASKED["Bert"]()
    save(tiny, tmp_path)
    listed = [("", "MLMTransformer"), ("1_SpladePooling", "SpladePooling")]
    (tmp_path / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": i,
                    "name": str(i),
                    "path": path,
                    "type": f"sentence_transformers.sparse_encoder.models.{kind}",
                }
                for i, (path, kind) in enumerate(listed)
            ]
        )
    )
    (tmp_path / "1_SpladePooling").mkdir()
    file = tmp_path / "1_SpladePooling" / "config.json"
    file.write_text(json.dumps(settings))
    model = whence.load(tmp_path)
    assert model.task == "sparse_embedding"
    weights = torch.log1p(torch.relu(logits_of(tiny, tiny.tokenizer(PLAIN)["input_ids"])))
    weights = torch.log1p(weights).sum(dim=0) if settings else weights.amax(dim=0)
    token = tiny.tokenizer.convert_tokens_to_ids("good")
    found = explain(model, PLAIN, target="good", method="random")
    assert found.values[0] == pytest.approx(float(weights[token]), abs=1e-4)
    file.write_text(json.dumps({"pooling_strategy": "mean"}))
    with pytest.raises(ModelLoadError, match="max or sum"):
        whence.load(tmp_path)


def test_parity_with_the_library(tmp_path):
    library = pytest.importorskip(
        "sentence_transformers", reason="parity needs sentence-transformers==6.2.0"
    )
    save(MASKED["Bert"](), tmp_path / "base")
    peer = library.SparseEncoder(str(tmp_path / "base"), device="cpu")
    peer.save_pretrained(str(tmp_path / "sparse"))
    own = peer.encode(PLAIN).to_dense().numpy()
    for model in (whence.load(peer), whence.load(tmp_path / "sparse")):
        assert model.task == "sparse_embedding"
        targets = [Expansion(token=int(t)) for t in np.argsort(-own)[:3]]
        found = explain(model, PLAIN, target=targets, method="random")
        assert np.allclose(found.values, np.sort(own)[::-1][:3], atol=1e-5)


@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        ("xylophone", OptionError, "expected one token"),
        (MaskFill(token=10_000), OptionError, "no token id 10000"),
        (whence.NextToken(), CapabilityError, "MaskFill, Contrast, Expansion"),
        (Contrast(label="good"), OptionError, "needs label"),
        ([Expansion(), MaskFill()], CapabilityError, "no target MaskFill beside it"),
    ],
)
def test_bad_targets(target, error, says):
    tiny = MASKED["Bert"]()
    with pytest.raises(error, match=says):
        explain(whence.load(tiny.pair), text_of(tiny, "missed"), target=target)


def test_a_text_without_a_mask():
    with pytest.raises(InputError, match=r"expected '\[MASK\]' in the text"):
        explain(whence.load(MASKED["Bert"]().pair), PLAIN)
