"""Inputs, targets and passes of the adapters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.asking import explain
from tests.zoo.families import FAMILIES, VARIANTS

import whence
from whence.core import (
    CapabilityError,
    Continuation,
    Contrast,
    InputError,
    Label,
    NextToken,
    OptionError,
    Similarity,
    TextTooLongError,
)
from whence.models.adapters import causal
from whence.models.protocols import Row

EVERY = {**FAMILIES, **VARIANTS}


def model_of(name):
    return whence.load(EVERY[name]().pair)


class TestInputs:
    def test_pairs(self):
        tiny = EVERY["bert"]()
        encoding = model_of("bert").encode(("She did not", "miss a payment"))
        own = tiny.tokenizer("She did not", "miss a payment")
        assert encoding.ids.tolist() == own["input_ids"]
        assert encoding.token_types.tolist() == own["token_type_ids"]
        text = encoding.document.text
        assert text == "She did not\nmiss a payment"
        last = encoding.offsets[~encoding.frozen][-1]
        assert text[last[0] : last[1]].endswith("t")
        found = explain(model_of("bert"), ("She did not", "miss a payment"), unit="turn")
        assert [f.part for f in found.segmentation.features] == ["first", "second"]

    def test_chat(self):
        tiny = EVERY["qwen3"]()
        messages = [
            {"role": "system", "content": "answer the question"},
            {"role": "user", "content": "Did she miss a payment? answer the question"},
        ]
        model = model_of("qwen3")
        encoding = model.encode(messages)
        own = tiny.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        assert encoding.ids.tolist() == list(own["input_ids"])
        turns = explain(model, messages, unit="turn", target=NextToken())
        assert [f.text for f in turns.segmentation.features] == [m["content"] for m in messages]
        words = explain(model, messages, target=NextToken(), budget=60)
        assert not any("im_start" in f.text for f in words.segmentation.features)
        assert {f.part for f in words.segmentation.features} == {"system 0", "user 1"}

    def test_templates_that_look_at_contents_or_trim_them(self):
        tiny = EVERY["qwen3"]()
        tokenizer = tiny.tokenizer.__class__(tokenizer_object=tiny.tokenizer.backend_tokenizer)
        tokenizer.chat_template = (
            "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] | trim }}"
            "{% if 'fox' in m['content'] %}(fox){% endif %};{% endfor %}"
        )
        model = whence.load((tiny.module, tokenizer))
        for content in (" the quick fox ", " the lazy dog "):
            encoding = model.encode([{"role": "user", "content": content}])
            open_ = [p for p in encoding.document.parts if not p.frozen]
            part = open_[0]
            assert encoding.document.text[part.start : part.end] == content.strip()
        tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
        model = whence.load((tiny.module, tokenizer))
        with pytest.raises(InputError, match="as it is"):
            model.encode([{"role": "user", "content": "quiet"}])
        tokenizer.chat_template = "{{ raise_exception('no system role') }}"
        model = whence.load((tiny.module, tokenizer))
        with pytest.raises(InputError, match="no system role"):
            model.encode([{"role": "user", "content": "quiet"}])

    @pytest.mark.parametrize(
        ("source", "says"),
        [
            ("", "empty"),
            (" \n\t ", "empty"),
            (("a", ""), "second text is empty"),
            (("a", 3), "got int"),
            (3, "got int"),
            ([], "got list"),
            (("a", "b", "c"), "got tuple"),
            ("ab \ud800", "lone surrogate"),
            ([{"role": "user", "content": "x"}], "no chat template"),
        ],
    )
    def test_bad_inputs(self, source, says):
        with pytest.raises(InputError, match=says):
            model_of("bert").encode(source)

    @pytest.mark.parametrize(
        ("messages", "says"),
        [
            ([{"role": "user"}], "in message 0"),
            ([{"role": "user", "content": ["x"]}], "type list"),
            ([{"role": "user", "content": "  "}], "every message is empty"),
        ],
    )
    def test_bad_messages(self, messages, says):
        with pytest.raises(InputError, match=says):
            model_of("qwen3").encode(messages)

    @pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "llama", "bart"])
    def test_too_long_is_an_error_with_both_lengths_and_passages(self, name):
        model = model_of(name)
        text = "She did not miss a payment. " * 40
        with pytest.raises(TextTooLongError, match="Nothing is cut silently") as caught:
            explain(model, text)
        error = caught.value
        assert error.limit == model.vocabulary.limit == 128
        assert error.length > 128
        assert str(error.length) in str(error).replace(",", "")
        assert error.passages[0][0] == 0
        assert error.passages[-1][1] == len(text)
        for (_, end), (start, _) in itertools.pairwise(error.passages):
            assert end == start
        for start, end in error.passages:
            assert len(model.encode(text[start:end]).ids) <= 128

    def test_a_hundred_thousand_characters(self):
        with pytest.raises(TextTooLongError) as caught:
            explain(model_of("bert"), "pain " * 20_000)
        assert caught.value.length == 20_002
        short = whence.load(lambda texts: [float(len(t)) for t in texts])
        found = explain(short, "pain " * 20_000, unit="passage", method="random")
        assert found.values[0] == 100_000

    def test_a_continuation_must_fit_too(self):
        model = model_of("gpt2")
        text = "not " * 60
        room = 128 - len(model.encode(text).ids)
        ids = (5,) * (room + 1)
        explain(model, text, target=Continuation(token_ids=ids), method="random")
        with pytest.raises(TextTooLongError, match="with its continuation"):
            explain(model, text, target=Continuation(token_ids=(*ids, 5)), method="random")

    def test_one_word_and_emoji(self):
        assert len(explain(model_of("bert"), "pain").segmentation) == 1
        found = explain(model_of("gpt2"), "👍👩\u200d👩\u200d👧🇩🇪", budget=20)
        assert [f.text for f in found.segmentation.features] == ["👍", "👩\u200d👩\u200d👧", "🇩🇪"]
        assert explain(model_of("bert"), "👍").segmentation.features[0].text == "👍"


class TestLabels:
    def test_names_indices_and_the_prediction(self):
        model = model_of("bert")
        text = "He denies chest pain"
        best = model.decide(model.encode(text)).text
        for target in (None, best, best.upper(), Label(label=model.labels.index(best))):
            assert explain(model, text, target=target, method="random").outputs[0].name == best

    def test_links_agree_with_the_softmax(self):
        model = model_of("bert")
        text = "He denies chest pain"
        found = {
            link: explain(
                model, text, method="random", link=link, target=[Label(label=i) for i in range(3)]
            ).values
            for link in ("logit", "log_probability", "probability", "log_odds")
        }
        p = np.exp(found["logit"]) / np.exp(found["logit"]).sum()
        assert np.allclose(found["probability"], p, atol=1e-9)
        assert np.allclose(found["log_probability"], np.log(p), atol=1e-9)
        assert np.allclose(found["log_odds"], np.log(p / (1 - p)), atol=1e-9)

    def test_independent_labels(self):
        model = model_of("multi-label")
        targets = [Label(label=i) for i in range(3)]
        found = {
            link: explain(model, "chest pain", method="random", link=link, target=targets)
            for link in ("logit", "log_probability", "probability", "log_odds")
        }
        p = 1 / (1 + np.exp(-found["logit"].values))
        assert np.allclose(found["probability"].values, p)
        assert np.allclose(found["log_probability"].values, np.log(p))
        assert np.allclose(found["log_odds"].values, found["logit"].values)
        chosen = {s.name for s in found["logit"].decision.scores if s.value >= 0.5}
        said = set(found["logit"].decision.text.split(", ")) - {"none of the labels"}
        assert said == chosen

    @pytest.mark.parametrize("link", ["logit", "log_probability", "probability", "log_odds"])
    @pytest.mark.parametrize("name", ["bert", "multi-label", "llama", "t5"])
    def test_gradients_are_of_the_values_on_every_link(self, name, link):
        model = model_of(name)
        encoding = model.encode("not a good payment")
        readout = model.readout(encoding, (), link=link)
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        plain = model.evaluate([row], readout).values[0]
        point = model.embed(encoding)
        found = model.gradients(encoding, np.stack([point, point]), readout)
        assert np.allclose(found.values, plain, atol=1e-5)
        rng = np.random.default_rng(0)
        step = rng.standard_normal(point.shape).astype(np.float32)
        step *= 2e-3 / np.linalg.norm(step)
        both = model.gradients(encoding, np.stack([point + step, point - step]), readout).values
        slope = (found.gradients[0] * step).sum(axis=(1, 2))
        assert np.allclose((both[0] - both[1]) / 2, slope, atol=2e-5 + 0.03 * np.abs(slope).max())

    def test_contrasts(self):
        model = model_of("bert")
        text = "He denies chest pain"
        runner_up = explain(model, text, target=Contrast(), method="random")
        assert " rather than " in runner_up.outputs[0].name
        assert runner_up.values[0] > 0
        plain = explain(
            model,
            text,
            method="random",
            link="logit",
            target=[Label(label="low"), Label(label="high"), Contrast(label="low", against="high")],
        )
        assert plain.values[2] == pytest.approx(plain.values[0] - plain.values[1])
        with pytest.raises(OptionError, match="with itself"):
            explain(model, text, target=Contrast(label="low", against="low"))
        with pytest.raises(OptionError, match="needs two labels"):
            explain(model_of("reward"), text, target=Contrast())

    @pytest.mark.parametrize(
        ("settings", "error", "says"),
        [
            ({"target": "lwo"}, OptionError, "did you mean 'low'"),
            ({"target": 9}, OptionError, "there are 3"),
            ({"target": NextToken()}, CapabilityError, "Label, Contrast"),
            ({"link": "cosine"}, OptionError, "can be read as"),
            ({"link": "logits"}, OptionError, "did you mean 'logit'"),
        ],
    )
    def test_bad_targets(self, settings, error, says):
        with pytest.raises(error, match=says):
            explain(model_of("bert"), "He denies chest pain", **settings)

    def test_a_single_output_has_a_logit_only(self):
        found = explain(model_of("reward"), "good", method="random")
        assert found.outputs[0].unit == "logit"
        assert found.decision.unit == "logit"
        with pytest.raises(OptionError, match="can be read as: logit"):
            explain(model_of("reward"), "good", link="probability")

    def test_decoders_pool_at_the_last_token_and_need_no_pad(self):
        tiny = EVERY["llama-classifier"]()
        model = whence.load(tiny.pair)
        encodings = [model.encode(text) for text in ("good", "not a good payment", "never good")]
        rows = [Row(ids=encoding.ids) for encoding in encodings]
        readout = model.readout(encodings[0], [Label(label=0)], link="logit")
        found = model.evaluate(rows, readout).values[:, 0]
        with torch.inference_mode():
            native = [
                float(tiny.module(input_ids=torch.tensor([e.ids.tolist()])).logits[0, 0])
                for e in encodings
            ]
        assert np.allclose(found, native, atol=1e-5)


class TestSequences:
    def logprob(self, tiny, ids, forced):
        whole = torch.tensor([[*ids, *forced]])
        with torch.inference_mode():
            logits = tiny.module(input_ids=whole).logits[0].double()
        table = torch.log_softmax(logits, dim=-1)
        start = len(ids) - 1
        return sum(float(table[start + t, token]) for t, token in enumerate(forced))

    @pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "gemma3", "mistral", "mixtral"])
    def test_continuations_are_teacher_forced_right(self, name):
        tiny = EVERY[name]()
        model = whence.load(tiny.pair)
        text = "She did not miss a payment; her brother missed four payments last year."
        ids = model.encode(text).ids.tolist()
        forced = (9, 17, 30)
        targets = [
            Continuation(token_ids=forced),
            Continuation(token_ids=forced, per_token=True),
            NextToken(token=12),
            Contrast(label=9, against=17),
        ]
        found = explain(model, text, target=targets, method="random").values
        assert found[0] == pytest.approx(self.logprob(tiny, ids, forced), abs=1e-4)
        assert found[1:4].sum() == pytest.approx(found[0], abs=1e-5)
        assert found[4] == pytest.approx(self.logprob(tiny, ids, (12,)), abs=1e-4)
        difference = self.logprob(tiny, ids, (9,)) - self.logprob(tiny, ids, (17,))
        assert found[5] == pytest.approx(difference, abs=1e-4)

    def test_the_greedy_continuation_is_the_argmax_chain(self):
        tiny = EVERY["llama"]()
        model = whence.load(tiny.pair)
        encoding = model.encode("not a good")
        written = model.greedy(encoding, 6)
        ids = encoding.ids.tolist()
        for token in written:
            with torch.inference_mode():
                assert (
                    int(tiny.module(input_ids=torch.tensor([ids])).logits[0, -1].argmax()) == token
                )
            ids.append(token)

    def test_end_tokens_stop_it(self, monkeypatch):
        for name in ("llama", "bart"):
            model = model_of(name)
            encoding = model.encode("not a good")
            written = model.greedy(encoding, 4)
            monkeypatch.setattr(model, "_stops", lambda w=written: {w[0]})
            assert model.greedy(encoding, 4) == written[:1]
            if written[1] != written[0]:
                monkeypatch.setattr(model, "_stops", lambda w=written: {w[1]})
                assert model.greedy(encoding, 4) == written[:1]
        model = model_of("llama")
        model.module.generation_config.eos_token_id = [2, 3]
        assert {2, 3} <= model._stops()
        model.module.generation_config.eos_token_id = 2

    def test_links_of_sequences(self):
        model = model_of("llama")
        found = {
            link: float(
                explain(
                    model,
                    "not a",
                    link=link,
                    method="random",
                    target=Continuation(token_ids=(9, 8)),
                ).values[0]
            )
            for link in ("log_probability", "probability", "log_odds", "logit")
        }
        p = np.exp(found["log_probability"])
        assert found["probability"] == pytest.approx(p)
        assert found["log_odds"] == pytest.approx(np.log(p / (1 - p)))
        assert np.isfinite(found["logit"])

    def test_texts_go_on_as_the_model_would_write_them(self):
        model = model_of("gpt2")
        found = explain(model, "not a good", target=" payment", method="random")
        forced = found.outputs[0].target.token_ids
        ids = model.encode("not a good payment").ids.tolist()
        assert ids[-len(forced) :] == list(forced)
        # Where text runs into the prompt's last token the bare text is taken.
        odd = explain(model, "not a goo", target="d", method="random")
        assert len(odd.outputs[0].target.token_ids) >= 1

    @pytest.mark.parametrize(
        ("target", "error", "says"),
        [
            (NextToken(token="payment missed"), OptionError, "as [0-9]+ tokens"),
            (NextToken(token=99_999), OptionError, "vocabulary"),
            (Continuation(token_ids=()), InputError, "no tokens"),
            (Continuation(text=""), InputError, "no tokens"),
            (Contrast(label="a"), OptionError, "both texts"),
            (Similarity(other="x"), CapabilityError, "Continuation, NextToken, Contrast"),
        ],
    )
    def test_bad_targets(self, target, error, says):
        with pytest.raises(error, match=says):
            explain(model_of("llama"), "not a good", target=target)

    def test_next_token_by_text(self):
        model = model_of("gpt2")
        token = model.decode([40])
        found = explain(model, "not a", target=NextToken(token=token), method="random")
        assert found.outputs[0].target.token == 40

    def test_seq2seq(self):
        for name in ("t5", "bart"):
            tiny = EVERY[name]()
            model = whence.load(tiny.pair)
            ids = model.encode("not a good payment").ids
            forced = (9, 17)
            start = tiny.module.config.decoder_start_token_id
            with torch.inference_mode():
                logits = (
                    tiny.module(
                        input_ids=torch.tensor([ids.tolist()]),
                        decoder_input_ids=torch.tensor([[start, 9]]),
                    )
                    .logits[0]
                    .double()
                )
            table = torch.log_softmax(logits, dim=-1)
            expected = float(table[0, 9] + table[1, 17])
            found = explain(
                model, "not a good payment", target=Continuation(token_ids=forced), method="random"
            )
            assert found.values[0] == pytest.approx(expected, abs=1e-4)

    def test_seq2seq_without_a_start_token(self):
        from whence.core import ModelLoadError

        tiny = EVERY["t5"]()
        start = tiny.module.config.decoder_start_token_id
        settings = (tiny.module.config, tiny.module.generation_config)
        for each in settings:
            each.decoder_start_token_id = None
        try:
            with pytest.raises(ModelLoadError, match="decoder_start_token_id"):
                explain(whence.load(tiny.pair), "not a good")
        finally:
            for each in settings:
                each.decoder_start_token_id = start


class TestPrefix:
    def rows(self, model, shared, count=6):
        rng = np.random.default_rng(0)
        prefix = rng.integers(5, 60, shared)
        return [
            Row(ids=np.concatenate([prefix, rng.integers(5, 60, 4 + i % 3)])) for i in range(count)
        ]

    @pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "mistral", "gemma3", "mixtral"])
    def test_reusing_a_prefix_changes_no_value(self, name, monkeypatch):
        model = model_of(name)
        encoding = model.encode("not a good payment")
        rows = self.rows(model, 50)
        target = [Continuation(token_ids=(9, 17)), NextToken(token=5)]
        fast = model.evaluate(rows, model.readout(encoding, target))
        monkeypatch.setattr(causal, "LEAST_SHARED", 10_000)
        slow = model.evaluate(rows, model.readout(encoding, target))
        assert np.allclose(fast.values, slow.values, atol=2e-5)
        # The prefix, once, and what follows it; two rows are read whole again to compare them.
        suffixes = sum(len(row) - 50 for row in rows) + len(rows)
        assert fast.probes == slow.probes == 2
        assert fast.tokens - (slow.tokens - sum(map(len, rows)) - len(rows)) == suffixes

    def test_a_prefix_is_stored_between_batches_and_replaced_when_it_differs(self):
        model = model_of("llama")
        readout = model.readout(model.encode("not a good"), [NextToken(token=5)])
        first = model.evaluate(self.rows(model, 50), readout).values
        kept = readout.cache["state"]
        assert np.array_equal(model.evaluate(self.rows(model, 50), readout).values, first)
        assert readout.cache["state"] is kept
        model.evaluate(self.rows(model, 40), readout)
        assert readout.cache["state"] is not kept

    def test_masked_rows_share_nothing(self):
        model = model_of("llama")
        rows = self.rows(model, 50)
        masked = [Row(ids=r.ids, attention=np.ones(len(r), dtype=bool)) for r in rows]
        readout = model.readout(model.encode("not a good"), [NextToken(token=5)])
        assert np.allclose(
            model.evaluate(masked, readout).values, model.evaluate(rows, readout).values, atol=2e-5
        )


class TestEmbedder:
    def test_a_target_must_be_named(self):
        model = model_of("embedder")
        with pytest.raises(OptionError, match="with which text"):
            explain(model, "a fox")
        with pytest.raises(CapabilityError, match="Similarity"):
            explain(model, "a fox", target=Label())
        found = explain(model, "a fox", target=Similarity(other="a fox"), method="random")
        assert found.values[0] == pytest.approx(1.0, abs=1e-9)
        assert "embedding of" in found.decision.text


def test_out_of_memory_has_one_face():
    from whence.models.adapters.local_model import out_of_memory_as_memory_error

    for error in (torch.OutOfMemoryError("full"), RuntimeError("can't allocate memory: 9 bytes")):
        with pytest.raises(MemoryError), out_of_memory_as_memory_error():
            raise error
    with pytest.raises(RuntimeError, match="other"), out_of_memory_as_memory_error():
        raise RuntimeError("other")
