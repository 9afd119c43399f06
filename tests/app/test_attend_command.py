"""``whence attend``, and attention beside an explanation."""

from __future__ import annotations

import pytest
from tests.app.test_cli import explained, folder, run  # noqa: F401
from tests.zoo.families import FAMILIES, VARIANTS, save

import whence
from whence.core.attention_record import AttentionRecord
from whence.core.errors import WriteError

FAST = ("--measure", "2", "--control", "1", "--draws", "2")


def attended(folder, *arguments, **settings):  # noqa: F811
    return run("attend", "--model", folder, *FAST, *arguments, **settings)


def test_text_json_and_pages(folder, tmp_path):  # noqa: F811
    text = attended(folder, "He denies chest pain").stdout
    assert "Effect of a head on" in text
    assert "not why the model decides" in text
    record = AttentionRecord.from_json(attended(folder, "-f", "json", "He denies pain").stdout)
    assert sum(entry.effect is not None for entry in record.heads) == 3
    out = tmp_path / "a.html"
    assert attended(folder, "-o", out, "He denies chest pain").stdout == ""
    assert out.read_text("utf-8").startswith("<!doctype html>")
    assert "<!doctype html>" in attended(folder, "-f", "html", "He denies").stdout
    out = tmp_path / "a.txt"
    attended(folder, "-o", out, "He denies chest pain")
    assert "Effect of a head on" in out.read_text("utf-8")


def test_what_is_kept_is_read_back(folder, tmp_path):  # noqa: F811
    attended(
        folder, "--save", tmp_path / "kept", "--keep", "summary", "--head", "1:2", "He denies pain"
    )
    found = whence.Attention.load(tmp_path / "kept")
    layer = found.record.layers[1]
    assert found.head(layer.name, 2).rows([0]).shape == (1, layer.keys)
    assert found.record.provenance.method.options["heads"] == f"{layer.name}:2"


def test_generation_targets_and_options(tmp_path):
    chat = tmp_path / "llama"
    save(FAMILIES["llama"](), chat)
    given = ("-f", "json", "a good payment")
    record = AttentionRecord.from_json(
        attended(chat, "--generate", "--max-new-tokens", "3", *given).stdout
    )
    assert any(token.written for token in record.tokens)
    record = AttentionRecord.from_json(
        attended(chat, "--next-token", "--ablation", "zero", "--no-flow", *given).stdout
    )
    assert record.effects.ablation == "zero"
    assert record.flow is None
    record = AttentionRecord.from_json(
        attended(chat, "--measure", "0", "--control", "0", *given).stdout
    )
    assert record.effects is None
    embedder = tmp_path / "embedder"
    save(VARIANTS["embedder"](), embedder)
    record = AttentionRecord.from_json(
        attended(embedder, "--similar-to", "a fox", "-f", "json", "a dog").stdout
    )
    assert record.effects.output.link == "cosine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--head", "3", "a"), "LAYER:HEAD"),
        (("--head", "9:0", "a"), "layer 9"),
        (("--keep", "al", "a"), "keep"),
        (("--ablation", "half", "a"), "ablation"),
        (("--draws", "1", "a"), "draws"),
        (("--file", "x", "a"), "once"),
    ],
)
def test_wrong_options_exit_with_two(folder, arguments, words):  # noqa: F811
    assert words in attended(folder, *arguments, code=2).stderr


def test_a_model_without_attention_exits_with_four(folder):  # noqa: F811
    assert "only causal" in attended(folder, "--generate", "a", code=4).stderr


def test_attention_beside_an_explanation(folder, tmp_path):  # noqa: F811
    text = explained(folder, "--attention", "--method", "leave-one-out", "He denies pain").stdout
    assert text.count("Decision") == 2
    assert "Effect of a head on" in text
    out = tmp_path / "e.html"
    explained(
        folder, "--attention", "--method", "leave-one-out", "-f", "html", "-o", out, "He denies"
    )
    assert "attachShadow" in out.read_text("utf-8")
    out = tmp_path / "e.txt"
    explained(folder, "--attention", "--method", "leave-one-out", "-o", out, "He denies")
    assert "not why the model decides" in out.read_text("utf-8")
    wrong = explained(folder, "--attention", "-f", "json", "He denies", code=2)
    assert "whence attend --save" in wrong.stderr


def test_a_place_for_the_record_is_looked_at_before_the_model(tmp_path):
    note, kept = tmp_path / "note.txt", tmp_path / "kept"
    note.write_text("mine")
    kept.mkdir()
    (kept / "attention.json").write_text("mine")
    # No such model: it would be an error of its own, were it loaded first.
    model = ("attend", "--model", tmp_path / "nowhere", "No savings.", "--save")
    for place in (note, note / "deeper"):
        run(*model, place, code=5)
    run(*model, kept, code=2)
    assert note.read_text() == (kept / "attention.json").read_text() == "mine"


def test_a_record_is_not_saved_over_a_file(folder, tmp_path):  # noqa: F811
    note = tmp_path / "note.txt"
    note.write_text("mine")
    with pytest.raises(WriteError, match="could not make the folder"):
        whence.attend(whence.load(str(folder)), "No savings.", effects=None).save(note)
    assert note.read_text() == "mine"
