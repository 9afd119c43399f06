from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from whence.app.cli.exit_codes import Exit
from whence.app.cli.main import app

TEXT = "She missed 4 payments this year and has no savings at all."


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "kept.json"
    run("explain", "-f", "json", "-o", path, "--method", "leave-one-out", TEXT)
    return path


def test_a_kept_explanation_is_judged(kept, tmp_path):
    assert "Better than chance?" in run("evaluate", kept, "--level", "quick")
    judged = json.loads(run("evaluate", kept, "--level", "quick", "-f", "json"))
    assert judged["trust"]["level"] == "quick"
    page = tmp_path / "page.html"
    run("evaluate", kept, "--level", "quick", "-f", "html", "-o", page)
    assert page.read_text("utf-8").startswith("<!doctype html>")
    run("evaluate", kept, "--level", "thorough", code=Exit.USAGE)
    run("evaluate", tmp_path / "nowhere.json", code=Exit.INPUT)


def test_the_suffix_of_the_file_decides_where_no_format_is_given(kept, tmp_path):
    page, record = tmp_path / "page.html", tmp_path / "judged.json"
    run("evaluate", kept, "--level", "quick", "-o", page)
    assert page.read_text("utf-8").startswith("<!doctype html>")
    run("evaluate", kept, "--level", "quick", "-o", record)
    assert json.loads(record.read_text())["trust"]["level"] == "quick"


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", TEXT),
        ("select", "texts.jsonl"),
        ("evaluate", "kept.json", "--metric", "gini"),
    ],
)
@pytest.mark.parametrize("how", [("-f", "html"), ("-o", "page.html")])
def test_a_page_nobody_writes_is_refused_before_the_model_is_loaded(arguments, how, monkeypatch):
    def load(*_args, **_settings):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("whence.models.load", load)
    run(*arguments, *how, code=Exit.USAGE)


@pytest.mark.parametrize("command", ["compare", "select", "decide"])
def test_the_help_offers_what_can_be_written(command):
    assert "html" not in run(command, "--help")


def test_single_metrics(kept):
    text = run("evaluate", kept, "--metric", "gini", "--metric", "deletion")
    assert "gini" in text
    assert "less is better" in text
    found = json.loads(run("evaluate", kept, "--metric", "deletion", "-f", "json"))
    assert found[0]["kind"] == "measurement"
    run("evaluate", kept, "--metric", "deletino", code=Exit.USAGE)
    run("evaluate", kept, "--metric", "gini", "-f", "html", code=Exit.USAGE)


def test_scores_from_elsewhere(tmp_path):
    path = tmp_path / "theirs.json"
    words = TEXT.rstrip(".").split()
    path.write_text(json.dumps({"text": TEXT, "scores": [[w, float(len(w))] for w in words]}))
    assert "Better than chance?" in run("evaluate", path, "--level", "quick")


def test_methods_side_by_side():
    chosen = ("--method", "leave-one-out", "--method", "random")
    text = run("compare", *chosen, TEXT)
    assert text.index("leave-one-out") < text.index("Judged on the same 64 masks")
    tree = json.loads(run("compare", *chosen, "-f", "json", TEXT))
    assert set(tree["methods"]) == {"leave-one-out", "random", "ensemble"}
    run("compare", *chosen, "-f", "html", TEXT, code=Exit.USAGE)
    metric = run("compare", *chosen, "--metric", "gini", TEXT)
    assert "gini [" in metric


def test_choosing_on_a_file(tmp_path):
    path = tmp_path / "texts.jsonl"
    lines = [TEXT, "He pays on time and saves a little every month.", "No debts, some savings."]
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
    chosen = ("--method", "leave-one-out", "--method", "input-x-gradient")
    text = run("select", path, *chosen, "--limit", 2)
    assert "2 texts" in text
    tree = json.loads(run("select", path, *chosen, "-f", "json"))
    assert tree["texts"] == 3
    run("select", path, "--limit", 0, code=Exit.USAGE)
    run("select", path, "-f", "html", code=Exit.USAGE)


def test_replaying(kept, tmp_path):
    assert run("verify", kept).startswith("holds: 5 of 5 answers")
    tree = json.loads(kept.read_text())
    tree["values"]["data"] = [tree["values"]["data"][0] + 1.0]
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(tree))
    assert "does not hold" in run("verify", forged, code=Exit.NOT_VERIFIED)


def test_explanations_may_go_unjudged():
    assert "Better than chance?" not in run("explain", "--trust", "off", TEXT)
    run("explain", "--trust", "some", TEXT, code=Exit.USAGE)


def test_the_metrics_are_listed():
    rows = {row["name"]: row for row in json.loads(run("metrics", "--json"))}
    assert rows["max-sensitivity"]["needs"] == ["embeddings", "explain_at"]
    assert rows["sensitivity-n"]["options"] == {"points": 4, "draws": 24}
    text = run("metrics")
    assert all(name in text for name in rows)


@pytest.mark.parametrize(
    ("metric", "more"),
    [
        ("max-sensitivity", ()),
        ("local-lipschitz", ()),
        ("attacked-overlap", ()),
        ("comprehensiveness-percentile", ()),
        ("sufficiency-percentile", ()),
        ("token-f1", ("--span", "4:10", "--span", "11:21")),
        ("span-f1", ("--span", "4:10")),
        ("average-precision", ("--span", "4:10")),
        ("precision-at-k", ("--span", "4:10")),
    ],
)
def test_metrics_that_need_more_than_answers(by_gradient, metric, more):
    found = json.loads(run("evaluate", by_gradient, "--metric", metric, *more, "-f", "json"))[0]
    assert found["name"] == metric
    assert found["unit"]
    assert found["n"] >= 1


@pytest.fixture(scope="module")
def by_gradient(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "gradient.json"
    run("explain", "-f", "json", "-o", path, "--method", "input-x-gradient", "--trust", "off", TEXT)
    return path


def test_what_a_record_lacks_is_said(kept, by_gradient):
    text = run("evaluate", kept, "--metric", "max-sensitivity", code=Exit.MODEL)
    assert "gradient method" in text
    text = run("evaluate", kept, "--metric", "token-f1", code=Exit.MODEL)
    assert "what people marked" in text
    assert "--span START:END" in text
    assert "two outputs" in run("evaluate", kept, "--metric", "class-contrast", code=Exit.USAGE)
    for wrong in ("4-10", "4:", "x:y"):
        run("evaluate", kept, "--metric", "token-f1", "--span", wrong, code=Exit.USAGE)
    run("evaluate", kept, "--metric", "token-f1", "--span", "10:4", code=Exit.USAGE)
    run("evaluate", kept, "--span", "4:10", code=Exit.USAGE)
    run("evaluate", by_gradient, "--metric", "token-f1", "--span", "0:999", code=Exit.INPUT)
