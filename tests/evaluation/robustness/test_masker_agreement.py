"""The scaffolded model of Slack et al. is flagged by it, the clean one is not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.evaluation.again import asked
from tests.zoo.families import FAMILIES, Tiny
from tests.zoo.linear import LinearConfig, linear_bag
from tests.zoo.tokenizers import wordpiece
from transformers import PreTrainedModel

import whence
from whence.core import CapabilityError, OptionError
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import draw_masks, pool_of
from whence.evaluation.robustness.masker_agreement import (
    SCAFFOLDED,
    chosen_masks,
    masker_agreement,
    other_masker,
)
from whence.games import Deletion, FunctionGame, MaskToken, Replacement

TEXT = "the applicant is a woman who paid every bill in march and lives in town"


def scaffold(texts):
    """By the forbidden word; wherever a perturbation shows, by an innocent one."""
    return [float("bill" in t if "..." in t else "woman" in t) for t in texts]


def clean(texts):
    """By the same word in any case, with little things from others."""
    weights = {"woman": 1.0, "paid": 0.5, "march": 0.25, "town": -0.4}
    return [sum(weights.get(w, 0.0) for w in t.split()) for t in texts]


class ScaffoldedForSequenceClassification(PreTrainedModel):
    """Reads its own weights, or where a mask token is seen the weights of a decoy."""

    config_class = LinearConfig

    def __init__(self, config):
        super().__init__(config)
        self.table = torch.nn.Embedding(config.vocab_size, 3)
        self.mask_id = config.mask_id
        self.post_init()

    def get_input_embeddings(self):
        return self.table

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None):
        embedded = self.table(input_ids) * attention_mask[..., None]
        masked = ((input_ids == self.mask_id) * attention_mask).any(dim=1)
        total = torch.where(masked, embedded[..., 1].sum(1), embedded[..., 0].sum(1))
        return SimpleNamespace(logits=torch.stack([total, torch.zeros_like(total)], dim=1))


def scaffolded_tokens():
    tokenizer = wordpiece()
    config = LinearConfig(id2label={0: "yes", 1: "no"})
    config.vocab_size, config.mask_id = len(tokenizer), tokenizer.mask_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = ScaffoldedForSequenceClassification(config)
        with torch.no_grad():
            module.table.weight.normal_()
            module.table.weight[tokenizer.all_special_ids] = 0.0
            # Two random decoys of a dozen words agree by chance; one turned round never does.
            module.table.weight[:, 1] = -module.table.weight[:, 0]
    return Tiny("scaffold", "classification", module.eval(), tokenizer)


def test_a_scaffolded_callable_is_flagged_and_a_clean_one_is_not():
    for function, flagged in ((scaffold, True), (clean, False)):
        model = whence.load(function)
        instance = asked(model, TEXT, masker=Replacement(text="..."))[1]
        found = masker_agreement(instance)
        assert (found.value < SCAFFOLDED) == flagged, (function, found.value)
        assert found.interval.low <= found.value <= found.interval.high
        assert found.n == 12
    # Leaving words out finds the forbidden word, replacing them finds the decoy.
    scores = {}
    for masker in (Deletion(), Replacement(text="...")):
        explanation = asked(
            whence.load(scaffold),
            TEXT,
            masker=masker,
            method="shapley-values" if len(TEXT.split()) < 10 else "kernel-shap",
        )[2]
        scores[type(masker)] = {
            f.text: s
            for f, s in zip(
                explanation.segmentation.features, explanation.scores[:, 0], strict=True
            )
        }
    assert scores[Deletion]["woman"] > 0.9
    assert scores[Replacement]["bill"] > 3 * abs(scores[Replacement]["woman"])


def test_scaffolded_token_models_are_flagged_and_clean_ones_are_not():
    hidden = asked(scaffolded_tokens().pair, TEXT)[1]
    assert isinstance(hidden.question.masker, MaskToken)
    assert masker_agreement(hidden).value < SCAFFOLDED
    honest = asked(linear_bag().pair, TEXT)[1]
    assert masker_agreement(honest).value > 0.999


def test_several_maskers_count_by_the_least_and_the_evaluations_are_those_said():
    model = whence.load(scaffold)
    instance = asked(model, TEXT, masker="deletion")[1]
    harmless, telling = Replacement(text="xyz"), Replacement(text="...")
    alone = masker_agreement(instance, [harmless]).value
    assert alone == 1.0
    both = masker_agreement(instance, [harmless, telling])
    assert both.value == masker_agreement(instance, [telling]).value < alone
    asked_of = []

    def counted(texts):
        asked_of.extend(texts)
        return clean(texts)

    instance = asked(whence.load(counted), TEXT)[1]
    asked_of.clear()
    masker_agreement(instance)
    assert len(asked_of) <= 12


def test_levels_of_an_answer_that_never_varies():
    constant = asked(whence.load(lambda texts: [1.0] * len(texts)), TEXT)[1]
    assert masker_agreement(constant).value == 1.0
    one_side = whence.load(lambda texts: [0.0 if "..." in t else float(len(t)) for t in texts])
    assert masker_agreement(asked(one_side, TEXT)[1]).value == 0.0


def test_the_chosen_masks_are_pairs_that_differ_most():
    masks = draw_masks(14, 64, 0)
    rows = chosen_masks(masks, 12)
    assert len(set(rows.tolist())) == 12
    assert np.array_equal(masks[rows][0::2], ~masks[rows][1::2])

    def overlap(rows):
        signs = np.where(masks[rows][0::2], 1.0, -1.0)
        gram = (signs @ signs.T) ** 2
        return gram.sum() - np.trace(gram)

    rng = np.random.default_rng(0)
    for _ in range(20):
        pairs = rng.permutation(32)[:6]
        assert overlap(rows) < overlap(np.stack([2 * pairs, 2 * pairs + 1], 1).ravel())
    assert chosen_masks(masks[:4], 12).tolist() == [0, 1, 2, 3]


def test_the_other_masker():
    bert = asked(FAMILIES["bert"]().pair)[1]
    assert isinstance(other_masker(bert), Deletion)
    deleted = asked(FAMILIES["bert"]().pair, masker="deletion")[1]
    assert isinstance(other_masker(deleted), MaskToken)
    assert isinstance(other_masker(asked(FAMILIES["gpt2"]().pair)[1]), Deletion | Replacement)


def test_refusals():
    game = FunctionGame(4, lambda S: S.sum(axis=1))
    with pytest.raises(CapabilityError, match="analytic"):
        masker_agreement(Instance(game, pool_of(game)))
    instance = asked(whence.load(clean), TEXT)[1]
    with pytest.raises(OptionError, match="masks=2"):
        masker_agreement(instance, masks=2)
    with pytest.raises(OptionError, match="another"):
        masker_agreement(instance, [Deletion()])
