"""Any weight on demand: from queries and keys, against the model's own eager weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.models.internals.test_attention_capture import special
from tests.zoo.families import FAMILIES

import whence
from whence.attention.attention_states import EXACT, StatesRecorder
from whence.attention.store import Attention
from whence.core import OptionError
from whence.models.internals.attention_capture import LayerStates

TEXT = "He denies chest pain but reports a mild cough since Monday, and no fever."


def eager(module, ids, **more):
    twin = copy.deepcopy(module)
    twin.set_attn_implementation("eager")
    with torch.inference_mode():
        return twin(input_ids=torch.tensor(ids[None]), output_attentions=True, **more)


@pytest.mark.parametrize(
    "name",
    [
        "bert",
        "distilbert",
        "modernbert",
        "gpt2",
        "llama",
        "qwen3",
        "mistral",
        "gemma2",
        "gemma3",
        "mixtral",
        "gpt-oss",
    ],
)
def test_states_give_the_weights_of_eager(name, tmp_path):
    if name in ("gemma2", "gpt-oss"):
        module, tokenizer = special(name), FAMILIES["llama"]().tokenizer
        module.resize_token_embeddings(len(tokenizer))
        module.config.vocab_size = len(tokenizer)
    else:
        tiny = FAMILIES[name]()
        module, tokenizer = tiny.module, tiny.tokenizer
    model = whence.load((module, tokenizer))
    found = whence.attend(model, TEXT, effects=None, keep="states", row_block=5)
    weights = eager(module, model.encode(TEXT).ids).attentions
    read = Attention.load(found.save(tmp_path))
    for layer, theirs in zip(found.record.layers, weights, strict=True):
        assert layer.states == "kept"
        for head in range(layer.heads):
            mine = read.head(layer.name, head)
            assert mine.exact
            whole = mine.rows(range(layer.queries))
            wanted = theirs[0, head].float().numpy()
            assert np.abs(whole - wanted).max() < 1e-5
            part = mine.tile(slice(2, 7), slice(1, 4))
            assert np.abs(part - whole[2:7, 1:4]).max() < 1e-6


def test_encoder_decoders_with_a_bias_of_distance():
    for name in ("t5", "bart"):
        tiny = FAMILIES[name]()
        model = whence.load(tiny.pair)
        found = whence.attend(model, TEXT, generate=True, max_new_tokens=6, effects=None)
        decoder = np.array([t.id for t in found.record.decoder_tokens])
        out = eager(
            tiny.module,
            model.encode(TEXT).ids,
            decoder_input_ids=torch.tensor(decoder[None]),
        )
        wanted = {
            "bidirectional": list(out.encoder_attentions),
            "causal": list(out.decoder_attentions),
            "cross": list(out.cross_attentions),
        }
        for layer in found.record.layers:
            theirs = wanted[layer.attention].pop(0)[0]
            mine = np.stack(
                [found.head(layer.name, h).rows(range(layer.queries)) for h in range(layer.heads)]
            )
            assert np.abs(mine - theirs.numpy()).max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_of_half_precision_take_half_the_room_and_lose_nothing(dtype, tmp_path):
    tiny = FAMILIES["llama"]()
    model = whence.load((copy.deepcopy(tiny.module).to(dtype), tiny.tokenizer))
    found = whence.attend(model, TEXT, effects=None)
    again = Attention.load(found.save(tmp_path))
    layer = found.record.layers[-1]
    assert again.tensors[f"{layer.name}/query"].dtype.itemsize == 2
    one, two = found.states(layer.name), again.states(layer.name)
    assert np.array_equal(one.query, two.query)
    # Against the weights that were watched, not those of a half-precision softmax.
    assert layer.states_error < 1e-5
    top = found.layer(layer.name)
    rows = again.head(layer.name, 0).rows(range(layer.queries))
    assert np.abs(rows.max(axis=1) - top.top_weights[0, :, 0]).max() < 1e-3


def test_the_record_stores_what_keep_says_in_the_size_announced():
    model = whence.load(FAMILIES["mistral"]().pair)
    for options in (
        {"keep": "summary"},
        {"keep": "states"},
        {"keep": "summary", "heads": [(0, 1), ("model.layers.1.self_attn", 2)]},
        {"keep": "auto", "size_budget": 10},
    ):
        told = []
        found = whence.attend(model, TEXT, effects=None, announce=told.append, **options)
        layers = found.record.layers
        size = told[0]
        assert size.layers == len(layers)
        assert size.heads == sum(layer.heads for layer in layers)
        assert size.weights == sum(4 * x.heads * x.queries * x.keys for x in layers)
        states = layers[0].states
        kept = size.summary + size.matrices + (size.states if states == "kept" else 0)
        assert found.tensors.size == kept
        if states == "kept":
            continue
        assert states == ("over_budget" if options["keep"] == "auto" else "not_asked")
        with pytest.raises(OptionError, match=r"heads=\[\('model\.layers\.0\.self_attn', 3\)\]"):
            found.head(layers[0].name, 3)
    asked = whence.attend(model, TEXT, effects=None, keep="summary", heads=[(0, 1)])
    whole = whence.attend(model, TEXT, effects=None).head(layers[0].name, 1)
    coded = asked.head(layers[0].name, 1)
    assert not coded.exact
    rows = np.arange(layers[0].queries)
    gap = np.abs(np.sqrt(coded.rows(rows)) - np.sqrt(whole.rows(rows))).max()
    assert gap <= 0.5 / 255 + 1e-6
    assert np.array_equal(coded.tile(slice(3, 9), slice(0, 2)), coded.rows(rows)[3:9, :2])
    with pytest.raises(OptionError, match="keep='states'"):
        coded.scores(slice(0, 1), slice(0, 1))


def test_the_size_announced_equals_the_size_stored_with_written_tokens():
    for name in ("llama", "t5"):
        model = whence.load(FAMILIES[name]().pair)
        found = whence.attend(model, TEXT, generate=True, max_new_tokens=4, effects=None)
        written = sum(token.written for token in found.record.tokens)
        if name == "t5":
            written = len(found.record.decoder_tokens) - 1
        size = whence.attention_size(model, TEXT, new_tokens=written + 1)
        assert size.summary + size.states == found.tensors.size


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        ([(7, 0)], "no layer 7"),
        ([("model.layers.0.self_atn", 0)], "did you mean"),
        ([(0, 4)], "head 4"),
    ],
)
def test_heads_that_are_not_there(heads, words):
    model = whence.load(FAMILIES["mistral"]().pair)
    with pytest.raises(OptionError, match=words):
        whence.attend(model, TEXT, heads=heads)


@pytest.mark.parametrize(
    "options",
    [
        {"keep": "all"},
        {"link": "logits"},
        {"size_budget": 0},
        {"token_budget": 0},
        {"seed": -1},
        {"max_new_tokens": 0},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        whence.attend(whence.load(FAMILIES["bert"]().pair), TEXT, **options)


def test_queries_that_are_not_there():
    found = whence.attend(whence.load(FAMILIES["bert"]().pair), TEXT, effects=None)
    head = found.head(found.record.layers[0].name, 0)
    with pytest.raises(OptionError, match="query 99"):
        head.rows([99])
    with pytest.raises(OptionError, match="head 4"):
        found.head(found.record.layers[0].name, 4)


def test_weights_that_are_no_softmax_of_the_scores_are_recognised():
    rng = np.random.default_rng(0)
    states = LayerStates(
        query=rng.normal(size=(2, 6, 4)).astype(np.float32),
        key=rng.normal(size=(1, 6, 4)).astype(np.float32),
        value=rng.normal(size=(1, 6, 4)).astype(np.float32),
        scaling=0.5,
        softcap=None,
        bias=None,
        dtype="float32",
    )
    weights = np.full((2, 6, 6), 1 / 6, dtype=np.float32)
    keeper = StatesRecorder(states)
    keeper.add(0, weights)
    assert keeper.error > EXACT
