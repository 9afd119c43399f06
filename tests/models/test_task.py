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
        ("PI0ForConditionalGeneration", "needs state"),
        ("PerceiverForSequenceClassification", "no table of token embeddings"),
        ("CanineModel", "no table of token embeddings"),
    ],
)
def test_a_model_that_reads_no_text_alone_is_refused_at_loading(kind, reason):
    with pytest.raises(CapabilityError, match=reason):
        whence.load(build(ROWS[kind]))


@pytest.mark.parametrize(
    "kind", ["T5Model", "T5GemmaModel", "T5Gemma2Model", "M2M100Model", "ProphetNetModel"]
)
def test_an_encoder_decoder_that_reads_no_text_alone_embeds_with_its_encoder(kind, tmp_path):
    module, tokenizer = build(ROWS[kind])
    module.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    other = "the bank may end it"

    def vector(text):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = module.get_encoder()(input_ids=ids, attention_mask=torch.ones_like(ids))
        return states.last_hidden_state[0].double().mean(0)

    right = float(torch.nn.functional.cosine_similarity(vector(TEXT), vector(other), dim=0))
    target = whence.Similarity(other=other)
    for model in (whence.load((module, tokenizer)), whence.load(tmp_path, task="embedding")):
        found = whence.explain(model, TEXT, target=target, method="leave-one-out", trust="off")
        assert np.allclose(found.values[0], right, atol=1e-6)


def test_a_bart_reads_its_text_again_and_stays_whole():
    module, tokenizer = build(ROWS["BartModel"])
    assert whence.load((module, tokenizer)).module is module


def test_states_of_several_tokens_each_are_no_embedding_of_a_text():
    model = whence.load(build(ROWS["FunnelBaseModel"]))
    encoding = model.encode(TEXT)
    with pytest.raises(CapabilityError, match=r"5 states for a text of 10 tokens"):
        model.readout(encoding, [whence.Similarity(other=TEXT)])


def test_what_a_module_raises_says_that_it_was_the_module():
    model = whence.load(build(ROWS["IdeficsForVisionText2Text"]))
    with pytest.raises(ModelOutputError, match="raised ValueError while it read 9 tokens"):
        whence.explain(model, TEXT, method="leave-one-out", trust="off")
