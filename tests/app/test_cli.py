"""The command line: results on stdout, messages on stderr, documented exit codes."""

from __future__ import annotations

import csv
import errno
import fcntl
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading

import pytest
from tests.zoo.families import FAMILIES, MASKED, TAGGERS, VARIANTS, save
from typer.testing import CliRunner

from whence.app.cli.exit_codes import CODES, Exit, code_of
from whence.app.cli.main import app
from whence.attribution import METHODS
from whence.cases import generate
from whence.core import Attribution, WhenceError
from whence.models import embedded_names


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bert")
    save(FAMILIES["bert"](), path)
    return str(path)


def run(*arguments, stdin=None, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def explained(folder, *arguments, **settings):
    return run("explain", "--model", folder, *arguments, **settings)


class TestExplain:
    def test_text(self, folder):
        result = explained(folder, "He denies chest pain")
        assert "Decision" in result.stdout
        assert "Shapley value" in result.stdout

    def test_json(self, folder):
        result = explained(folder, "--format", "json", "He denies chest pain")
        record = Attribution.from_json(result.stdout)
        assert len(record.segmentation) == 4

    def test_html_to_a_file(self, folder, tmp_path):
        out = tmp_path / "e.html"
        result = explained(folder, "--format", "html", "-o", out, "He denies chest pain")
        assert result.stdout == ""
        assert out.read_text("utf-8").startswith("<!doctype html>")
        assert "<!doctype html>" in explained(folder, "--format", "html", "He denies").stdout

    def test_text_to_a_file(self, folder, tmp_path):
        out = tmp_path / "e.txt"
        explained(folder, "-o", out, "He denies chest pain")
        assert "Decision" in out.read_text("utf-8")

    def test_the_suffix_of_the_file_decides_where_no_format_is_given(self, folder, tmp_path):
        page, record, text = (tmp_path / name for name in ("e.HTML", "e.json", "text.html"))
        explained(folder, "-o", page, "He denies chest pain")
        assert page.read_text("utf-8").startswith("<!doctype html>")
        explained(folder, "-o", record, "He denies chest pain")
        assert len(Attribution.from_json(record.read_text("utf-8")).segmentation) == 4
        explained(folder, "-f", "text", "-o", text, "He denies chest pain", code=2)
        assert not text.exists()

    @pytest.mark.parametrize("how", ["pipe", "dash", "file"])
    def test_where_the_text_comes_from(self, folder, tmp_path, how):
        if how == "file":
            path = tmp_path / "t.txt"
            path.write_text("He denies chest pain", "utf-8")
            result = explained(folder, "--file", path, "-f", "json")
        elif how == "dash":
            result = explained(folder, "-f", "json", "-", stdin="He denies chest pain")
        else:
            result = explained(folder, "-f", "json", stdin="He denies chest pain")
        assert Attribution.from_json(result.stdout).segmentation.document.text == (
            "He denies chest pain"
        )

    def test_pairs_messages_and_targets(self, folder, tmp_path):
        result = explained(folder, "--pair", "a fox", "-f", "json", "--unit", "turn", "a dog")
        assert len(Attribution.from_json(result.stdout).segmentation) == 2
        result = explained(
            folder, "--target", "low", "--against", "high", "--link", "logit", "-f", "json", "a dog"
        )
        assert Attribution.from_json(result.stdout).outputs[0].name == "low rather than high"
        chat = tmp_path / "qwen"
        save(FAMILIES["qwen3"](), chat)
        messages = tmp_path / "m.json"
        messages.write_text(json.dumps([{"role": "user", "content": "a good payment"}]))
        result = explained(chat, "--messages", messages, "--next-token", "-f", "json")
        assert Attribution.from_json(result.stdout).outputs[0].target.kind == "next_token"
        result = explained(chat, "--per-token", "--target", " a fox", "-f", "json", "a dog")
        assert len(Attribution.from_json(result.stdout).outputs) > 1
        embedder = tmp_path / "embedder"
        save(VARIANTS["embedder"](), embedder)
        result = explained(embedder, "--similar-to", "a fox", "-f", "json", "a dog")
        assert Attribution.from_json(result.stdout).outputs[0].link == "cosine"

    def test_words_masks_and_weights(self, tmp_path):
        tagger, masked = tmp_path / "tagger", tmp_path / "masked"
        save(TAGGERS["Bert"](), tagger)
        save(MASKED["Bert"](), masked)
        for folder, text, options, name in (
            (tagger, "a good payment", ["--target", "B-PER@2"], "B-PER at 'payment'"),
            (
                tagger,
                "a good payment",
                ["--task", "token-classification", "--target", "LOC@0:6"],
                "",
            ),
            (masked, "a [MASK] payment", ["--target", "good"], "good"),
            (
                masked,
                "a good fox",
                ["--task", "sparse-embedding", "--target", "bad"],
                "weight of bad",
            ),
        ):
            result = explained(folder, *options, "-f", "json", text)
            assert name in Attribution.from_json(result.stdout).outputs[0].name

    def test_a_function(self, tmp_path, monkeypatch):
        (tmp_path / "my_scores.py").write_text(
            "def late(texts):\n    return [float(t.count('late')) for t in texts]\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        result = explained("python:my_scores:late", "-f", "json", "late and never early")
        found = Attribution.from_json(result.stdout)
        assert found.provenance.model.ref == "python:my_scores:late"
        assert found.scores[:, 0].tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0])
        explained("python:my_scores:early", "a", code=Exit.MODEL)
        explained("python:my_scores:late", "--device", "cpu", "a", code=Exit.USAGE)

    def test_options_of_methods(self, folder):
        result = explained(
            folder, "--method", "lime", "--option", "ridge=0.5", "-f", "json", "a dog"
        )
        assert Attribution.from_json(result.stdout).provenance.method.options["ridge"] == 0.5
        result = explained(
            folder,
            "--method",
            "integrated-gradients",
            "--option",
            "baseline=zero",
            "-f",
            "json",
            "a dog",
        )
        assert Attribution.from_json(result.stdout).provenance.method.options["baseline"] == "zero"

    def test_a_cache_on_disk(self, folder, tmp_path):
        cache = tmp_path / "c.sqlite"
        # Two rows are read alone too, to see that the model minds no batch; the second run asks one
        # row again, to see that the model is still the same.
        for distinct in (18, 1):
            result = explained(folder, "--cache", cache, "-f", "json", "He denies chest pain")
            cost = Attribution.from_json(result.stdout).provenance.cost
            assert cost.distinct_evaluations == distinct

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (["--method", "kernel-shp", "a dog"], 2, "did you mean 'KernelShap'"),
            (["--unit", "wrod", "a dog"], 2, "did you mean 'word'"),
            (["--target", "lwo", "a dog"], 2, "did you mean 'low'"),
            (["--option", "ridge=1", "a dog"], 2, "named --method"),
            (["--method", "lime", "--option", "ridge", "a dog"], 2, "NAME=VALUE"),
            (["--method", "lime", "--option", "rigde=1", "a dog"], 2, "did you mean 'ridge'"),
            (
                ["--method", "lime", "--option", "ridge=x", "a dog"],
                2,
                "expected a number for ridge",
            ),
            (["--budget", "1", "a dog and a fox ran"], 2, "raise the budget"),
            (["--file", "nowhere.txt"], 3, "could not read nowhere.txt"),
            (["--messages", "nowhere.json"], 3, "could not read messages"),
            (["--file", "x", "a dog"], 2, "give the text once"),
            ([""], 3, "empty"),
            (["--input", "x.jsonl"], 2, "needs --output"),
            (["--input", "x.jsonl", "-o", "o.html"], 2, "rows are written as JSONL"),
            (["--input", "x.jsonl", "-o", "o.jsonl", "-f", "html"], 2, "got --format html"),
            (["--masker", "replacement", "pain " * 500], 3, "Nothing is cut silently"),
            (["-o", "nowhere/e.txt", "a dog"], 5, "the folder nowhere does not exist"),
            (["--device", "gpu", "a dog"], 2, "'cuda'"),
        ],
    )
    def test_errors_are_one_message_and_a_code(self, folder, arguments, code, says):
        result = explained(folder, *arguments, code=code)
        assert says in result.stderr
        assert "Traceback" not in result.output
        assert result.stdout == ""

    def test_missing_models(self):
        result = run("explain", "--model", "./nowhere", "a dog", code=4)
        assert "no folder" in result.stderr

    def test_input_that_is_no_text(self, folder, tmp_path):
        path = tmp_path / "t.txt"
        path.write_bytes(b"\xff\xfe")
        assert "UTF-8" in explained(folder, "--file", path, code=3).stderr

    def test_a_stop_says_so(self, folder, monkeypatch):
        def stop(*_args, **_kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr("whence.models.load", stop)
        assert "stopped" in explained(folder, "a dog", code=130).stderr

    def test_long_work_is_announced(self, folder, monkeypatch):
        from whence.app.cli import explain as module

        monkeypatch.setattr(module, "LONG", 0.0)
        monkeypatch.setattr(module, "teller", lambda quiet: lambda line: lines.append(line))
        lines = []
        explained(folder, "a dog and a fox")
        assert "evaluations for 5 features" in lines[0]

    def test_the_hint_names_a_coarser_unit(self, folder, monkeypatch):
        from whence.app.cli import explain as module

        monkeypatch.setattr(module, "LONG", 0.0)
        monkeypatch.setattr(module, "teller", lambda quiet: lambda line: lines.append(line))
        lines = []
        explained(folder, "A dog saw a fox and ran. A good dog. The fox saw a dog in a house.")
        assert "; --unit sentence needs 8. Ctrl-C" in lines[0]


class TestRows:
    texts = ("a good payment", "He denies chest pain", "a dog")

    def test_what_is_left_is_forecast_after_the_first_row(self, folder, tmp_path, monkeypatch):
        from whence.app.cli import explain as module

        monkeypatch.setattr(module, "LONG", 0.0)
        monkeypatch.setattr(module, "teller", lambda quiet: lambda line: lines.append(line))
        lines = []
        path, output = self.write(tmp_path, "csv"), tmp_path / "o.jsonl"
        explained(folder, "--input", path, "-o", output)
        assert lines[0] == "row 1: done"
        assert lines[1].startswith("3 rows, about ")
        assert "on this machine (8 evaluations for 3 features): " in lines[1]
        assert lines[1].endswith("for the 2 that are left")
        assert lines[2:] == ["row 2: done", "row 3: done"]
        # Of the first row alone is left to say what the other two take.
        whole = output.read_bytes().splitlines(keepends=True)
        output.write_bytes(b"".join(whole[1:]))
        lines.clear()
        explained(folder, "--input", path, "-o", output)
        assert lines == ["row 1: done"]

    def write(self, tmp_path, kind):
        path = tmp_path / f"rows.{kind}"
        if kind == "jsonl":
            path.write_text("\n\n".join(json.dumps({"text": t}) for t in self.texts))
        elif kind == "parquet":
            parquet = pytest.importorskip("pyarrow.parquet")
            import pyarrow as pa

            parquet.write_table(pa.table({"text": list(self.texts)}), path)
        else:
            with path.open("w", newline="") as stream:
                rows = csv.writer(stream, delimiter="\t" if kind == "tsv" else ",")
                rows.writerows([["id", "text"], *[[i, t] for i, t in enumerate(self.texts)]])
        return path

    def lines(self, out):
        return [json.loads(line) for line in out.read_text().splitlines()]

    @pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet"])
    def test_formats(self, folder, tmp_path, kind):
        out = tmp_path / "out.jsonl"
        explained(folder, "--input", self.write(tmp_path, kind), "-o", out)
        found = self.lines(out)
        assert [line["row"] for line in found] == [1, 2, 3]
        record = Attribution.from_tree(found[1]["record"])
        assert record.segmentation.document.text == self.texts[1]

    def test_a_stopped_run_goes_on(self, folder, tmp_path):
        rows, out = self.write(tmp_path, "jsonl"), tmp_path / "out.jsonl"
        explained(folder, "--input", rows, "-o", out)
        whole = out.read_text()
        first = whole.splitlines(keepends=True)
        out.write_text(first[0] + first[1][:50])
        explained(folder, "--input", rows, "-o", out)
        again = out.read_text().splitlines(keepends=True)
        assert again[0] == first[0]
        assert [json.loads(line)["row"] for line in again] == [1, 2, 3]
        before = out.read_text()
        explained(folder, "--input", rows, "-o", out)
        assert out.read_text() == before

    def test_a_row_that_fails_is_recorded_and_the_rest_goes_on(self, folder, tmp_path):
        path, out = tmp_path / "r.jsonl", tmp_path / "out.jsonl"
        texts = ["a dog", " ", "pain " * 500, "a fox"]
        path.write_text("\n".join(json.dumps({"text": t}) for t in texts))
        result = explained(folder, "--input", path, "-o", out, code=6)
        assert "2 row(s)" in result.stderr
        found = self.lines(out)
        assert [line.get("error", {}).get("type") for line in found] == [
            None,
            "InputError",
            "TextTooLongError",
            None,
        ]
        # Resumed, nothing is left to do, and the failed rows still stand in the output.
        again = explained(folder, "--input", path, "-o", out, code=6)
        assert again.stderr.splitlines()[1:] == result.stderr.splitlines()[1:]
        assert again.stderr.startswith("0 explained, 2 failed, 2 explained before")
        assert self.lines(out) == found
        explained(folder, "--input", path, "-o", out, "--retry-failed", code=6)
        assert sorted(line["row"] for line in self.lines(out)) == [1, 2, 3, 4]

    @pytest.mark.parametrize(
        ("content", "code", "says"),
        [
            ('{"txt": "a"}', 2, "did you mean 'txt'"),
            ('{"text": 3}', 6, "int"),
            ("{", 6, "not JSON"),
            ("[1]", 6, "no JSON object"),
            ("", 3, "no rows"),
        ],
    )
    def test_bad_tables(self, folder, tmp_path, content, code, says):
        path = tmp_path / "r.jsonl"
        path.write_text(content)
        result = explained(folder, "--input", path, "-o", tmp_path / "o.jsonl", code=code)
        assert says in result.stderr

    def test_a_row_fails_alone(self, folder, tmp_path):
        path, out = tmp_path / "r.jsonl", tmp_path / "out.jsonl"
        nested = "[" * 100_000 + "]" * 100_000
        rows = [
            '{"text": "a dog", "id": 1}', '{"text": null}', '{"id": 3}', "{", "[1]", nested,
            json.dumps({"text": "pain " * 40, "id": 7}), '{"text": "a fox", "id": 8}',
        ]  # fmt: skip
        path.write_text("\ufeff" + "\n".join(rows), "utf-8")
        explained(folder, "--input", path, "-o", out, "--method", "shapley-values", code=6)
        lines = self.lines(out)
        assert [line["row"] for line in lines] == list(range(1, 9))
        assert ["error" in line for line in lines] == [False, *[True] * 6, False]
        assert lines[-1]["columns"] == {"id": 8}
        assert "line 2" in lines[1]["error"]["message"]

    def test_a_ragged_or_a_long_row_of_a_csv(self, folder, tmp_path):
        path, out = tmp_path / "r.csv", tmp_path / "out.jsonl"
        path.write_text(f"id,text\n1,a dog, barking\n2,{'pain ' * 30_000}\n3,a fox\n")
        explained(folder, "--input", path, "-o", out, code=6)
        lines = self.lines(out)
        assert "line 2" in lines[0]["error"]["message"]
        assert "expected 2 cells as in the head, got 3" in lines[0]["error"]["message"]
        assert lines[1]["error"]["type"] == "TextTooLongError"
        assert Attribution.from_tree(lines[2]["record"]).segmentation.document.text == "a fox"
        assert csv.field_size_limit() == 131_072

    def test_a_quote_that_is_never_closed_is_found_before_any_row(self, folder, tmp_path):
        path, out = tmp_path / "r.csv", tmp_path / "out.jsonl"
        path.write_text('id,text\n1,a dog\n2,"a fox\n3,a cat\n')
        result = explained(folder, "--input", path, "-o", out, code=3)
        assert "from line 3 on" in result.stderr
        assert not out.exists()

    def test_a_folder_of_notes(self, folder, tmp_path):
        notes, out = tmp_path / "notes", tmp_path / "out.jsonl"
        notes.mkdir()
        (notes / "b.txt").write_text("a fox")
        (notes / "a.txt").write_text("a dog")
        explained(folder, "--input", notes, "-o", out)
        assert [line["columns"] for line in self.lines(out)] == [
            {"file": "a.txt"},
            {"file": "b.txt"},
        ]

    @pytest.mark.parametrize(
        ("other", "name"),
        [
            (["--method", "leave-one-out"], "method"),
            (["--target", "low"], "target"),
            (["--seed", "3"], "seed"),
            (["--unit", "sentence"], "unit"),
        ],
    )
    def test_a_run_with_other_options_does_not_go_on(self, folder, tmp_path, other, name):
        rows, out = self.write(tmp_path, "jsonl"), tmp_path / "out.jsonl"
        explained(folder, "--input", rows, "-o", out)
        before = out.read_bytes()
        result = explained(folder, "--input", rows, "-o", out, *other, code=2)
        assert f"was begun with {name}" in result.stderr
        assert out.read_bytes() == before
        explained(folder, "--input", rows, "-o", out, "--overwrite", *other)
        assert len(self.lines(out)) == 3

    def test_what_every_row_fails_at_ends_the_run(self, folder, tmp_path):
        rows, out = self.write(tmp_path, "jsonl"), tmp_path / "out.jsonl"
        result = explained(folder, "--input", rows, "-o", out, "--target", "no such", code=2)
        assert "no such" in result.stderr
        assert len(self.lines(out)) == 2

    def test_one_process_writes(self, folder, tmp_path):
        rows, out = self.write(tmp_path, "jsonl"), tmp_path / "out.jsonl"
        out.touch()
        with out.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            result = explained(folder, "--input", rows, "-o", out, code=2)
        assert "another process writes" in result.stderr
        assert out.read_bytes() == b""

    def test_an_output_is_never_the_input_nor_anothers_file(self, folder, tmp_path):
        rows = self.write(tmp_path, "jsonl")
        before = rows.read_bytes()
        link = tmp_path / "link.jsonl"
        link.symlink_to(rows)
        for out in (rows, link, tmp_path / ".." / tmp_path.name / rows.name):
            result = explained(folder, "--input", rows, "-o", out, "--overwrite", code=2)
            assert "is the file that is read" in result.stderr
        other = tmp_path / "other.jsonl"
        other.write_bytes(b'{"text": "late payments"}')
        explained(folder, "--input", rows, "-o", other, code=3)
        assert other.read_bytes() == b'{"text": "late payments"}'
        assert rows.read_bytes() == before
        assert "folder" in explained(folder, "--input", rows, "-o", tmp_path, code=5).stderr

    def test_bad_files(self, folder, tmp_path):
        out = tmp_path / "o.jsonl"
        assert (
            "expected a .jsonl, .csv, .tsv or .parquet file"
            in explained(folder, "--input", tmp_path / "r.xlsx", "-o", out, code=2).stderr
        )
        assert (
            "could not read"
            in explained(folder, "--input", tmp_path / "r.jsonl", "-o", out, code=3).stderr
        )
        bad = tmp_path / "b.csv"
        bad.write_bytes(b"text\n\xff\xff\n")
        assert "not UTF-8" in explained(folder, "--input", bad, "-o", out, code=3).stderr
        bad = tmp_path / "b.parquet"
        bad.write_bytes(b"no parquet at all")
        assert "Parquet" in explained(folder, "--input", bad, "-o", out, code=3).stderr

    def test_outputs_of_others_are_not_touched(self, folder, tmp_path):
        rows, out = self.write(tmp_path, "jsonl"), tmp_path / "out.jsonl"
        out.write_text('{"mine": 1}\n')
        assert (
            "not written by whence" in explained(folder, "--input", rows, "-o", out, code=3).stderr
        )
        assert out.read_text() == '{"mine": 1}\n'
        out.unlink()
        explained(folder, "--input", rows, "-o", out)
        rows.write_text(json.dumps({"text": "another"}))
        assert "another text" in explained(folder, "--input", rows, "-o", out, code=3).stderr

    def test_a_full_disk_leaves_whole_lines(self, folder, tmp_path, monkeypatch):
        rows, out = self.write(tmp_path, "jsonl"), tmp_path / "out.jsonl"
        calls = []

        def full(_descriptor):
            calls.append(1)
            if len(calls) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        result = explained(folder, "--input", rows, "-o", out, code=5)
        assert "Every finished row is in it; free some space" in result.stderr
        assert [line["row"] for line in self.lines(out)] == [1]


class TestOutputs:
    @pytest.mark.parametrize("name", ["notes.txt", "page.html", "data.json"])
    def test_a_file_of_others_is_kept(self, folder, tmp_path, name):
        out = tmp_path / name
        out.write_text('{"mine": 1}')
        assert "--overwrite" in explained(folder, "a dog", "-o", out, code=2).stderr
        assert out.read_text() == '{"mine": 1}'
        explained(folder, "a dog", "-o", out, "--overwrite")
        assert "mine" not in out.read_text()

    def test_a_page_and_a_record_of_whence_are_written_anew(self, folder, tmp_path):
        for name in ("page.html", "data.json"):
            explained(folder, "a dog", "-o", tmp_path / name)
            explained(folder, "a fox", "-o", tmp_path / name)
            assert "fox" in (tmp_path / name).read_text()

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["-o", "x.jsonl"], "--input"),
            (["-o", "x.csv", "-f", "json"], "--input"),
        ],
    )
    def test_a_suffix_that_contradicts_is_refused(self, folder, tmp_path, arguments, says):
        arguments = [str(tmp_path / a) if a.startswith("x.") else a for a in arguments]
        assert says in explained(folder, "a dog", *arguments, code=2).stderr

    def test_a_link_stays_a_link_and_a_file_keeps_its_mode(self, folder, tmp_path):
        file, link = tmp_path / "kept.json", tmp_path / "link.json"
        file.touch(mode=0o640)
        link.symlink_to(file)
        explained(folder, "a dog", "-o", link)
        assert link.is_symlink()
        assert Attribution.load(file).segmentation.document.text == "a dog"
        assert file.stat().st_mode & 0o777 == 0o640

    def test_a_pipe_is_written_to(self, folder, tmp_path):
        pipe = tmp_path / "pipe.json"
        os.mkfifo(pipe)
        texts = []
        reader = threading.Thread(target=lambda: texts.append(pipe.read_bytes()), daemon=True)
        reader.start()
        explained(folder, "a dog", "-o", pipe)
        reader.join(30)
        assert Attribution.from_json(texts[0]).segmentation.document.text == "a dog"
        assert pipe.is_fifo()

    def test_the_name_of_a_file_is_no_text(self, folder, tmp_path):
        note = tmp_path / "note.txt"
        note.write_text("a dog")
        assert f"--file {note}" in explained(folder, note, code=2).stderr


class TestCatalogue:
    def test_methods(self):
        text = run("methods").stdout
        rows = json.loads(run("methods", "--json").stdout)
        assert [row["name"] for row in rows] == list(METHODS)
        for row in rows:
            assert row["slug"] in text
            assert row["about"].endswith(".")

    def test_models(self):
        rows = json.loads(run("models", "--json").stdout)
        assert [row["ref"] for row in rows] == [f"embedded:{name}" for name in embedded_names()]
        text = run("models").stdout
        for row in rows:
            assert row["ref"] in text
            assert row["measured"]["accuracy"]["n"] >= 1000

    @pytest.mark.parametrize("module", ["whence", "whence.app.cli.main"])
    def test_as_a_module(self, module):
        command = [sys.executable, "-m", module]
        result = subprocess.run(
            [*command, "--help"], capture_output=True, encoding="utf-8", check=True
        )
        assert "explain" in result.stdout
        # The exit code reaches the shell.
        assert subprocess.run([*command, "explian"], capture_output=True).returncode == Exit.USAGE

    def test_version_and_help(self):
        import whence

        for how in ("version", "--version"):
            assert run(how).stdout.strip() == f"whence {whence.__version__}"
        assert json.loads(run("version", "--json").stdout) == {"whence": whence.__version__}
        plain = re.sub(r"\s+", " ", run("--help").stdout)
        for command in ("explain", "methods", "models", "demo", "version"):
            assert command in plain
            assert "Example" in run(command, "--help").stdout

    def test_every_error_has_a_code(self):
        def leaves(kind):
            yield kind
            for child in kind.__subclasses__():
                yield from leaves(child)

        kinds = set(leaves(WhenceError)) - {WhenceError}
        for kind in kinds:
            error = kind.__new__(kind)
            assert code_of(error) != Exit.UNEXPECTED
        assert code_of(WhenceError("x")) == Exit.UNEXPECTED
        for code in Exit:
            assert f"{code.value} " in CODES


@pytest.fixture(scope="module", autouse=True)
def _demo_explained_once():
    """Each page is written anew; the ten explanations are the same."""
    from whence.app.cli import demo

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "demo_sections", functools.cache(demo.demo_sections))
        yield


def examples(command):
    info = next(c for c in app.registered_commands if c.callback.__name__ == command)
    lines = re.findall(r"whence .*", info.epilog)
    assert lines
    return lines


def applications(path, count):
    cases = generate("credit", count, seed=3)
    path.write_text("\n".join(["text", *(f'"{case.text}"' for case in cases)]) + "\n")


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    """What the example of ``distill`` prints, and the folder it leaves."""
    home = tmp_path_factory.mktemp("distilled")
    applications(home / "texts.csv", 320)
    # Everything is run elsewhere, on a teacher that answers at once.
    (line,) = (line for line in examples("distill") if "--no-checks" in line)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        result = CliRunner().invoke(app, shlex.split(line)[1:])
    return result, home / "kept"


def test_the_example_of_distill_runs(distilled):
    result, folder = distilled
    assert result.exit_code == 0, result.output
    assert result.stdout
    assert folder.is_dir()


@pytest.mark.parametrize(
    "command",
    [c.callback.__name__ for c in app.registered_commands if c.callback.__name__ != "distill"],
)
def test_examples_in_the_help_run(command, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    text = "Missed 4 payments this year."
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": text}) + "\n")
    if command in ("evaluate", "verify"):
        keep = ["explain", "--model", "embedded:credit", "-f", "json", "-o", "kept.json", text]
        assert CliRunner().invoke(app, keep).exit_code == 0
    if command == "decide":
        applications(tmp_path / "texts.csv", 20)
        shutil.copytree(request.getfixturevalue("distilled")[1], tmp_path / "kept")
    for line in examples(command):
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, result.output
        assert result.stdout


def test_the_demo_leaves_one_page(tmp_path):
    from whence.app.explanation.html import parse_records

    out = tmp_path / "demo.html"
    assert run("demo", "--quiet", "--output", out).stdout == ""
    text = out.read_text("utf-8")
    records = [Attribution.from_tree(tree) for tree in parse_records(text)]
    assert len(records) == 10
    domains = {r.provenance.model.ref for r in records}
    assert domains == {f"embedded:{name}" for name in embedded_names()}
