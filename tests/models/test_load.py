"""Models from folders, memory and callables; what is broken is said plainly."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
import transformers
from tests.asking import explain
from tests.zoo.families import FAMILIES, VARIANTS, save

import whence
from whence.core import CapabilityError, ModelLoadError, ModelOutputError, OptionError
from whence.models import GivesGradients, TextModel, TokenModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bert")
    save(FAMILIES["bert"](), path)
    return path


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "embedder"])
def test_folders_load_with_their_task(tmp_path, name):
    tiny = {**FAMILIES, **VARIANTS}[name]()
    save(tiny, tmp_path)
    model = whence.load(tmp_path)
    assert model.task == tiny.task
    assert isinstance(model, TokenModel)
    assert isinstance(model, GivesGradients)
    assert not isinstance(model, TextModel)
    held = whence.load(tiny.pair)
    # The same weights, tokenizer and configuration are the same model, wherever they come from.
    assert model.identity.fingerprint == held.identity.fingerprint
    assert model.identity.parameters == sum(p.numel() for p in tiny.module.parameters())


def test_loading_leaves_random_state_and_logging_as_found(folder):
    from transformers.utils import logging

    torch_before, level = torch.get_rng_state(), logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    whence.load(str(folder))
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert logging.get_verbosity() == level
    assert logging.is_progress_bar_enabled() == bars


def test_half_precision_is_read_as_float32_on_a_cpu(tmp_path):
    tiny = FAMILIES["bert"]()
    tiny.module.half().save_pretrained(tmp_path)
    tiny.module.float()
    tiny.tokenizer.save_pretrained(tmp_path)
    assert whence.load(tmp_path).identity.dtype == "float32"
    assert whence.load(tmp_path, dtype="bfloat16").identity.dtype == "bfloat16"


def test_the_fingerprint_follows_the_weights():
    tiny = FAMILIES["gpt2"]()
    model = whence.load(tiny.pair)
    before = model.fingerprint()
    assert model.fingerprint() == before
    weight = next(tiny.module.parameters())
    with torch.no_grad():
        weight.add_(1.0)
        changed = model.fingerprint()
        weight.sub_(1.0)
    assert changed != before


def test_pipelines_and_task_override():
    tiny = FAMILIES["bert"]()
    pipe = transformers.pipeline("text-classification", model=tiny.module, tokenizer=tiny.tokenizer)
    assert whence.load(pipe).labels == ("low", "middle", "high")
    assert whence.load(tiny.pair, task="classification").task == "classification"


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("./nowhere", r"no folder \./nowhere"),
        ("/nowhere/at/all", "no folder"),
        ("nowhere", "could not load nowhere"),
        ("some-organisation/some-model", r"could not load some-organisation/some-model"),
    ],
)
def test_missing_models(ref, says):
    with pytest.raises(ModelLoadError, match=says):
        whence.load(ref)


def test_folders_that_are_no_model(tmp_path):
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        whence.load(tmp_path)
    file = tmp_path / "model.bin"
    file.write_bytes(b"x")
    with pytest.raises(ModelLoadError, match="is a file"):
        whence.load(file)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelLoadError, match="could not load"):
        whence.load(tmp_path)


def test_corrupted_weights(tmp_path):
    save(FAMILIES["bert"](), tmp_path)
    weights = tmp_path / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelLoadError, match="undamaged"):
        whence.load(tmp_path)
    weights.write_bytes(b"\xff" * 64)
    with pytest.raises(ModelLoadError, match="undamaged"):
        whence.load(tmp_path)


def test_missing_weights_are_no_random_numbers(tmp_path):
    save(VARIANTS["embedder"](), tmp_path)
    with pytest.raises(ModelLoadError, match="random numbers"):
        whence.load(tmp_path, task="classification")


def test_missing_tokenizer(tmp_path):
    FAMILIES["bert"]().module.save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError):
        whence.load(tmp_path)
    with pytest.raises(ModelLoadError, match="without a tokenizer"):
        whence.load((FAMILIES["bert"]().module, None))


def test_other_architectures_are_named(tmp_path):
    config = transformers.BertConfig(architectures=["BertForQuestionAnswering"])
    config.save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match="BertForQuestionAnswering"):
        whence.load(tmp_path)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"task": "clasification"}, "did you mean 'classification'"),
        ({"dtype": "float33"}, "did you mean 'float32'"),
        ({"device": "cpuu"}, "got 'cpuu'"),
        ({"labels": ["a"]}, "for callables"),
    ],
)
def test_options_are_checked(folder, settings, says):
    with pytest.raises(OptionError, match=says):
        whence.load(folder, **settings)


def test_devices(folder):
    if not torch.cuda.is_available():
        with pytest.raises(OptionError, match="no CUDA"):
            whence.load(folder, device="cuda")
    assert whence.load(folder, device="cpu").identity.device == "cpu"


def test_a_model_in_memory_stays_as_it_is():
    tiny = FAMILIES["bert"]()
    with pytest.raises(OptionError, match="Move or cast it"):
        whence.load(tiny.pair, dtype="float16")
    with pytest.raises(OptionError, match="revision"):
        whence.load(tiny.pair, revision="main")
    with pytest.raises(OptionError, match="got int"):
        whence.load(3)
    with pytest.raises(OptionError, match=r"expected .* with a transformers model"):
        whence.load((torch.nn.Linear(2, 2), tiny.tokenizer))
    with pytest.raises(OptionError, match="leave task out"):
        whence.load(tiny.pair, task="callable")
    with pytest.raises(OptionError, match="not for callables"):
        whence.load(lambda texts: texts, task="causal")


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("gpt2", "classification"),
        ("t5", "embedding"),
        ("bert", "causal"),
        ("embedder", "classification"),
        ("bert", "masked-lm"),
    ],
)
def test_a_task_that_the_class_is_not_for(name, task):
    tiny = {**FAMILIES, **VARIANTS}[name]()
    with pytest.raises(OptionError, match=f"a model of task {tiny.task}; leave task out"):
        whence.load(tiny.pair, task=task)


def test_a_head_in_memory_is_embedded_by_what_it_stands_on():
    tiny = FAMILIES["bert"]()
    model = whence.load(tiny.pair, task="embedding")
    bare = whence.load((tiny.module.bert, tiny.tokenizer))
    target = whence.Similarity(other="a fox")
    values = [
        explain(m, "a good payment", target=target, method="random").values for m in (model, bare)
    ]
    assert values[0] == values[1]


def test_what_is_no_model_is_named():
    tiny = FAMILIES["bert"]()
    for ref, says in (
        (
            tiny.module,
            r"whence\.load\(\(module, tokenizer\)\), got a BertForSequenceClassification",
        ),
        (transformers.BertModel, "got the class BertModel alone"),
        (tiny.tokenizer, "alone"),
        ((tiny.module, tiny.tokenizer, 3), "one of 3"),
        ((torch.nn.DataParallel(tiny.module), tiny.tokenizer), r"give its \.module"),
    ):
        with pytest.raises(OptionError, match=says):
            whence.load(ref)


def test_a_module_without_its_weights_is_refused():
    tiny = FAMILIES["bert"]()
    with pytest.raises(ModelLoadError, match="built on the device 'meta', without its weights"):
        whence.load((copy.deepcopy(tiny.module).to("meta"), tiny.tokenizer))


def test_weights_that_are_fetched_for_each_layer():
    accelerate = pytest.importorskip("accelerate")
    tiny = FAMILIES["bert"]()
    module = accelerate.cpu_offload(copy.deepcopy(tiny.module), execution_device="cpu")
    model = whence.load((module, tiny.tokenizer))
    for method in ("leave-one-out", "integrated-gradients", "value-zeroing"):
        found = explain(model, "a good payment", method=method)
        plain = explain(whence.load(tiny.pair), "a good payment", method=method)
        assert found.scores == pytest.approx(plain.scores, abs=1e-5)
    with pytest.raises(CapabilityError, match="only while their layer runs"):
        whence.attend(model, "a good payment")


def test_a_compiled_part_is_watched_and_put_back():
    tiny = FAMILIES["bert"]()
    module = copy.deepcopy(tiny.module)
    part = torch.compile(module.bert.encoder.layer[0], backend="eager")
    module.bert.encoder.layer[0] = part
    model, forward = whence.load((module, tiny.tokenizer)), part.forward
    for method in ("attention-knockout", "value-zeroing"):
        found = explain(model, "a good payment", method=method)
        plain = explain(whence.load(tiny.pair), "a good payment", method=method)
        assert found.scores == pytest.approx(plain.scores, abs=1e-5)
    assert part.forward is forward


@pytest.mark.slow
def test_compiled_modules_are_read_and_watched():
    tiny = FAMILIES["bert"]()
    compiled = whence.load((torch.compile(tiny.module, backend="eager"), tiny.tokenizer))
    plain = explain(whence.load(tiny.pair), "a good payment", method="leave-one-out")
    found = explain(compiled, "a good payment", method="leave-one-out")
    assert found.scores == pytest.approx(plain.scores, abs=1e-6)
    assert whence.attend(compiled, "a good payment").record.layers[0].shown
    inside = copy.deepcopy(tiny.module)
    inside.compile(backend="eager")
    call = inside._compiled_call_impl
    model = whence.load((inside, tiny.tokenizer))
    assert explain(model, "a good payment").scores == pytest.approx(
        explain(whence.load(tiny.pair), "a good payment").scores, abs=1e-6
    )
    for watched in (
        lambda m: whence.attend(m, "a good payment").record.effects.value,
        lambda m: whence.logit_lens(m, "a good payment").log_probabilities.tolist(),
        lambda m: explain(m, "a good payment", method="value-zeroing").scores.tolist(),
    ):
        assert np.allclose(watched(model), watched(whence.load(tiny.pair)), atol=1e-5)
    assert inside._compiled_call_impl is call


def test_slow_tokenizers_are_refused():
    tiny = FAMILIES["bert"]()

    class Slow:
        is_fast = False

    with pytest.raises(CapabilityError, match="no character offsets"):
        whence.load((tiny.module, Slow()))


def test_unknown_embedded_models():
    with pytest.raises(OptionError, match="embedded model 'creditt'"):
        whence.load("embedded:creditt")


def test_pooling_is_read_from_the_folder(tmp_path):
    save(VARIANTS["embedder"](), tmp_path)
    pooling = tmp_path / "1_Pooling"
    pooling.mkdir()
    config = pooling / "config.json"
    target = whence.Similarity(other="a fox")
    values = []
    for key, name in (
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_lasttoken", "last"),
    ):
        config.write_text(json.dumps({key: True}))
        model = whence.load(tmp_path)
        assert name in model.identity.architecture
        found = explain(model, "a good payment", target=target, method="random")
        values.append(float(found.values[0]))
    assert len({round(value, 6) for value in values}) == 3
    config.write_text(json.dumps({"pooling_mode": "median"}))
    with pytest.raises(ModelLoadError, match="unknown pooling 'median'"):
        whence.load(tmp_path)
    config.write_text("{")
    with pytest.raises(ModelLoadError, match="not JSON"):
        whence.load(tmp_path)


class TestCallables:
    def test_shapes_and_labels(self):
        one = whence.load(lambda texts: [float(len(t)) for t in texts])
        assert explain(one, "a bb").outputs[0].name == "score"
        two = whence.load(lambda texts: np.ones((len(texts), 2)))
        assert explain(two, "a bb").outputs[0].name == "score 0"
        named = whence.load(lambda texts: torch.ones(len(texts), 2), labels=["x", "y"])
        assert explain(named, "a bb", target="y").outputs[0].name == "y"
        assert named.identity.fingerprint is None
        assert "lambda" in repr(named)

    @pytest.mark.parametrize(
        ("answer", "says"),
        [
            (lambda texts: [1.0] * (len(texts) + 1), "expected scores of shape"),
            (lambda texts: ["good"] * len(texts), "no table of numbers"),
            (lambda texts: [float("nan")] * len(texts), "finite"),
            (lambda texts: np.ones((len(texts), 2, 2)), "expected scores of shape"),
            (lambda texts: np.ones((len(texts), 3)), "expected 2 scores"),
        ],
    )
    def test_bad_answers_are_refused(self, answer, says):
        with pytest.raises(ModelOutputError, match=says):
            explain(whence.load(answer, labels=["x", "y"]), "a bb")

    def test_errors_of_the_function_come_through(self):
        def broken(texts):
            raise RuntimeError("my own")

        with pytest.raises(RuntimeError, match="my own"):
            explain(whence.load(broken), "a bb")
