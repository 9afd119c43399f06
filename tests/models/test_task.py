"""The task of a class is read off what it does; what does not read text alone is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.zoo.architectures import architectures, build

import whence
from whence.core import CapabilityError, ModelOutputError

ROWS = {each.kind: each for each in architectures()}
TEXT = "she missed four payments but not the loan"


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("GotOcr2ForConditionalGeneration", "causal"),
        ("Qwen2AudioForConditionalGeneration", "causal"),
        ("MarianMTModel", "seq2seq"),
        ("Florence2ForConditionalGeneration", "seq2seq"),
        ("BertGenerationDecoder", "causal"),
        ("T5EncoderModel", "embedding"),
    ],
)
def test_a_class_that_writes_is_no_embedder_and_one_without_an_encoder_is_causal(kind, task):
    assert whence.load(build(ROWS[kind])).task == task


def test_a_decoder_of_images_and_text_is_read_from_its_folder(tmp_path):
    module, tokenizer = build(ROWS["LlavaForConditionalGeneration"])
    module.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = whence.load(tmp_path)
    target = whence.NextToken(token=40)
    result = whence.explain(model, TEXT, target=target, method="leave-one-out", trust="off")
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    with torch.no_grad():
        logits = module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1]
    assert np.allclose(result.values[0], float(torch.log_softmax(logits, -1)[40]), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("BlipForConditionalGeneration", "needs pixel_values"),
        ("PerceiverModel", "needs inputs"),
        ("PerceiverForSequenceClassification", "no table of token embeddings"),
        ("CanineModel", "no table of token embeddings"),
    ],
)
def test_a_model_that_reads_no_text_alone_is_refused_at_loading(kind, reason):
    with pytest.raises(CapabilityError, match=reason):
        whence.load(build(ROWS[kind]))


def test_what_a_module_raises_says_that_it_was_the_module():
    model = whence.load(build(ROWS["IdeficsForVisionText2Text"]))
    with pytest.raises(ModelOutputError, match="raised ValueError while it read 9 tokens"):
        whence.explain(model, TEXT, method="leave-one-out", trust="off")
