"""Adapter folders of peft: the model beside them is read, and the adapter put on it."""

from __future__ import annotations

import copy
import json
import sys

import pytest
import torch
import transformers
from tests.asking import explain
from tests.zoo.families import FAMILIES, TAGGERS, VARIANTS, save

import whence
from whence.core import ModelLoadError

# peft calls what transformers will remove.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

TEXT = "He denies chest pain"
ADAPTED = {
    "llama-classifier": ("SEQ_CLS", ["q_proj"], VARIANTS["llama-classifier"]),
    "bert": ("SEQ_CLS", ["query"], FAMILIES["bert"]),
    "gpt2": ("CAUSAL_LM", ["c_attn"], FAMILIES["gpt2"]),
    "t5": ("SEQ_2_SEQ_LM", ["q"], FAMILIES["t5"]),
    "tagger": ("TOKEN_CLS", ["query"], TAGGERS["Bert"]),
}


def stated(folder, base, **settings):
    folder.mkdir(exist_ok=True)
    settings = {"base_model_name_or_path": base, "peft_type": "LORA", **settings}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    with pytest.raises(ModelLoadError, match="names no model that it changes"):
        whence.load(stated(tmp_path / "a", None))
    with pytest.raises(ModelLoadError, match="no folder /nowhere"):
        whence.load(stated(tmp_path / "b", "/nowhere/at/all"))
    save(FAMILIES["bert"](), tmp_path / "base")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelLoadError, match="pip install peft"):
        whence.load(stated(tmp_path / "c", str(tmp_path / "base"), task_type="SEQ_CLS"))


@pytest.fixture
def peft():
    return pytest.importorskip("peft", reason="adapter folders need peft, which is not installed")


def adapted(peft, name, **more):
    kind, modules, tiny = ADAPTED[name]
    tiny = tiny()
    settings = peft.LoraConfig(task_type=kind, target_modules=modules, r=2, **more)
    model = peft.get_peft_model(copy.deepcopy(tiny.module), settings)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if "lora_B" in key or "modules_to_save" in key:
                weight.copy_(torch.randn(weight.shape, generator=generator))
    return model.eval(), tiny


def first_logits(module, tokenizer, task):
    ids = tokenizer(TEXT, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        if task == "seq2seq":
            return module(
                input_ids=ids, decoder_input_ids=torch.zeros(1, 1, dtype=torch.long)
            ).logits
        return module(input_ids=ids).logits


@pytest.mark.parametrize("name", list(ADAPTED))
def test_an_adapter_folder_answers_as_the_adapted_module(peft, tmp_path, name):
    module, tiny = adapted(peft, name)
    save(tiny, tmp_path / "base")
    module.save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "base_model_name_or_path": "../base"}))
    read, held = whence.load(tmp_path / "adapter"), whence.load((module, tiny.tokenizer))
    assert read.task == held.task == tiny.task
    expected = first_logits(module, tiny.tokenizer, tiny.task)
    assert torch.allclose(first_logits(read.module, tiny.tokenizer, tiny.task), expected, atol=1e-6)
    found = explain(read, TEXT, method="leave-one-out", link="logit")
    again = explain(held, TEXT, method="leave-one-out", link="logit")
    assert found.values == pytest.approx(again.values, abs=1e-5)
    assert found.scores == pytest.approx(again.scores, abs=1e-5)
    plain = explain(whence.load(tmp_path / "base"), TEXT, method="leave-one-out", link="logit")
    assert plain.values != pytest.approx(again.values, abs=1e-3)


def test_the_head_of_an_adapter_has_its_own_number_of_labels(peft, tmp_path):
    # A bare encoder, on which a head of five labels was trained with the adapter.
    tiny = FAMILIES["bert"]()
    tiny.module.bert.save_pretrained(tmp_path / "base")
    tiny.tokenizer.save_pretrained(tmp_path / "base")
    wide = transformers.BertForSequenceClassification.from_pretrained(
        tmp_path / "base", num_labels=5
    )
    settings = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query"], r=2)
    module = peft.get_peft_model(wide, settings).eval()
    module.save_pretrained(tmp_path / "adapter")
    read = whence.load(tmp_path / "adapter")
    assert len(read.labels) == 5
    expected = first_logits(module, tiny.tokenizer, "classification")
    found = explain(read, TEXT, target=4, link="logit", method="random")
    assert found.values[0] == pytest.approx(float(expected[0, 4]), abs=1e-5)
