from __future__ import annotations

import hashlib
import json

import pytest
from typer.testing import CliRunner

import whence
from whence.app.cli.exit_codes import Exit
from whence.app.cli.main import app
from whence.core.record import canonical_json

TEXT = "She missed 4 payments this year and has no savings at all."


CREDIT = ("--model", "embedded:credit")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "kept.json"
    run("explain", *CREDIT, "-f", "json", "-o", path, "--method", "leave-one-out", TEXT)
    return path


@pytest.fixture
def ruled(tmp_path, monkeypatch):
    """The arguments of a model in a file of the user's, and a saved explanation of it."""
    (tmp_path / "spoken_rules.py").write_text(
        "def late(texts): return [float('late' in t) for t in texts]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    model = ("--model", "python:spoken_rules:late")
    run("explain", *model, "-f", "json", "-o", "kept.json", "the rent came late")
    return model


def test_what_stays_under_other_settings(ruled, tmp_path):
    asked = ("evaluate", "kept.json", *ruled, "--robust")
    assert "keep “late” as the highest reason" in run(*asked)
    assert json.loads(run(*asked, "-f", "json"))["kind"] == "specification-curve"
    run(*asked, "-o", "curve.html")
    page = (tmp_path / "curve.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "Does “late” stay the reason?" in page
    for other in (
        ("--require", "B"),
        ("--metric", "gini"),
        ("--masker", "deletion"),
        ("--seed", "1"),
    ):
        assert "--robust" in run(*asked, *other, code=Exit.USAGE)


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
    assert "no model given" in run("evaluate", path, code=Exit.USAGE)
    assert "Better than chance?" in run("evaluate", path, *CREDIT, "--level", "quick")


def test_methods_side_by_side():
    chosen = ("--method", "leave-one-out", "--method", "random")
    text = run("compare", *CREDIT, *chosen, TEXT)
    assert text.index("leave-one-out") < text.index("Judged on the same 64 masks")
    tree = json.loads(run("compare", *CREDIT, *chosen, "-f", "json", TEXT))
    assert set(tree["methods"]) == {"leave-one-out", "random", "ensemble"}
    run("compare", *CREDIT, *chosen, "-f", "html", TEXT, code=Exit.USAGE)
    metric = run("compare", *CREDIT, *chosen, "--metric", "gini", TEXT)
    assert "gini [" in metric


def test_choosing_on_a_file(tmp_path):
    path = tmp_path / "texts.jsonl"
    lines = [TEXT, "He pays on time and saves a little every month.", "No debts, some savings."]
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
    chosen = ("--method", "leave-one-out", "--method", "input-x-gradient")
    text = run("select", path, *CREDIT, *chosen, "--limit", 2)
    assert "2 texts" in text
    tree = json.loads(run("select", path, *CREDIT, *chosen, "-f", "json"))
    assert tree["texts"] == 3
    choice = tmp_path / "choice.json"
    run("select", path, *CREDIT, *chosen, "-o", choice)
    record = json.loads(
        run("explain", *CREDIT, "--method", choice, "--trust", "off", "-f", "json", TEXT)
    )
    assert record["provenance"]["method"]["name"] in ("LeaveOneOut", "InputXGradient")
    assert "chosen on 3 texts" in record["provenance"]["choice"]
    run("explain", *CREDIT, "--method", path.with_suffix(".json"), TEXT, code=Exit.INPUT)
    run("select", path, *CREDIT, "--limit", 0, code=Exit.USAGE)
    run("select", path, *CREDIT, "-f", "html", code=Exit.USAGE)


def test_replaying(kept):
    text = run("verify", kept)
    assert text.startswith("holds: 5 of 5 answers")
    assert "checked: answers, digest, pool fidelity, grade" in text
    assert "not checked: the scores of this method need not add up" in text


def swapped(scores):
    scores[0], scores[3] = scores[3], scores[0]


def reworded(segmentation):
    segmentation["document"]["text"] = TEXT.replace("missed", "repaid")
    next(f for f in segmentation["features"] if f["text"] == "missed")["text"] = "repaid"


FORGERIES = {
    "a score": lambda tree: tree["scores"]["data"].__setitem__(0, 9.0),
    "two scores swapped": lambda tree: swapped(tree["scores"]["data"]),
    "a grade raised": lambda tree: tree["trust"].update(grade="A"),
    "an answer": lambda tree: tree["values"]["data"].__setitem__(0, tree["values"]["data"][0] + 1),
    "a word": lambda tree: reworded(tree["segmentation"]),
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("digest", ["kept", "made anew", "taken away"])
def test_a_changed_record_does_not_hold(forgery, digest, tmp_path):
    path, forged = tmp_path / "kept.json", tmp_path / "forged.json"
    run("explain", *CREDIT, "-f", "json", "-o", path, "--method", "kernel-shap", TEXT)
    assert run("verify", path).startswith("holds")
    tree = json.loads(path.read_text())
    if tree["trust"]["grade"] == "A":
        tree["trust"]["grade"] = "B"
    FORGERIES[forgery](tree)
    if digest != "kept":
        del tree["digest"]
    if digest == "made anew":
        tree["digest"] = hashlib.sha256(canonical_json(tree)).hexdigest()
    forged.write_bytes(canonical_json(tree))
    text = run("verify", forged, code=Exit.NOT_VERIFIED)
    assert text.startswith("does not hold")
    if digest == "kept":
        assert "was changed after it was written" in text


def test_another_model_is_told(kept):
    for command in ("verify", "evaluate"):
        text = run(command, kept, "--model", "embedded:credit-shortcut", code=Exit.USAGE)
        assert "the record is of embedded:credit" in text
    text = run("verify", kept, "--model", "embedded:credit-shortcut", "--other-model", code=7)
    assert text.startswith("does not hold")


def test_explanations_may_go_unjudged():
    assert "Better than chance?" not in run("explain", *CREDIT, "--trust", "off", TEXT)
    run("explain", *CREDIT, "--trust", "some", TEXT, code=Exit.USAGE)


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
    run(
        "explain",
        *CREDIT,
        "-f",
        "json",
        "-o",
        path,
        "--method",
        "input-x-gradient",
        "--trust",
        "off",
        TEXT,
    )
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


def test_the_second_answer_of_a_comparison():
    with_target = run(
        "compare", *CREDIT, TEXT, "--method", "leave-one-out", "-f", "json",
        "--target", "reject", "--against", "approve",
    )  # fmt: skip
    (entry,) = json.loads(with_target)["methods"].values()
    whole = whence.explain(
        whence.load("embedded:credit"),
        TEXT,
        target=whence.Contrast(label="reject", against="approve"),
        method="leave-one-out",
        trust="off",
    )
    assert entry["explanation"]["scores"] == json.loads(whole.to_json())["scores"]


@pytest.mark.parametrize("command", ["explain", "evaluate"])
def test_a_grade_below_the_required_one_is_shown_and_exits_with_seven(command, kept, tmp_path):
    page = tmp_path / "judged.json"
    # Random scores earn no A.
    arguments = (*CREDIT, "--method", "random", "--trust", "quick", TEXT)
    if command == "evaluate":
        run(
            "explain",
            *CREDIT,
            "--method",
            "random",
            "--trust",
            "off",
            "-o",
            tmp_path / "r.json",
            TEXT,
        )
        arguments = (tmp_path / "r.json", "--level", "quick")
    told = run(command, *arguments, "--require", "a", "-o", page, code=Exit.NOT_VERIFIED)
    assert "grade A or better was required" in told
    assert json.loads(page.read_text())["trust"]["grade"] != "A"
    run(command, *arguments, "--require", "abstain", code=Exit.USAGE)


def test_a_requirement_needs_a_label(kept):
    told = run("explain", *CREDIT, "--trust", "off", "--require", "B", TEXT, code=Exit.USAGE)
    assert "--require goes with" in told
    told = run("evaluate", kept, "--metric", "gini", "--require", "B", code=Exit.USAGE)
    assert "--require goes with" in told


def test_a_format_and_a_name_that_contradict_each_other(tmp_path):
    for form, name in (("html", "x.json"), ("json", "x.html"), ("text", "x.html")):
        run("explain", *CREDIT, "-f", form, "-o", tmp_path / name, TEXT, code=Exit.USAGE)
    assert not list(tmp_path.iterdir())


def test_the_demo_leaves_the_file_of_another_alone(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("mine")
    assert "--overwrite" in run("demo", "-o", page, code=Exit.USAGE)
    assert page.read_text() == "mine"
