"""Embedding folders are read as sentence-transformers reads them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from tests.asking import explain
from tests.zoo.families import EMBEDDERS, save

import whence
from whence.core import InputError, ModelLoadError, OptionError, TextTooLongError
from whence.models.protocols import Row

TEXT = "She missed four payments last year"
OTHER = "He denies chest pain"
TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"


def write(folder, *modules, model="embedder", **settings):
    """A folder of modules: (class, settings, weights); ``settings`` are those of the pipeline."""
    save(EMBEDDERS[model](), folder)
    listed = [{"idx": 0, "name": "0", "path": "", "type": TRANSFORMER}]
    for index, (kind, options, weights) in enumerate(modules, start=1):
        path = folder / f"{index}_{kind}"
        path.mkdir()
        (path / "config.json").write_text(json.dumps(options))
        if weights:
            save_file(weights, path / "model.safetensors")
        listed.append(
            {
                "idx": index,
                "name": str(index),
                "path": path.name,
                "type": f"sentence_transformers.models.{kind}",
            }
        )
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder


def pool(mode):
    return "Pooling", {"embedding_dimension": 32, "pooling_mode": mode}, None


def states(text, model="embedder"):
    tiny = EMBEDDERS[model]()
    with torch.inference_mode():
        output = tiny.module(**tiny.tokenizer(text, return_tensors="pt"))
    return output.last_hidden_state[0].double().numpy()


def vector(model, text):
    encoding = model.encode(text)
    row = Row(ids=encoding.ids, token_types=encoding.token_types)
    with torch.inference_mode():
        return model._vectors([row])[0].numpy()


def unit(vector):
    return vector / np.linalg.norm(vector)


def positions(h):
    return np.arange(1, len(h) + 1)[:, None]


BY_HAND = {
    "cls": lambda h: h[0],
    "max": lambda h: h.max(axis=0),
    "mean": lambda h: h.mean(axis=0),
    "mean_sqrt_len_tokens": lambda h: h.sum(axis=0) / np.sqrt(len(h)),
    "weightedmean": lambda h: (h * positions(h)).sum(axis=0) / positions(h).sum(),
    "lasttoken": lambda h: h[-1],
}


@pytest.mark.parametrize("mode", BY_HAND)
def test_every_pooling_in_both_styles(tmp_path, mode):
    from whence.models.adapters.sentence_modules import OLD_KEYS

    folder = write(tmp_path, pool(mode))
    expected = unit(BY_HAND[mode](states(TEXT)))
    assert np.allclose(vector(whence.load(folder), TEXT), expected, atol=1e-6)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({key: name == mode for key, name in OLD_KEYS.items()})
    )
    assert np.allclose(vector(whence.load(folder), TEXT), expected, atol=1e-6)


def test_joined_poolings_dense_norm_and_dropout(tmp_path):
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(16, 64)), rng.normal(size=16)
    scale, shift = rng.normal(size=16), rng.normal(size=16)
    folder = write(
        tmp_path,
        pool(["max", "cls"]),
        (
            "Dense",
            {
                "in_features": 64,
                "out_features": 16,
                "bias": True,
                "activation_function": "torch.nn.modules.activation.Sigmoid",
            },
            {"linear.weight": torch.tensor(weight), "linear.bias": torch.tensor(bias)},
        ),
        ("Dropout", {"dropout": 0.5}, None),
        (
            "LayerNorm",
            {"dimension": 16},
            {"norm.weight": torch.tensor(scale), "norm.bias": torch.tensor(shift)},
        ),
        ("Normalize", {}, None),
    )
    before = torch.get_rng_state()
    model = whence.load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    h = states(TEXT)
    joined = np.concatenate([h.max(axis=0), h[0]])
    dense = 1 / (1 + np.exp(-(weight @ joined + bias)))
    normed = (dense - dense.mean()) / np.sqrt(dense.var() + 1e-5) * scale + shift
    assert np.allclose(vector(model, TEXT), unit(normed), atol=1e-6)
    assert model.decide(model.encode(TEXT)).text == "an embedding of 16 numbers"
    assert "Dense 64x16 Sigmoid" in model.identity.architecture
    # Another projection is another model.
    before = model.identity.fingerprint
    save_file(
        {"linear.weight": torch.tensor(2 * weight), "linear.bias": torch.tensor(bias)},
        folder / "2_Dense" / "model.safetensors",
    )
    assert whence.load(folder).identity.fingerprint != before


@pytest.mark.parametrize("mode", ["cls", "max", "weightedmean", "lasttoken"])
def test_padding_and_gradients_do_not_change_a_vector(tmp_path, mode):
    model = whence.load(write(tmp_path, pool(mode)))
    encodings = [model.encode(text) for text in (TEXT, "pain", "He denies chest pain today")]
    rows = [Row(ids=e.ids, token_types=e.token_types) for e in encodings]
    readout = model.readout(encodings[0], [whence.Similarity(other=OTHER)])
    together = model.evaluate(rows, readout).values[:, 0]
    alone = [model.evaluate([row], readout).values[0, 0] for row in rows]
    assert np.allclose(together, alone, atol=1e-6)
    gradients = model.gradients(encodings[0], model.embed(encodings[0])[None], readout)
    assert gradients.values[0, 0] == pytest.approx(alone[0], abs=1e-6)


def test_the_pooling_of_an_id_is_read_from_the_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    repository = tmp_path / "models--some--encoder"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    write(snapshot, pool("cls"))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = whence.load("some/encoder")
    assert np.allclose(vector(model, TEXT), unit(states(TEXT)[0]), atol=1e-6)


PROMPTS = {"prompts": {"query": "the quick fox: ", "other": ""}, "default_prompt_name": "query"}


def test_a_prompt_is_read_and_never_perturbed(tmp_path):
    folder = write(tmp_path, pool("mean"), **PROMPTS)
    model = whence.load(folder)
    whole = states("the quick fox: " + TEXT)
    assert np.allclose(vector(model, TEXT), unit(whole.mean(axis=0)), atol=1e-6)
    target = whence.Similarity(other=OTHER)
    explanation = explain(model, TEXT, target=target, method="leave-one-out")
    assert [f.text for f in explanation.segmentation.features] == TEXT.split()
    other = unit(states("the quick fox: " + OTHER).mean(axis=0))
    assert explanation.values[0] == pytest.approx(unit(whole.mean(axis=0)) @ other, abs=1e-6)
    assert whence.verify(model, explanation).holds
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode": "mean", "include_prompt": False})
    )
    tokenizer = EMBEDDERS["embedder"]().tokenizer
    count = len(tokenizer("the quick fox: ")["input_ids"]) - 1
    expected = unit(whole[count:].mean(axis=0))
    assert np.allclose(vector(whence.load(folder), TEXT), expected, atol=1e-6)
    with pytest.raises(InputError, match="one text behind its prompt"):
        model.encode((TEXT, OTHER))


@pytest.mark.parametrize("include", [True, False])
def test_prompts_by_name(tmp_path, include):
    texts = {"query": "no good ", "passage": "the quick brown fox: "}
    options = {"pooling_mode": "mean", "include_prompt": include}
    folder = write(tmp_path, ("Pooling", options, None), prompts=texts)
    model = whence.load(folder, prompt="query")

    def vector_behind(prompt, text):
        h = states(texts[prompt] + text)
        skipped = len(EMBEDDERS["embedder"]().tokenizer(texts[prompt])["input_ids"]) - 1
        return unit(h[0 if include else skipped :].mean(axis=0))

    own = vector_behind("query", TEXT)
    for prompt, name in ((None, "query"), ("query", "query"), ("passage", "passage")):
        target = whence.Similarity(other=OTHER, prompt=prompt)
        found = explain(model, TEXT, target=target, method="leave-one-out")
        assert found.values[0] == pytest.approx(own @ vector_behind(name, OTHER), abs=1e-6)
        assert whence.verify(model, found).holds
    with pytest.raises(OptionError, match=r"unknown prompt of .* 'querry'; did you mean 'query'"):
        whence.load(folder, prompt="querry")
    with pytest.raises(OptionError, match="unknown prompt"):
        explain(model, TEXT, target=whence.Similarity(other=OTHER, prompt="title"))
    with pytest.raises(OptionError, match="is for embedding models"):
        whence.load("embedded:credit", prompt="query")


def test_the_limit_and_lower_casing_of_the_folder(tmp_path):
    folder = write(tmp_path, pool("mean"), model="gpt2-embedder")
    (folder / "sentence_roberta_config.json").write_text(
        json.dumps({"max_seq_length": 12, "do_lower_case": True})
    )
    model = whence.load(folder)
    expected = unit(states("pain", "gpt2-embedder").mean(axis=0))
    assert np.allclose(vector(model, "PAIN"), expected, atol=1e-6)
    with pytest.raises(TextTooLongError) as caught:
        model.encode("pain " * 13)
    assert caught.value.limit == 12


def test_a_transformer_in_a_subfolder(tmp_path):
    folder = write(tmp_path, pool("cls"))
    inner = tmp_path / "0_Transformer"
    inner.mkdir()
    for file in [f for f in folder.iterdir() if f.is_file() and f.name != "modules.json"]:
        file.rename(inner / file.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert np.allclose(vector(whence.load(folder), TEXT), unit(states(TEXT)[0]), atol=1e-6)


def test_an_encoder_of_an_encoder_decoder(tmp_path):
    tiny = EMBEDDERS["t5-encoder"]()
    save(tiny, tmp_path)
    model = whence.load(tmp_path)
    assert model.task == "embedding"
    expected = unit(states(TEXT, "t5-encoder").mean(axis=0))
    assert np.allclose(vector(model, TEXT), expected, atol=1e-6)


def test_a_masked_language_model_as_an_embedder(tmp_path):
    folder = write(tmp_path, pool("mean"))
    base = EMBEDDERS["embedder"]().module
    masked = transformers.BertForMaskedLM(base.config).eval()
    masked.bert.load_state_dict(base.state_dict(), strict=False)
    masked.save_pretrained(folder)
    model = whence.load(folder)
    assert model.task == "embedding"
    assert np.allclose(vector(model, TEXT), unit(states(TEXT).mean(axis=0)), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("sentence_transformers.models.CNN", "a module CNN, which whence does not read"),
        ("sentence_transformers.models.Router", "a module Router"),
        ("my_code.Pooling", "does not run"),
    ],
)
def test_other_modules_are_refused_by_name(tmp_path, kind, says):
    folder = write(tmp_path, pool("mean"))
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelLoadError, match=says):
        whence.load(folder)
    modules[0]["type"] = "sentence_transformers.models.BoW"
    modules[1]["type"] = "sentence_transformers.models.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelLoadError, match="begins with a BoW"):
        whence.load(folder)
    modules[0]["path"] = "../elsewhere"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelLoadError, match="outside its folder"):
        whence.load(folder)


def test_a_folder_without_pooling(tmp_path):
    for name, modules in (("bare", []), ("unit", [("Normalize", {}, None)])):
        (tmp_path / name).mkdir()
        with pytest.raises(ModelLoadError, match="has no Pooling"):
            whence.load(write(tmp_path / name, *modules))


def test_damaged_modules(tmp_path):
    dense = {"in_features": 32, "out_features": 4}
    folder = write(tmp_path, pool("mean"), ("Dense", dense, None))
    with pytest.raises(ModelLoadError, match="lacks the weights of Dense"):
        whence.load(folder)
    save_file({"linear.weight": torch.zeros(4, 9)}, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(ModelLoadError, match=r"Dense in 2_Dense .* is damaged"):
        whence.load(folder)
    settings = folder / "2_Dense" / "config.json"
    settings.write_text(json.dumps({**dense, "activation_function": "my_code.Act"}))
    with pytest.raises(ModelLoadError, match=r"expected a class of torch\.nn"):
        whence.load(folder)
    settings.unlink()
    with pytest.raises(ModelLoadError, match=r"lacks 2_Dense/config\.json"):
        whence.load(folder)


class TestParity:
    """With the library itself, where it is installed."""

    @pytest.fixture
    def library(self):
        return pytest.importorskip(
            "sentence_transformers", reason="parity needs sentence-transformers==6.2.0"
        )

    def check(self, library, folder):
        peer = library.SentenceTransformer(str(folder), device="cpu")
        for model in (whence.load(folder), whence.load(peer)):
            for text in (TEXT, OTHER, "PAIN"):
                own = unit(peer.encode(text).astype(np.float64))
                assert np.allclose(vector(model, text), own, atol=1e-5)
            assert model.sentence.described == whence.load(folder).sentence.described

    @pytest.mark.parametrize("mode", [*BY_HAND, ["mean", "lasttoken", "max"]])
    @pytest.mark.parametrize("settings", [{}, PROMPTS], ids=["bare", "prompted"])
    def test_poolings(self, library, tmp_path, mode, settings):
        options = {"word_embedding_dimension": 32, "pooling_mode": mode, "include_prompt": False}
        self.check(library, write(tmp_path, ("Pooling", options, None), **settings))

    def test_modules(self, library, tmp_path):
        rng = np.random.default_rng(0)
        weights = {
            "linear.weight": torch.tensor(rng.normal(size=(16, 32)), dtype=torch.float32),
            "linear.bias": torch.tensor(rng.normal(size=16), dtype=torch.float32),
            "residual.weight": torch.tensor(rng.normal(size=(16, 32)), dtype=torch.float32),
        }
        norm = {"norm.weight": torch.rand(16) + 1, "norm.bias": torch.rand(16)}
        dense = {
            "in_features": 32,
            "out_features": 16,
            "bias": True,
            "activation_function": "torch.nn.modules.activation.GELU",
            "use_residual": True,
        }
        modules = [("Dense", dense, weights), ("LayerNorm", {"dimension": 16}, norm)]
        folder = write(tmp_path, pool("weightedmean"), *modules, ("Normalize", {}, None), **PROMPTS)
        self.check(library, folder)

    def test_an_encoder_of_an_encoder_decoder(self, library, tmp_path):
        self.check(library, write(tmp_path, pool("mean"), model="t5-encoder"))

    def test_an_object_in_memory(self, library, tmp_path):
        peer = library.SentenceTransformer(str(write(tmp_path, pool("mean"))), device="cpu")
        model = whence.load(peer)
        assert model.module is peer[0].auto_model
        target = whence.Similarity(other=OTHER)
        explanation = explain(model, TEXT, target=target, method="leave-one-out")
        expected = float(peer.similarity(peer.encode(TEXT), peer.encode(OTHER)))
        assert explanation.values[0] == pytest.approx(expected, abs=1e-6)
