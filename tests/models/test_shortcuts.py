"""Answers are those of the bare module called on one row, whatever shortcut is taken."""

from __future__ import annotations

import copy
import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from tests.asking import explain
from tests.zoo.architecture_checks import Model, scores
from tests.zoo.architectures import architectures, build
from tests.zoo.families import FAMILIES, VARIANTS
from tests.zoo.odd import ODD
from transformers.utils import ModelOutput

import whence
from whence.core import Continuation, Label, ModelOutputError, NextToken
from whence.models.protocols import Row

TEXT = "She did not miss a payment; her brother missed four payments last year."
EVERY = {**FAMILIES, **VARIANTS, **ODD}
FORCED = (9, 17)


def bare(module, row, model):
    """The logits that decide, of the module itself on one row without padding."""
    ids = torch.tensor([row.ids.tolist()])
    with torch.inference_mode():
        if model.task == "classification":
            return module(input_ids=ids).logits[0].double().numpy()
        if model.task == "causal":
            whole = torch.cat([ids, torch.tensor([FORCED[:-1]])], dim=1)
            logits = module(input_ids=whole, use_cache=False).logits[0, ids.shape[1] - 1 :]
        else:
            start = torch.tensor([[module.config.decoder_start_token_id, *FORCED[:-1]]])
            logits = module(input_ids=ids, decoder_input_ids=start, use_cache=False).logits[0]
    table = torch.log_softmax(logits.double(), dim=-1)
    return np.array([sum(float(table[t, token]) for t, token in enumerate(FORCED))])


def rows_of(model, lengths=True):
    """The text without each of its tokens, and shorter ones; or rows of one length."""
    encoding = model.encode(TEXT)
    ids = encoding.ids
    inner = range(1, len(ids) - 1)
    if lengths:
        cut = [np.delete(ids, [i]) for i in inner] + [np.delete(ids, range(1, i)) for i in inner]
        return [Row(ids=each) for each in [ids, *cut[:12], *cut[-6:]]]
    other = [np.where(np.arange(len(ids)) == i, 40 + i, ids) for i in inner]
    return [Row(ids=each) for each in other[:12]]


def answers_of(model, rows):
    encoding = model.encode(TEXT)
    if model.task == "classification":
        targets = [Label(label=i) for i in range(len(model.labels))]
        readout = model.readout(encoding, targets, link="logit")
    else:
        readout = model.readout(encoding, [Continuation(token_ids=FORCED)])
    return model.evaluate(rows, readout), readout


def assert_bare(tiny_module, model, rows):
    found, readout = answers_of(model, rows)
    truth = np.stack([bare(tiny_module, row, model) for row in rows])
    assert np.allclose(found.values, truth, atol=1e-4, rtol=1e-4)
    return found, readout


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize(
    "name",
    ["bert", "llama", "gemma3", "t5", "fnet", "xlnet", "minimax", "nllb-moe", "gpt2-classifier"],
)
def test_every_row_is_answered_as_if_alone(name, lengths):
    tiny = EVERY[name]()
    model = whence.load(tiny.pair)
    rows = rows_of(model, lengths)
    found, readout = assert_bare(tiny.module, model, rows)
    padded = "only rows of equal length share a pass"
    notes = " ".join(readout.shortcuts.notes)
    assert (padded in notes) == (name in ("fnet", "xlnet", "nllb-moe") and lengths)
    assert ("a pass of its own" in notes) == (name == "nllb-moe")
    if not notes:
        assert found.probes == 2


def test_what_was_read_to_prove_a_shortcut_is_in_the_cost():
    tiny = EVERY["bert"]()
    encoding = whence.load(tiny.pair).encode(TEXT)
    words = len(explain(whence.load(tiny.pair), TEXT, method="random").scores)
    cost = explain(whence.load(tiny.pair), TEXT, method="leave-one-out").provenance.cost
    assert cost.evaluations == words + 2
    # Masked rows are of one length: the first and the last are read again alone.
    assert cost.distinct_evaluations == words + 2 + 2
    assert cost.tokens == (words + 2 + 2) * len(encoding.ids)
    alone = explain(whence.load(tiny.pair), TEXT, method="leave-one-out", token_budget=1)
    assert alone.provenance.cost.distinct_evaluations == words + 2


def test_a_record_says_which_shortcut_was_dropped_and_why():
    found = explain(
        whence.load(ODD["fnet"]().pair), TEXT, method="leave-one-out", masker="deletion"
    )
    assert sum("only rows of equal length share a pass: together" in n for n in found.notes) == 1
    one = explain(
        whence.load(ODD["fnet"]().pair),
        TEXT,
        method="leave-one-out",
        masker="deletion",
        token_budget=1,
    )
    assert np.allclose(found.scores, one.scores, atol=1e-5)


def test_the_pooling_is_the_modules_own():
    """A decoder whose padding token is its end token decides before a final end token."""
    tiny = ODD["gpt2-classifier"]()
    model = whence.load(tiny.pair)
    ids = [*model.encode(TEXT).ids.tolist(), tiny.tokenizer.eos_token_id]
    rows = [Row(ids=np.array(ids)), Row(ids=np.array(ids[3:])), Row(ids=np.array(ids[:-1]))]
    found, _ = assert_bare(tiny.module, model, rows)
    assert np.allclose(found.values[0], found.values[2], atol=1e-5)


class Negated(transformers.BertForSequenceClassification):
    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = -output.logits
        return output


class NegatedDecoder(transformers.LlamaForSequenceClassification):
    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = -output.logits
        return output


@pytest.mark.parametrize(
    ("name", "kind"), [("bert", Negated), ("llama-classifier", NegatedDecoder)]
)
def test_a_forward_of_another_author_decides(name, kind):
    tiny = EVERY[name]()
    module = copy.deepcopy(tiny.module)
    module.__class__ = kind
    model = whence.load((module, tiny.tokenizer), task="classification")
    assert_bare(module, model, rows_of(model))
    plain = whence.load(tiny.pair)
    row = rows_of(plain)[:1]
    assert np.allclose(answers_of(model, row)[0].values, -answers_of(plain, row)[0].values)


class Bare(transformers.BertForSequenceClassification):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs).logits


class BareWriter(transformers.GPT2LMHeadModel):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs).logits


class TestForms:
    @pytest.mark.parametrize("name", ["bert", "roberta", "embedder"])
    def test_tuples(self, name):
        # Decoders and pairs of stacks in transformers 5.23 fail under this setting themselves.
        tiny = EVERY[name]()
        module = copy.deepcopy(tiny.module)
        module.config.return_dict = False
        method = "leave-one-out"
        target = whence.Similarity(other="a good year") if name == "embedder" else None
        found = explain(whence.load((module, tiny.tokenizer)), TEXT, method=method, target=target)
        own = explain(whence.load(tiny.pair), TEXT, method=method, target=target)
        assert np.allclose(found.scores, own.scores, atol=1e-5)
        times = explain(
            whence.load((module, tiny.tokenizer)), TEXT, method="input-x-gradient", target=target
        )
        assert np.allclose(times.values, own.values, atol=1e-4)

    @pytest.mark.parametrize(("name", "kind"), [("bert", Bare), ("gpt2", BareWriter)])
    def test_bare_tensors(self, name, kind):
        tiny = EVERY[name]()
        module = copy.deepcopy(tiny.module)
        module.__class__ = kind
        target = None if name == "bert" else Continuation(token_ids=FORCED)
        method = "leave-one-out"
        model = whence.load((module, tiny.tokenizer), task=tiny.task)
        found = explain(model, TEXT, method=method, target=target)
        own = explain(whence.load(tiny.pair), TEXT, method=method, target=target)
        assert np.allclose(found.scores, own.scores, atol=1e-5)

    def test_something_else(self):
        tiny = EVERY["bert"]()
        module = copy.deepcopy(tiny.module)
        module.forward = lambda **_: SimpleNamespace(score=0.0)
        model = whence.load((module, tiny.tokenizer))
        with pytest.raises(whence.core.CapabilityError, match="expected logits as a tensor"):
            explain(model, TEXT)

    def test_an_adapter_around_a_decoder(self):
        peft = pytest.importorskip("peft")
        tiny = EVERY["llama-classifier"]()
        torch.manual_seed(0)
        settings = peft.LoraConfig(
            task_type="SEQ_CLS", target_modules=["q_proj"], init_lora_weights=False
        )
        module = peft.get_peft_model(copy.deepcopy(tiny.module), settings).eval()
        model = whence.load((module, tiny.tokenizer), task="classification")
        assert_bare(module, model, rows_of(model))


# peft asks for a property that transformers deprecates.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
def test_trained_prompts_are_keys_that_no_budget_of_ours_forbids():
    peft = pytest.importorskip("peft")
    tiny = EVERY["llama"]()
    torch.manual_seed(0)
    settings = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    module = peft.get_peft_model(copy.deepcopy(tiny.module), settings).eval()
    model = whence.load((module, tiny.tokenizer))
    ids = torch.tensor([[*model.encode(TEXT).ids.tolist(), *FORCED[:-1]]])
    with torch.inference_mode():
        logits = module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    table = torch.log_softmax(logits[0, -len(FORCED) :].double(), dim=-1)
    truth = sum(float(table[t, token]) for t, token in enumerate(FORCED))
    for method in ("leave-one-out", "value-zeroing"):
        found = explain(model, TEXT, method=method, target=Continuation(token_ids=FORCED))
        assert found.values[0] == pytest.approx(truth, abs=1e-4)


NAMES = inspect.signature(transformers.LlamaForCausalLM.forward).parameters
STATE = "cache" if "cache" in NAMES else "past_key_values"
"""What a decoder calls its state: another name from 5.24 on."""


class Ahead(transformers.LlamaForCausalLM):
    """Every token reads those after it, as under is_causal: false."""

    def forward(self, input_ids=None, past_key_values=None, cache=None, **kwargs):
        state = {STATE: past_key_values if cache is None else cache}
        output = super().forward(input_ids=input_ids, **state, **kwargs)
        output.logits = output.logits + output.logits.mean(dim=1, keepdim=True)
        return output


class Renamed(transformers.LlamaForCausalLM):
    """Its state goes by another name, as that of transformers 5.24."""

    def forward(self, input_ids=None, attention_mask=None, cache=None, use_cache=None, **kwargs):
        output = super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            use_cache=use_cache,
            **{STATE: cache},
            **kwargs,
        )
        return ModelOutput(logits=output.logits, cache=output.past_key_values)


class Deaf(transformers.LlamaForCausalLM):
    """Takes logits_to_keep, and gives the logits of the first positions."""

    def forward(self, *args, logits_to_keep=0, **kwargs):
        output = super().forward(*args, **kwargs)
        if torch.is_tensor(logits_to_keep):
            output.logits = output.logits[:, : len(logits_to_keep)]
        return output


class TestPrefix:
    def rows(self, shared=50):
        rng = np.random.default_rng(0)
        prefix = rng.integers(5, 60, shared)
        tails = [rng.integers(5, 60, 4 + i % 3) for i in range(6)]
        return [Row(ids=np.concatenate([prefix, tail])) for tail in tails]

    def model(self, kind):
        tiny = EVERY["llama"]()
        module = copy.deepcopy(tiny.module)
        module.__class__ = kind
        return module, whence.load((module, tiny.tokenizer), task="causal")

    def test_a_decoder_that_reads_ahead_shares_neither_prefix_nor_padding(self):
        module, model = self.model(Ahead)
        found, readout = assert_bare(module, model, self.rows())
        assert readout.shortcuts.taken == ["company"]
        assert found.probes > 2

    def test_a_prefix_is_reused_under_any_name(self):
        module, model = self.model(Renamed)
        found, readout = assert_bare(module, model, self.rows())
        assert readout.shortcuts.proven["reuse"] == 50
        suffixes = sum(len(row) + 1 - 50 for row in self.rows())
        assert found.tokens == suffixes + sum(sorted(len(r) + 1 for r in self.rows())[::5])

    def test_states_of_any_class_are_compared(self):
        tiny = ODD["minimax"]()
        model = whence.load(tiny.pair)
        _, readout = assert_bare(tiny.module, model, self.rows())
        # A state that is continued rightly stays; one that is not leaves a sentence.
        assert ("reuse" in readout.shortcuts.proven) or readout.shortcuts.notes

    def test_a_longer_prefix_is_compared_again(self):
        _, model = self.model(transformers.LlamaForCausalLM)
        readout = model.readout(model.encode(TEXT), [NextToken(token=5)])
        assert model.evaluate(self.rows(20), readout).probes == 2
        assert model.evaluate(self.rows(22), readout).probes == 0
        assert model.evaluate(self.rows(60), readout).probes == 2

    def test_logits_of_some_positions_are_compared_with_all(self):
        module, model = self.model(Deaf)
        assert_bare(module, model, self.rows())
        assert model._keeps is False
        module, model = self.model(transformers.LlamaForCausalLM)
        assert_bare(module, model, self.rows())
        assert model._keeps is True


def test_a_replay_takes_no_shortcut():
    tiny = EVERY["llama"]()
    module = copy.deepcopy(tiny.module)
    model = whence.load((module, tiny.tokenizer))
    text = TEXT + " " + TEXT
    target = [Continuation(token_ids=FORCED)]
    record = whence.explain(model, text, target=target, method="leave-one-out")
    calls = []

    def watch(_, args, kwargs):
        calls.append((tuple(kwargs["input_ids"].shape), kwargs.get("past_key_values")))

    handle = module.register_forward_pre_hook(watch, with_kwargs=True)
    try:
        assert whence.verify(model, record).holds
    finally:
        handle.remove()
    assert calls
    assert all(shape[0] == 1 and cache is None for shape, cache in calls)


def test_a_replay_finds_what_a_shortcut_hid(monkeypatch):
    """Scores made by a shortcut that was never proven do not pass as the model's."""
    from whence.models.adapters.shortcuts import Shortcuts

    model = whence.load(ODD["fnet"]().pair)
    with monkeypatch.context() as patch:
        patch.setattr(Shortcuts, "due", lambda self, used: False)
        record = whence.explain(model, TEXT, method="leave-one-out", masker="deletion")
    assert not whence.verify(whence.load(ODD["fnet"]().pair), record, masks=20).holds


def test_a_forced_translation_does_not_see_its_future():
    """Read with the cache that its configuration asks for, an FSMT has no causal mask."""
    architecture = next(
        each for each in architectures() if each.kind == "FSMTForConditionalGeneration"
    )
    model = whence.load(build(architecture))
    encoding = model.encode(TEXT)
    first = [
        model.readout(encoding, [Continuation(token_ids=ids)]) for ids in ((9,), (9, 17), (9, 30))
    ]
    values = [model.evaluate([Row(ids=encoding.ids)], each) for each in first]
    alone, *longer = (float(each.values[0, 0]) for each in values)
    with torch.no_grad():
        ids = torch.tensor(encoding.ids[None])
        for token, value in zip((17, 30), longer, strict=True):
            start = torch.tensor([[model.module.config.decoder_start_token_id, 9]])
            logits = model.module(input_ids=ids, decoder_input_ids=start, use_cache=False).logits
            last = float(torch.log_softmax(logits[0, 1].double(), -1)[token])
            assert np.isclose(value, alone + last, atol=1e-4)


class TestAnswersThatDoNotStandStill:
    """A model that draws, or keeps something from call to call, has no answer to explain."""

    def noisy(self, change):
        tiny = EVERY["bert"]()
        module = copy.deepcopy(tiny.module)
        module.classifier.register_forward_hook(lambda _, args, output: change(output))
        return whence.load((module, tiny.tokenizer))

    @pytest.mark.parametrize("method", ["leave-one-out", "integrated-gradients", "kernel-shap"])
    def test_dropout_that_is_always_on(self, method):
        model = self.noisy(lambda output: torch.nn.functional.dropout(output, 0.5, training=True))
        with pytest.raises(ModelOutputError, match="differently in two calls"):
            whence.explain(model, TEXT, method=method, trust="off")

    def test_noise_of_another_generator(self):
        generator = np.random.default_rng(3)
        model = self.noisy(lambda output: output * float(generator.normal()))
        with pytest.raises(ModelOutputError, match="differently in two calls"):
            whence.explain(model, TEXT, method="leave-one-out", trust="off")

    def test_a_number_of_calls_that_is_counted(self):
        calls = []
        model = self.noisy(lambda output: output * (calls.append(1) or len(calls)))
        with pytest.raises(ModelOutputError, match="differently in two calls"):
            whence.explain(model, TEXT, method="integrated-gradients", trust="off")

    def test_one_row_alone_is_asked_again_where_it_draws(self):
        model = self.noisy(lambda output: output + 0.01 * torch.randn_like(output))
        encoding = model.encode(TEXT)
        readout = model.readout(encoding, [Label(label=0)], link="logit")
        with pytest.raises(ModelOutputError, match="differently in two calls"):
            model.evaluate([Row(ids=encoding.ids)], readout)

    def test_numbers_that_are_drawn_and_not_used_cost_four_passes_once(self):
        model = self.noisy(lambda output: output + 0 * torch.rand(1))
        encoding = model.encode(TEXT)
        readout = model.readout(encoding, [Label(label=0)], link="logit")
        assert model.evaluate([Row(ids=encoding.ids)], readout).probes == 4
        assert model.evaluate([Row(ids=encoding.ids)], readout).probes == 0

    def test_a_model_that_answers_otherwise_in_company_is_asked_again_once(self):
        model = whence.load(ODD["fnet"]().pair)
        readout = answers_of(model, rows_of(model))[1]
        assert readout.shortcuts.steady
        assert readout.shortcuts.notes

    @pytest.mark.slow
    def test_reformer_is_refused_without_a_seed_and_right_with_one(self):
        architecture = next(each for each in architectures() if each.kind == "ReformerModel")
        model = Model(architecture)
        with pytest.raises(ModelOutputError, match="hash_seed"):
            scores(model)
        for child in model.module.modules():
            if hasattr(child, "hash_seed"):
                child.hash_seed = 3
        with torch.random.fork_rng(devices=[]):
            scores(model)
