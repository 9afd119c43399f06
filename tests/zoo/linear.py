"""A classifier whose logits are exactly linear in which words are there: the answer is known."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from tests.zoo.families import Tiny
from tests.zoo.tokenizers import wordpiece
from transformers import PretrainedConfig, PreTrainedModel


class LinearConfig(PretrainedConfig):
    model_type = "linear-bag"


class LinearBagForSequenceClassification(PreTrainedModel):
    """``logit[0] = sum over attended tokens of w[id]``, ``logit[1] = 0``; [MASK] and kin weigh 0.

    The embedding's first coordinate is the weight, so gradients know the answer too.
    """

    config_class = LinearConfig

    def __init__(self, config):
        super().__init__(config)
        self.table = torch.nn.Embedding(config.vocab_size, 3)
        self.post_init()

    def get_input_embeddings(self):
        return self.table

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None):
        embedded = self.table(input_ids) if inputs_embeds is None else inputs_embeds
        total = (embedded[..., 0] * attention_mask).sum(dim=1)
        return SimpleNamespace(logits=torch.stack([total, torch.zeros_like(total)], dim=1))


def linear_bag() -> Tiny:
    tokenizer = wordpiece()
    config = LinearConfig(id2label={0: "yes", 1: "no"})
    config.vocab_size = len(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = LinearBagForSequenceClassification(config)
        with torch.no_grad():
            module.table.weight.normal_()
            module.table.weight[tokenizer.all_special_ids] = 0.0
            # The mean embedding is the default baseline; centre it so that it weighs 0 too.
            free = [i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids]
            module.table.weight[free] -= module.table.weight[free].mean(dim=0)
    return Tiny("linear", "classification", module.eval(), tokenizer)


def known(tiny, text, features):
    """The score of each feature: the sum of its tokens' weights."""
    found = tiny.tokenizer(text, return_offsets_mapping=True)
    weights = tiny.module.table.weight.detach()[:, 0]
    return [
        sum(
            float(weights[i])
            for i, (a, b) in zip(found["input_ids"], found["offset_mapping"], strict=True)
            if b > a and f.start <= a and b <= f.end
        )
        for f in features
    ]
