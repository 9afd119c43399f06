"""``whence distill`` and ``whence decide``: files in, a folder out, nothing asked twice."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.students.worlds import rule, texts
from typer.testing import CliRunner

from whence.app.cli.distill import lexicon
from whence.app.cli.exit_codes import Exit
from whence.app.cli.functions import function_named
from whence.app.cli.main import app
from whence.app.cli.table_files import read_table
from whence.app.cli.teacher_options import ANSWERS, TeacherOptions
from whence.core.errors import InputError, ModelLoadError, OptionError
from whence.students.file_names import LOCK

TEACHER = """
from tests.students.worlds import rule

asked = []
fail_after = None
stop_after = None

def labels(texts):
    if fail_after is not None and len(asked) >= fail_after:
        raise ConnectionError("the line is down")
    if stop_after is not None and len(asked) >= stop_after:
        raise KeyboardInterrupt
    asked.extend(texts)
    return [rule(text) for text in texts]

def chances(texts):
    return [[0.1, 0.9] if label == "reject" else [0.9, 0.1] for label in labels(texts)]

def other(texts):
    return [row[::-1] for row in chances(texts)]

def answers_one(texts):
    return ["accept" for _ in texts]
"""
LABELS = ("--label", "accept", "--label", "reject")
FAST = ("--students", "rule-list-4,sparse-linear-10", "--no-checks", "--no-edits", "--quiet")


def run(*arguments, code=0, stdin=None):
    result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def teacher(tmp_path, monkeypatch):
    (tmp_path / "rule_teacher.py").write_text(TEACHER)
    monkeypatch.syspath_prepend(str(tmp_path))
    import sys

    import rule_teacher

    yield rule_teacher
    sys.modules.pop("rule_teacher", None)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(texts(420)) + "\n", "utf-8")
    return path


def distilled(file, folder, *more, code=0, name="labels", gives="label"):
    model = ("--model", f"python:rule_teacher:{name}", "--gives", gives, "--version", "1")
    return run("distill", file, "--output", folder, *model, *LABELS, *FAST, *more, code=code)


class TestDistill:
    def test_a_folder_with_everything_and_the_view(self, teacher, file, tmp_path):
        out = tmp_path / "kept"
        result = distilled(file, out)
        assert result.stdout.startswith("\u2713 Faithful enough to replace")
        for name in (
            "model.json",
            "certificate.json",
            "router.json",
            "report.html",
            "README.md",
            ANSWERS,
        ):
            assert (out / name).is_file()
        page = (out / "report.html").read_text("utf-8")
        assert page.startswith("<!doctype html>")
        card = (out / "README.md").read_text("utf-8")
        for path in out.iterdir():
            if path.name not in (ANSWERS, LOCK):
                assert f"| `{path.name}` | " in card
        assert "else if 'late' and no 'waived'" in result.stdout

    def test_running_again_asks_nothing(self, teacher, file, tmp_path):
        out = tmp_path / "kept"
        distilled(file, out)
        first = len(teacher.asked)
        assert first >= 420
        assert len(set(teacher.asked[:420])) == 420
        # Asked twice on purpose: the noise of the teacher.
        assert len(teacher.asked) - len(set(teacher.asked)) == 100
        teacher.asked.clear()
        second = distilled(file, out)
        assert teacher.asked == []
        assert second.stdout.startswith("\u2713 Faithful enough to replace")

    @pytest.mark.parametrize(
        ("what", "code"), [("fail_after", Exit.MODEL), ("stop_after", Exit.INTERRUPTED)]
    )
    def test_a_run_that_breaks_off_goes_on_where_it_was(self, teacher, file, tmp_path, what, code):
        out = tmp_path / "kept"
        setattr(teacher, what, 100)
        result = distilled(file, out, code=code)
        kept = len(teacher.asked)
        assert 100 <= kept < 420
        assert f"{kept} answers are kept in {out / ANSWERS}" in result.stderr
        assert "run the same command again" in result.stderr
        assert not (out / "report.html").exists()
        setattr(teacher, what, None)
        before = set(teacher.asked)
        teacher.asked.clear()
        distilled(file, out)
        new = set(teacher.asked) - before
        assert len(new | before) >= 420
        # What was kept comes again only among the 100 that are asked twice on purpose.
        assert len(teacher.asked) == len(new) + 100

    def test_tables_gold_and_lexicons(self, teacher, tmp_path):
        rows = texts(420)
        path = tmp_path / "rows.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            out = csv.writer(stream)
            out.writerow(["note", "truth"])
            out.writerows([text, rule(text)] for text in rows)
        words = tmp_path / "risk.txt"
        words.write_text("fraud\nlate\n")
        result = distilled(
            path, tmp_path / "kept", "--column", "note", "--gold", "truth", "--lexicon",
            f"risk={words}", "-f", "json", name="chances", gives="probability",
        )  # fmt: skip
        tree = json.loads(result.stdout)
        assert set(tree) == {"chosen", "student", "certificate"}
        assert "gold" in tree["certificate"]["lifts"]
        assert tree["student"]["features"]["lexicons"].keys() <= {"risk"}

    def test_a_budget_is_kept(self, teacher, file, tmp_path):
        distilled(file, tmp_path / "kept", "--budget", "600")
        assert 420 * 0.7 < len(teacher.asked) <= 600

    def test_one_label_is_nothing_to_distil(self, teacher, file, tmp_path):
        result = distilled(file, tmp_path / "kept", name="answers_one", code=Exit.INPUT)
        assert "answers 'accept' to all 420 texts" in result.stderr

    @pytest.mark.parametrize(
        ("more", "code", "says"),
        [
            (("--students", "rulez-4"), Exit.USAGE, "rules"),
            (("--students", "rule-list-4,rule-list-4"), Exit.USAGE, "different names"),
            (("--long", "cutt"), Exit.USAGE, "cut"),
            (("--prompt", "{text}"), Exit.USAGE, "--prompt"),
            (("--lexicon", "risk"), Exit.USAGE, "NAME=FILE"),
            (("--lexicon", "risk=nowhere.txt"), Exit.INPUT, "nowhere.txt"),
            (("--elsewhere", "other"), Exit.USAGE, "NAME=FILE"),
            (("--gold", "truth"), Exit.USAGE, "has lines alone"),
            (("--budget", "100"), Exit.USAGE, "queries=100"),
            (("--target", "1.5"), Exit.USAGE, "target"),
        ],
    )
    def test_what_is_refused(self, teacher, file, tmp_path, more, code, says):
        result = distilled(file, tmp_path / "kept", *more, code=code)
        assert says in result.stderr

    def test_what_a_teacher_needs(self, file, tmp_path):
        base = ("distill", file, "-o", tmp_path / "kept", *FAST)
        run(*base, "--model", "python:rule_teacher:labels", *LABELS, code=Exit.USAGE)
        run(*base, "--model", "python:nowhere:f", "--gives", "label", *LABELS, code=Exit.MODEL)
        run(*base, "--model", "embedded:credit", "--gives", "logit", code=Exit.USAGE)
        run(*base, "--model", "embedded:credit", *LABELS, code=Exit.USAGE)
        run(*base, "--model", "embedded:decider", "--prompt", "{text}", code=Exit.USAGE)
        run(*base, "--model", "embedded:nothing", code=Exit.USAGE)
        short = tmp_path / "short.txt"
        short.write_text("one\ntwo\n")
        run("distill", short, "-o", tmp_path / "kept", *FAST, code=Exit.USAGE)
        credit = ("--model", "embedded:credit")
        run("distill", short, "-o", tmp_path / "kept", *credit, *FAST, code=Exit.INPUT)

    def test_a_function_without_a_version_is_kept_nowhere(self, teacher, file, tmp_path):
        out = tmp_path / "kept"
        model = ("--model", "python:rule_teacher:labels", "--gives", "label")
        run("distill", file, "-o", out, *model, *LABELS, *FAST)
        assert not (out / ANSWERS).exists()
        assert (out / "report.html").is_file()


class TestDecide:
    first = None
    """The folder that the first of these tests distils, in bytes; each test has its own copy."""

    @pytest.fixture
    def kept(self, teacher, file, tmp_path):
        folder = tmp_path / "kept"
        if TestDecide.first is None:
            distilled(file, folder, name="chances", gives="probability")
            teacher.asked.clear()
            TestDecide.first = {path.name: path.read_bytes() for path in folder.iterdir()}
        else:
            folder.mkdir()
            for name, content in TestDecide.first.items():
                (folder / name).write_bytes(content)
        return folder

    def model(self):
        return (
            "--model",
            "python:rule_teacher:chances",
            "--gives",
            "probability",
            "--version",
            "1",
            *LABELS,
        )

    def test_the_student_answers_what_it_is_certified_for(self, kept, teacher):
        text = texts(1, seed=9)[0]
        result = run("decide", kept, text)
        assert result.stdout.startswith(rule(text))
        assert "by the student" in result.stdout
        assert "is certified" in result.stdout
        assert teacher.asked == []

    def test_the_teacher_answers_what_is_beyond(self, kept, teacher):
        strange = "zz yy xx ww vv uu"
        alone = run("decide", kept, strange, code=Exit.SOME_ROWS_FAILED)
        assert alone.stdout.startswith("no decision: ")
        assert "never met" in alone.stdout
        result = run("decide", kept, strange, *self.model(), "-f", "json")
        found = json.loads(result.stdout)
        assert found["by"] == "teacher"
        assert found["label"] == "accept"
        assert found["probabilities"] == {"accept": 0.9, "reject": 0.1}
        assert teacher.asked == [strange]

    def test_the_same_run_again_keeps_what_the_router_has_seen(self, kept, teacher, file):
        run("decide", kept, *texts(3, seed=5), *self.model())
        before = (kept / "router.json").read_text()
        distilled(file, kept, name="chances", gives="probability")
        assert (kept / "router.json").read_text() == before

    def test_another_function_of_the_same_version_is_another_teacher(self, kept, teacher, file):
        again = distilled(file, kept, name="other", gives="probability", code=Exit.USAGE)
        assert "student of another teacher" in again.stderr
        assert "--replace" in again.stderr
        assert teacher.asked == []
        before = (kept / "model.json").read_bytes()
        distilled(file, kept, "--replace", name="other", gives="probability")
        assert len(teacher.asked) > 420
        assert (kept / "model.json").read_bytes() != before

    def test_counts_are_kept_from_one_time_to_the_next(self, kept):
        own = texts(3, seed=5)
        for _ in range(2):
            run("decide", kept, *own, *self.model())
        counts = json.loads((kept / "router.json").read_text())["counts"]
        assert counts["student"] + counts["teacher"] == 6

    def test_many_texts_from_a_file_or_a_pipe(self, kept, tmp_path):
        own = texts(4, seed=6)
        path = tmp_path / "more.jsonl"
        path.write_text("".join(json.dumps({"text": t}) + "\n" for t in own))
        one = run("decide", kept, "--input", path, "-f", "json").stdout
        other = run("decide", kept, "-", "-f", "json", stdin="\n".join(own)).stdout
        assert one == other
        assert [json.loads(line)["text"] for line in one.splitlines()] == own

    def test_what_is_refused(self, kept, tmp_path):
        run("decide", tmp_path / "nowhere", "a text", code=Exit.INPUT)
        run("decide", kept, "a text", "-f", "html", code=Exit.USAGE)
        run("decide", kept, "a text", "--input", "f.txt", code=Exit.USAGE)
        other = (
            "--model",
            "python:rule_teacher:chances",
            "--gives",
            "probability",
            "--version",
            "2",
            *LABELS,
        )
        result = run("decide", kept, "a text", *other, code=Exit.USAGE)
        assert "The certificate does not hold for it" in result.stderr
        (kept / "router.json").write_text("[]")
        run("decide", kept, "a text", code=Exit.INPUT)


def test_reading_texts(tmp_path):
    lines = tmp_path / "l.txt"
    lines.write_bytes("\ufeffone\n\ntwo\r\n".encode())
    assert read_table(lines, "text") == (["one", "two"], None)
    lines.write_bytes(b"\xff")
    with pytest.raises(InputError, match="UTF-8"):
        read_table(lines, "text")
    with pytest.raises(InputError, match=r"nowhere\.txt"):
        read_table(tmp_path / "nowhere.txt", "text")
    rows = tmp_path / "r.jsonl"
    rows.write_text('{"text": "a", "gold": "x"}\n')
    assert read_table(rows, "text", "gold") == (["a"], ["x"])


def test_lexicons(tmp_path):
    path = tmp_path / "w.txt"
    path.write_text("late\n\n overdue \n")
    assert lexicon(f"delay={path}") == ("delay", ("late", "overdue"))
    path.write_text("\n")
    with pytest.raises(InputError, match="no word"):
        lexicon(f"delay={path}")


def test_functions_by_name():
    assert function_named("json:dumps")({}) == "{}"
    for name, error in (
        ("json", OptionError),
        ("json:nothing", ModelLoadError),
        ("json:__name__", ModelLoadError),
    ):
        with pytest.raises(error):
            function_named(name)


def test_options_of_a_teacher_are_checked_before_it_is_loaded():
    TeacherOptions(model="embedded:credit").check()
    for wrong in (
        {"model": "python:m:f"},
        {"model": "python:m:f", "gives": "labels", "labels": ["a", "b"]},
        {"model": "python:m:f", "gives": "label", "labels": ["a"]},
        {"model": "m", "version": "1"},
        {"model": "m", "prompt": "{text}", "labels": ["a"]},
        {"model": "m", "words": ["a"]},
        {"model": "m", "long": "split"},
    ):
        with pytest.raises(OptionError):
            TeacherOptions(**wrong).check()


class TestTogether:
    def test_no_decision_of_two_processes_on_one_folder_is_lost(self, teacher, file, tmp_path):
        folder = tmp_path / "kept"
        distilled(file, folder, name="chances", gives="probability")
        assert "report.html" in json.loads((folder / "manifest.json").read_text())["files"]
        command = [sys.executable, "-m", "whence", "decide", str(folder), *texts(20, seed=5)]
        command += TestDecide().model()
        path = os.pathsep.join([str(tmp_path), str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path}
        started = [
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)
        ]
        assert [process.wait() for process in started] == [0, 0]
        counts = json.loads((folder / "router.json").read_text())["counts"]
        assert counts["student"] + counts["teacher"] == 40
