"""Ctrl-C at any moment of any command: one line, the documented exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import whence
from whence.__main__ import main
from whence.core import Interrupted
from whence.core.store import read_record_json
from whence.models.public_call import public_call

WORDS = ["missed", "payment", "late", "rent", "loan", "card", "savings", "house", "debt", "month"]
TEXT = "She was late with the rent and late with the loan, and the card is late."

TEACHER = """
import time
def ask(texts):
    print("asked", flush=True)
    time.sleep(0.02 * len(texts))
    return [0.2 + 0.1 * min(text.count("late"), 6) for text in texts]
"""


def test_a_stop_outside_of_any_evaluation_is_told_as_a_stop():
    @public_call
    def between(_model):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="between was stopped") as stopped:
        between(None)
    assert stopped.value.evaluations == 0


def test_a_stop_while_a_student_is_fitted(monkeypatch):
    def stop(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("whence.students.distill.make_plan", stop)
    model = whence.load(lambda texts: [0.5 for _ in texts], labels=["a", "b"])
    with pytest.raises(Interrupted, match="distill was stopped"):
        whence.distill(whence.Teacher.of(model, gives="probability"), ["a"])


def test_a_stop_while_the_command_is_loaded(monkeypatch, capsys):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr("whence.app.cli.main.main", stop)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130
    assert capsys.readouterr().err == "whence: stopped\n"


@pytest.fixture
def folder(tmp_path):
    draw = random.Random(0)
    rows = [" ".join(draw.choices(WORDS, k=8)) + f" {number}" for number in range(400)]
    (tmp_path / "slow.py").write_text(TEACHER)
    (tmp_path / "many.csv").write_text("\n".join(["text", *rows]) + "\n")
    (tmp_path / "few.csv").write_text("\n".join(["text", *rows[:8]]) + "\n")
    model = whence.load(lambda texts: [0.2 + 0.1 * min(t.count("late"), 6) for t in texts])
    (tmp_path / "record.json").write_bytes(
        whence.explain(model, TEXT, method="lime", trust="off").to_json()
    )
    return tmp_path


COMMANDS = {
    "explain": ["explain", TEXT, "-o", "out.json"],
    "attend": ["attend", "--model", "embedded:credit", "--measure", "12", "--save", "out", TEXT * 8],
    "compare": ["compare", TEXT, "--method", "lime", "--method", "kernel-shap", "-o", "out.json"],
    "evaluate": ["evaluate", "record.json", "--other-model", "-o", "out.json"],
    "select": ["select", "few.csv", "--method", "lime", "--method", "random", "-o", "out.json"],
    "batch": ["explain", "--input", "few.csv", "-o", "out.jsonl"],
    "distill": [
        "distill", "many.csv", "--gives", "probability", "--version", "1",
        "--label", "no", "--label", "yes", "-o", "out",
    ],
}  # fmt: skip


def started(name, folder, asked=True):
    """The command as a process of its own, once its model has been asked."""
    arguments = COMMANDS[name]
    asks = "--model" not in arguments
    if asks:
        arguments = [*arguments, "--model", "python:slow:ask"]
    path = os.pathsep.join([str(folder), str(Path(whence.__file__).parents[1])])
    process = subprocess.Popen(
        [sys.executable, "-m", "whence", *arguments],
        env={**os.environ, "PYTHONPATH": path}, cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if not asked:
        return process
    if asks:
        assert process.stdout.readline() == "asked\n"
    else:
        # Until the interpreter has begun to load the command; before that nobody can catch a signal.
        time.sleep(3)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.1, 1.5])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_to_the_process(name, wait, folder):
    process = started(name, folder)
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("whence: ")
    # The name of a temporary file begins with a dot.
    assert not list(folder.rglob(".out*"))
    assert not (folder / "out.json").exists()
    assert not (folder / "out" / "model.json").exists()
    for line in (folder / "out.jsonl").read_text().splitlines() if name == "batch" else ():
        read_record_json(json.dumps(json.loads(line)["record"]))


@pytest.mark.slow
def test_two_processes_on_one_output(folder):
    first = started("batch", folder)
    second = started("batch", folder, asked=False)
    try:
        ends = [process.communicate(timeout=120) for process in (first, second)]
    finally:
        first.kill(), second.kill()
    assert (first.returncode, second.returncode) == (0, 2)
    assert "another process writes to out.jsonl" in ends[1][1]
    rows = [json.loads(line)["row"] for line in (folder / "out.jsonl").read_text().splitlines()]
    assert rows == list(range(1, 9))
