"""Attention on a page, in a terminal, in a notebook: every number is the record's."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from tests.app.attended import SMALL, TEXT, attended
from tests.samples import attribution
from tests.zoo.families import FAMILIES, VARIANTS

import whence
from whence.app.attention.html import fragment, page
from whence.app.attention.payload import Budget, payload_of
from whence.app.attention.terminal import WARNING, plain_text
from whence.app.explanation.html import page as explanation_page
from whence.app.explanation.html import parse_records
from whence.attention.statistics import decode_weights
from whence.core import read_record
from whence.core.attention_record import AttentionRecord

KINDS = {"u8": np.uint8, "u16": "<u2", "u32": "<u4", "f32": "<f4"}


def unpack(payload, packed):
    data = np.frombuffer(payload.arrays[packed["ref"]], dtype=KINDS[packed["dtype"]])
    return data.reshape(packed["shape"])


@pytest.mark.parametrize("name", ["bert", "llama", "t5", "gemma3"])
def test_the_payload_holds_the_records_numbers(name):
    found = (
        attended(name, generate=name in ("llama", "t5"), max_new_tokens=4)
        if name
        in (
            "llama",
            "t5",
        )
        else attended(name)
    )
    payload = payload_of(found)
    tree = json.loads(json.dumps(payload.tree, allow_nan=False))
    record = found.record
    assert len(tree["layers"]) == len(record.layers)
    lists = {"tokens": record.tokens, "decoderTokens": record.decoder_tokens}
    for layer, shown in zip(record.layers, tree["layers"], strict=True):
        assert len(lists[shown["queryTokens"]]) == layer.queries
        assert len(lists[shown["keyTokens"]]) == layer.keys
        summary = found.layer(layer.name)
        statistics = unpack(payload, shown["statistics"])
        assert np.allclose(statistics, summary.statistics, atol=1e-5, equal_nan=True)
        assert np.array_equal(unpack(payload, shown["largest"]), summary.largest)
        for lens in shown["lens"]:
            head = found.head(layer.name, lens["head"])
            exact = head.rows(range(layer.queries))
            full = decode_weights(unpack(payload, lens["full"]))
            assert np.abs(np.sqrt(full) - np.sqrt(exact)).max() < 0.5 / 255 + 1e-5
            weights = unpack(payload, lens["weights"]) / 65535
            keys = unpack(payload, lens["keys"]).astype(int)
            assert np.abs(np.take_along_axis(exact, keys, 1) - weights).max() < 1e-3
            if "states" not in lens:
                assert head.states.bias is not None or head.states.softcap is not None
                continue
            states = lens["states"]
            scores = unpack(payload, states["query"]) @ unpack(payload, states["key"]).T
            wanted = head.scores(slice(None), slice(None))
            assert np.allclose(scores * states["scaling"], wanted, atol=1e-4)
    rows = {(r["layer"], r["head"]): r for r in tree["effects"]["rows"]}
    places = {layer.name: place for place, layer in enumerate(record.layers)}
    for entry in record.heads:
        row = rows[places[entry.layer], entry.head]
        assert (row["effect"], row["low"], row["high"]) == (entry.effect, entry.low, entry.high)
        assert row["chosen"] == entry.chosen
    if name == "t5":
        assert tree["flow"] is None
        assert any("flow" in note for note in tree["notes"])
        return
    flow = unpack(payload, tree["flow"]["contributions"])
    assert np.allclose(flow.sum(axis=2), 1, atol=1e-5)
    assert flow.shape[0] == len(record.layers) + tree["flow"]["pooled"]
    text = "".join(t["text"] for t in tree["tokens"] if not t["special"] and not t["written"])
    if name != "bert":  # whose tokenizer is uncased and leaves characters out
        assert text.replace(" ", "")[:30] == TEXT.replace(" ", "")[:30]


def test_a_pooled_target_is_read_from_all_positions_and_says_how_much():
    model = whence.load(VARIANTS["embedder"]().pair, task="embedding")
    found = whence.attend(model, TEXT, effects=SMALL, target=whence.Similarity(other="a fox"))
    flow = found.record.flow
    assert flow.pooled
    last = found.tensors["flow"][-1]
    assert last[flow.target].sum() == pytest.approx(1, abs=1e-5)  # stored in single precision
    assert np.count_nonzero(last[flow.target]) > 1
    others = np.delete(np.arange(len(last)), flow.target)
    assert np.array_equal(last[others], np.eye(len(last))[others])
    assert not attended("bert").record.flow.pooled
    assert attended("bert").record.flow.target == 0


def test_budgets_of_a_page_keep_the_heads_with_the_largest_effects():
    found = attended()
    first = found.ranked()[0]
    small = payload_of(found, Budget(lenses=1, matrices=1))
    kept = [(place, lens) for place, x in enumerate(small.tree["layers"]) for lens in x["lens"]]
    assert len(kept) == 1
    assert found.record.layers[kept[0][0]].name == first.layer
    assert kept[0][1]["head"] == first.head
    assert "full" in kept[0][1]
    whole = payload_of(found)
    assert sum(len(x["lens"]) for x in whole.tree["layers"]) == len(found.record.heads)


def test_layers_that_are_not_shown_are_named_and_empty():
    found = attended()
    layers = list(found.record.layers)
    hidden = layers[0]
    from dataclasses import replace

    layers[0] = replace(hidden, shown=False, certificate=0.5)
    broken = whence.Attention(
        record=replace(found.record, layers=tuple(layers)), tensors=found.tensors
    )
    tree = payload_of(broken).tree
    assert tree["layers"][0]["shown"] is False
    assert tree["layers"][0]["lens"] == []
    assert "statistics" not in tree["layers"][0]
    text = plain_text(broken)
    assert "1 layer(s) not shown" in text
    assert "\u00d7" in text


def test_the_page_is_one_file_that_asks_for_nothing(tmp_path):
    found = attended()
    text = page(found)
    assert (
        re.search(r"""(src|href)=["'](?!data:)""", text.split('<script type="module"')[0]) is None
    )
    assert "default-src 'none'" in text
    assert text.count("</script>") == text.count("<script ")
    [tree] = [t for t in parse_records(text) if t["kind"] == "attention"]
    assert AttentionRecord.from_tree(tree) == found.record
    arrays = dict(re.findall(r'id="w-(a\d+)">([^<]*)</script>', text))
    payload = payload_of(found)
    assert {ref: base64.b64decode(data) for ref, data in arrays.items()} == payload.arrays
    out = tmp_path / "a.html"
    assert found.to_html(out) == out.read_text("utf-8")


def test_the_module_ships_within_its_budget():
    data = files("whence.app").joinpath("static", "attention.js").read_bytes()
    assert len(gzip.compress(data)) < 150_000
    assert b"http://" not in data.replace(b"http://www.w3.org", b"")
    assert b"</script" not in data


def test_a_notebook_gets_a_frame_of_its_own():
    text = fragment(attended())
    assert text.count("<iframe ") == 1
    assert 'sandbox="allow-scripts allow-downloads"' in text
    inner = html.unescape(re.search(r'srcdoc="([^"]*)"', text).group(1))
    assert inner.startswith("<!doctype html>")
    assert attended()._repr_html_() == text


def test_the_explanation_page_has_attention_where_it_is_given():
    alone = explanation_page(attribution())
    assert "script-src" not in alone
    both = explanation_page(attribution(), attended())
    assert "attachShadow" in both
    assert {tree["kind"] for tree in parse_records(both)} == {"attribution", "attention"}


def test_the_terminal_ranks_heads_and_says_what_attention_is_not():
    found = attended()
    text = plain_text(found)
    assert WARNING in text
    assert "Spearman" in text
    assert "resample ablation, 2 draws, of 3 head(s)" in text
    first = found.ranked()[0]
    line = next(x for x in text.splitlines() if x.startswith("layer") and "%" not in x)
    assert line.split()[:3] == ["layer", first.layer.split(".")[3], str(first.head)]
    assert str(found) == text
    bare = whence.attend(whence.load(FAMILIES["bert"]().pair), TEXT, effects=None)
    text = plain_text(bare)
    assert "effects of heads were not asked for" in text
    assert WARNING in text
    zero = whence.HeadAblation(ablation="zero", measure=2, control=0)
    exact = whence.attend(whence.load(FAMILIES["bert"]().pair), TEXT, effects=zero)
    assert "interval" not in plain_text(exact)


def test_a_record_is_read_back_by_its_kind(tmp_path):
    found = attended()
    found.save(tmp_path)
    assert read_record(tmp_path / "attention.json") == found.record
    assert SMALL.evaluations(8) == 2 * (2 + 5)
