"""What a classifier's numbers are: probabilities, or values in a unit of their own."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import transformers
from tests.asking import explain
from tests.zoo.families import FAMILIES, bert

import whence
from whence.core import InputError, Label, ModelLoadError, ModelOutputError, OptionError

TEXT = "He denies chest pain"


def logits_of(tiny, text=TEXT):
    with torch.inference_mode():
        return tiny.module(**tiny.tokenizer(text, return_tensors="pt")).logits[0].double().numpy()


class TestRegression:
    tiny = bert("regression", problem_type="regression")

    def test_every_output_is_explained_in_its_own_unit(self):
        model = whence.load(self.tiny.pair)
        found = explain(model, TEXT, method="leave-one-out")
        assert [output.name for output in found.outputs] == ["low", "middle", "high"]
        assert {output.unit for output in found.outputs} == {"score"}
        assert np.allclose(found.values, logits_of(self.tiny), atol=1e-5)
        assert found.decision.unit == "score"
        values = [score.value for score in found.decision.scores]
        assert np.allclose(values, logits_of(self.tiny), atol=1e-5)
        assert found.decision.text.startswith(f"low {values[0]:.4g}, middle ")

    def test_there_are_no_probabilities(self):
        model = whence.load(self.tiny.pair)
        for link in ("probability", "log_odds", "log_probability"):
            with pytest.raises(OptionError, match="can be read as: score, logit"):
                explain(model, TEXT, link=link)
        one = explain(model, TEXT, target="high", link="logit", method="random")
        assert one.values[0] == pytest.approx(logits_of(self.tiny)[2], abs=1e-5)

    def test_a_lens_needs_a_distribution(self):
        with pytest.raises(whence.core.CapabilityError, match="gives numbers"):
            whence.logit_lens(whence.load(self.tiny.pair), TEXT, target="high")

    def test_it_has_no_labels_to_choose_from(self):
        model = whence.load(self.tiny.pair)
        with pytest.raises(whence.core.CapabilityError, match="no labels to choose from"):
            whence.Teacher.of(model)
        audited = whence.explain(model, TEXT, trust="audit", method="leave-one-out")
        says = [quantity.says for quantity in audited.trust.quantities]
        assert (
            "The model does not choose among two labels or more, so its label cannot change."
            in says
        )


def pipeline(tiny, **settings):
    return transformers.pipeline(
        "text-classification", model=tiny.module, tokenizer=tiny.tokenizer, **settings
    )


class TestPipelines:
    @pytest.mark.parametrize("function", ["sigmoid", "softmax", "none"])
    def test_its_own_activation(self, function):
        tiny = FAMILIES["bert"]()
        pipe = pipeline(tiny, function_to_apply=function, top_k=None)
        model = whence.load(pipe)
        own = {entry["label"]: entry["score"] for entry in pipe(TEXT)[0]}
        decision = model.decide(model.encode(TEXT))
        assert {s.name: pytest.approx(s.value, abs=1e-6) for s in decision.scores} == own
        link = "logit" if function == "none" else "probability"
        found = explain(model, TEXT, target="high", link=link, method="random")
        assert found.values[0] == pytest.approx(own["high"], abs=1e-6)
        if function == "none":
            assert decision.unit == "logit"
            with pytest.raises(OptionError, match="can be read as: logit, score"):
                explain(model, TEXT, link="probability")

    def test_a_task_without_an_answer_to_explain(self):
        class Pipeline:
            task = "question-answering"
            model, tokenizer = FAMILIES["bert"]().pair

        with pytest.raises(ModelLoadError, match="a pipeline of 'question-answering'"):
            whence.load(Pipeline())


class TestNames:
    def test_labels_of_one_name_are_told_apart_by_index(self):
        tiny = bert("doubled", id2label={0: "other", 1: "high", 2: "other"})
        model = whence.load(tiny.pair)
        with pytest.raises(OptionError, match=r"2 labels are called 'other': 0, 2"):
            explain(model, TEXT, target="other")
        found = explain(model, TEXT, target=2, link="logit", method="leave-one-out")
        assert found.outputs[0].name == "other (label 2)"
        assert found.values[0] == pytest.approx(logits_of(tiny)[2], abs=1e-5)
        assert whence.verify(model, found).holds
        assert explain(model, TEXT, target="high", method="random").outputs[0].name == "high"

    def test_a_head_of_another_size_than_the_configuration(self):
        tiny = FAMILIES["bert"]()
        module = copy.deepcopy(tiny.module)
        module.classifier = torch.nn.Linear(module.classifier.in_features, 5)
        model = whence.load((module, tiny.tokenizer))
        for target in (None, "low"):
            with pytest.raises(ModelOutputError, match=r"gives 5 outputs.* names 3"):
                explain(model, TEXT, target=target)
        module.config.id2label = {i: f"grade {i}" for i in range(5)}
        model = whence.load((module, tiny.tokenizer))
        assert explain(model, TEXT, target="grade 4", method="random").outputs

    @pytest.mark.parametrize(
        ("names", "says"),
        [({1: "a", 2: "b", 3: "c"}, "names the outputs 1, 2, 3"), (None, "outputs not at all")],
    )
    def test_names_of_other_outputs_are_not_replaced_in_silence(self, names, says):
        tiny = FAMILIES["bert"]()
        module = copy.deepcopy(tiny.module)
        module.config.id2label = names
        with pytest.raises(ModelOutputError, match=says):
            explain(whence.load((module, tiny.tokenizer)), TEXT)

    def test_names_whose_keys_are_text_are_read(self):
        tiny = FAMILIES["bert"]()
        module = copy.deepcopy(tiny.module)
        module.config.id2label = {"2": "c", "0": "a", "1": "b"}
        model = whence.load((module, tiny.tokenizer))
        assert model.labels == ("a", "b", "c")
        found = explain(model, TEXT, target="c", link="logit", method="leave-one-out")
        assert found.values[0] == pytest.approx(logits_of(tiny)[2], abs=1e-5)


class TestVocabulary:
    def test_a_token_that_the_table_lacks(self):
        tiny = FAMILIES["bert"]()
        tokenizer = copy.deepcopy(tiny.tokenizer)
        tokenizer.add_tokens(["metformin"])
        model = whence.load((tiny.module, tokenizer))
        with pytest.raises(InputError, match=r"'metformin' has id 420.*resize_token_embeddings"):
            explain(model, "He takes metformin daily")
        with pytest.raises(InputError, match="resize_token_embeddings"):
            explain(model, TEXT, masker=whence.Replacement(text="metformin"))
        found = explain(model, TEXT, target=Label(label="high"), link="logit", method="random")
        assert found.values[0] == pytest.approx(logits_of(tiny)[2], abs=1e-5)

    def test_a_mask_or_pad_token_that_the_table_lacks_is_not_used(self):
        tiny = FAMILIES["gpt2"]()
        tokenizer = copy.deepcopy(tiny.tokenizer)
        tokenizer.add_special_tokens({"pad_token": "<new pad>", "mask_token": "<new mask>"})
        model = whence.load((tiny.module, tokenizer))
        assert model.vocabulary.mask_id is None
        assert explain(model, TEXT, target=whence.NextToken(), method="leave-one-out").outputs
