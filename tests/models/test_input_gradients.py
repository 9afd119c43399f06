"""Gradients are those of the answer to the ids, or they are refused by name."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import transformers
from tests.asking import explain
from tests.zoo.architecture_checks import Model, gradients
from tests.zoo.architectures import architectures
from tests.zoo.families import FAMILIES, VARIANTS
from tests.zoo.odd import ODD

import whence
from whence.core import CapabilityError, Continuation, GradientError, Label
from whence.models.adapters.input_gradients import FINE, _Derivative
from whence.models.protocols import Row

TEXT = "She did not miss a payment; her brother missed four payments last year."
EVERY = {**FAMILIES, **VARIANTS, **ODD}


def target_of(tiny):
    return Label(label=0) if tiny.task == "classification" else Continuation(token_ids=(9, 17))


class TestRightOnes:
    @pytest.mark.parametrize(
        "name",
        ["esm", "xlnet", "nllb-moe", "bart-classifier", "t5-classifier", "longformer", "minimax"],
    )
    def test_values_and_slopes_are_the_answers_own(self, name):
        tiny = EVERY[name]()
        model = whence.load(tiny.pair)
        encoding = model.encode(TEXT)
        link = "logit" if tiny.task == "classification" else "log_probability"
        readout = model.readout(encoding, [target_of(tiny)], link=link)
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        plain = model.evaluate([row], readout).values[0]
        point = model.embed(encoding)
        found = model.gradients(encoding, np.stack([point, point]), readout)
        assert found.probes in range(7, 23, 2)
        assert model.gradients(encoding, point[None], readout).probes == 0
        assert np.allclose(found.values, plain, atol=1e-4)
        # The table itself is moved, under the names that all its readers know it by: the answers to
        # the ids must move by what the gradient says.
        token = encoding.ids[3]
        places = np.flatnonzero(encoding.ids == token)
        step = np.random.default_rng(1).standard_normal(point.shape[1]).astype(np.float32)
        step *= 1e-2 * np.linalg.norm(point[3]) / np.linalg.norm(step)
        slope = float((found.gradients[0, 0, places] * step).sum())
        usual = float(np.linalg.norm(found.gradients[0, 0, places])) * float(np.linalg.norm(step))
        weight = model.table.weight
        scale = point[3] / weight[token].detach().numpy()
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[token] += sign * torch.from_numpy(step / scale)
            values.append(model.evaluate([row], readout).values[0, 0])
            with torch.no_grad():
                weight[token] -= sign * torch.from_numpy(step / scale)
        # The head that predicts a forced token may share the table; none of these is forced.
        assert (values[0] - values[1]) / 2 == pytest.approx(slope, abs=0.05 * usual + 1e-4)

    @pytest.mark.parametrize("method", ["integrated-gradients", "gradient-weighted-attention"])
    def test_a_caller_in_inference_mode(self, method):
        model = whence.load(EVERY["bert"]().pair)
        plain = explain(model, TEXT, method=method)
        with torch.inference_mode():
            assert np.array_equal(explain(model, TEXT, method=method).scores, plain.scores)

    def test_batches_of_one_where_the_model_refuses_more(self):
        tiny = EVERY["llama-classifier"]()
        found = explain(whence.load(tiny.pair), TEXT, method="integrated-gradients")
        own = explain(whence.load(tiny.pair), TEXT, method="leave-one-out")
        assert found.values == pytest.approx(own.values, abs=1e-4)
        assert any("a pass of its own" in note for note in found.notes)

    def test_what_compares_them_is_in_the_cost_and_not_in_the_budget(self):
        found = explain(
            whence.load(EVERY["bert"]().pair), TEXT, method="input-x-gradient", budget=2
        )
        assert found.provenance.cost.gradient_evaluations in range(2 + 7, 2 + 17, 2)


class Detached(transformers.BertForSequenceClassification):
    """Half of its answer passes no gradient."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        with torch.no_grad():
            other = super().forward(*args, **kwargs)
        output.logits = output.logits + other.logits
        return output


class Straight(transformers.BertForSequenceClassification):
    """Rounds its answer and passes the gradient straight through another function."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        exact = output.logits
        output.logits = exact.square().detach() + exact - exact.detach()
        return output


class Steep(transformers.BertForSequenceClassification):
    """Its gradient is a twelfth too large, in every direction."""

    more = 1 / 12

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits + self.more * (output.logits - output.logits.detach())
        return output


class Steeper(Steep):
    more = 20


class Leak(transformers.BertForSequenceClassification):
    """A tenth of one layer's states passes no gradient."""

    def forward(self, *args, **kwargs):
        part = self.bert.encoder.layer[1].attention.output
        hook = part.register_forward_hook(lambda *a: 0.9 * a[-1] + 0.1 * a[-1].detach())
        try:
            return super().forward(*args, **kwargs)
        finally:
            hook.remove()


class Relay(transformers.BertForSequenceClassification):
    """Looks its tokens up without its table's module."""

    def forward(self, input_ids=None, **kwargs):
        table = self.get_input_embeddings()
        looked_up = torch.nn.functional.embedding(input_ids, table.weight)
        return super().forward(inputs_embeds=looked_up, **kwargs)


class TestWrongOnes:
    @pytest.mark.parametrize("method", ["integrated-gradients", "input-x-gradient"])
    @pytest.mark.parametrize(
        ("name", "says"), [("gemma3n", "another way beside"), ("hrm", "pass no gradient")]
    )
    def test_families(self, name, says, method):
        tiny = ODD[name]()
        model = whence.load(tiny.pair)
        with pytest.raises(GradientError, match=says) as caught:
            explain(model, TEXT, target=target_of(tiny), method=method)
        named = {
            "integrated-gradients": "IntegratedGradients",
            "input-x-gradient": "InputXGradient",
        }
        assert str(caught.value).startswith(f"{named[method]} needs gradients")
        assert "Methods that work here: ShapleyValues, KernelShap" in str(caught.value)
        # And nothing else is lost: scores do not need them.
        assert explain(model, TEXT, target=target_of(tiny), method="leave-one-out").scores.any()

    @pytest.mark.parametrize(
        ("kind", "says"),
        [
            (Detached, "pass no gradient"),
            (Straight, "another than their own"),
            (Steep, "another than their own"),
            (Leak, "another than their own"),
            (Relay, "does not look the tokens of its input up"),
        ],
    )
    @pytest.mark.parametrize("method", ["input-x-gradient", "gradient-weighted-attention"])
    def test_kinds(self, kind, says, method):
        tiny = EVERY["bert"]()
        module = copy.deepcopy(tiny.module)
        module.__class__ = kind
        model = whence.load((module, tiny.tokenizer), task="classification")
        with pytest.raises(GradientError, match=says):
            explain(model, TEXT, method=method, target="low")

    def test_half_precision_hides_no_large_error_and_says_that_it_hides_others(self):
        tiny = EVERY["bert"]()
        module = copy.deepcopy(tiny.module).bfloat16()
        model = whence.load((module, tiny.tokenizer), task="classification")
        settings = {"target": target_of(tiny), "method": "input-x-gradient"}
        says = "rounding would hide an error of half their size"
        assert sum(says in note for note in explain(model, TEXT, **settings).notes) == 1
        assert not any(
            says in note for note in explain(whence.load(tiny.pair), TEXT, **settings).notes
        )
        module.__class__ = Steeper
        with pytest.raises(GradientError, match="another than their own"):
            explain(model, TEXT, **settings)

    @pytest.mark.filterwarnings("ignore")
    def test_integer_layers(self):
        tiny = EVERY["bert"]()
        module = torch.ao.quantization.quantize_dynamic(
            copy.deepcopy(tiny.module), {torch.nn.Linear}, dtype=torch.qint8
        )
        model = whence.load((module, tiny.tokenizer), task="classification")
        encoding = model.encode(TEXT)
        readout = model.readout(encoding, [Label(label=0)])
        with pytest.raises(CapabilityError):
            model.gradients(encoding, model.embed(encoding)[None], readout)

    def test_no_hook_is_left_where_they_are_refused(self):
        tiny = ODD["hrm"]()
        before = sum(len(child._forward_hooks) for child in tiny.module.modules())
        with pytest.raises(GradientError):
            explain(whence.load(tiny.pair), TEXT, target=target_of(tiny), method="input-x-gradient")
        assert sum(len(child._forward_hooks) for child in tiny.module.modules()) == before


@pytest.mark.parametrize(
    "kind",
    [
        "IBertForSequenceClassification",  # its table gives embeddings and a scale
        "XLNetForSequenceClassification",
        "XLNetLMHeadModel",  # positions first, with forced tokens behind the text
        "CpmAntForCausalLM",  # a prompt of the module's own before the text
        "Florence2ForConditionalGeneration",  # the text is looked up outside the encoder
    ],
)
def test_the_text_is_found_wherever_a_family_looks_it_up(kind):
    gradients(Model(next(each for each in architectures() if each.kind == kind)))


def test_a_prompt_and_forced_tokens_keep_their_own_embeddings():
    from whence.models.adapters.input_gradients import look_up

    table = torch.nn.Embedding(20, 3)
    ids, leaf = torch.tensor([[4, 5], [6, 4]]), torch.randn(2, 2, 3)
    read = torch.tensor([[9, 9, 4, 5, 7], [9, 9, 6, 4, 8]], dtype=torch.int32)
    right = table(read).detach()
    right[:, 2:4] = leaf
    with look_up([table], ids, leaf):
        assert torch.equal(table(read), right)
        # Places first, also where there are as many of them as rows.
        assert torch.equal(table(read.T), right.transpose(0, 1))
        assert torch.equal(table(ids.T), leaf.transpose(0, 1))


@pytest.mark.parametrize(("factor", "agrees"), [(1.0, True), (1.08, False)])
def test_a_value_that_jumps_close_by_on_one_side_and_bends_on_the_other(factor, agrees):
    """Experts change a fiftieth of the step away; at a tenth of it the other side has bent too far."""

    def value(share):
        return -50 + 0.123 * share + 0.035 * min(share, 0.0) ** 2 - 2.2 * (share > 0.02)

    def ends(move):
        return np.array([[value(float(move[0, 0]))], [value(-float(move[0, 0]))]])

    slope = np.full((1, 1, 1), 0.123 * factor)
    found = _Derivative(np.array([-50.0]), slope, ends, FINE, 1e-4)
    assert (found.deviation(np.ones((1, 1), np.float32)) == "") == agrees


@pytest.mark.parametrize(("factor", "agrees"), [(1.0, True), (1.3, False)])
def test_a_value_that_is_rounded_coarser_than_its_size_tells(factor, agrees):
    """The difference of two numbers of 500 in float32, whose steps are 6e-5 apart."""

    def value(share):
        return float(np.float32(500.0 - 5.4e-4 * share) - np.float32(500.0162))

    def ends(move):
        return np.array([[value(float(move[0, 0]))], [value(-float(move[0, 0]))]])

    slope = np.full((1, 1, 1), -5.4e-4 * factor)
    found = _Derivative(np.array([value(0.0)]), slope, ends, FINE, 1e-4)
    assert (found.deviation(np.ones((1, 1), np.float32)) == "") == agrees
