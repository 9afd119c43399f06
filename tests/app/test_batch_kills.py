"""A run over rows that is killed at any moment: nothing is lost, nothing doubled, nothing mixed."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time

import pytest

import whence
from whence.app.cli.batch import Batch
from whence.app.cli.table_files import table_rows
from whence.core import WriteError
from whence.core.explanations import Attribution

ROWS = 12


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"id": i, "text": f"the rent of flat {i} is late again"} for i in range(ROWS)]
    rows[3] = {"id": 3, "text": None}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table_rows(path, "text")


def batch():
    model = whence.load(lambda texts: [float(text.count("late")) for text in texts])

    def explain(text):
        time.sleep(0.002)
        return whence.explain(model, text, method="leave-one-out", trust="off")

    return Batch(
        column="text", run={"method": "leave-one-out"}, explain=explain, retry=False, anew=False,
        tell=lambda line: None, total=ROWS, after_first=lambda left, seconds: None,
    )  # fmt: skip


def killed(table, output, seconds):
    """Run in a process of its own, which is killed after a while."""
    child = os.fork()
    if not child:
        try:
            batch().write(table(), output)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def check(table, output):
    count = batch().write(table(), output)
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(1, ROWS + 1))
    assert [line["columns"]["id"] for line in lines] == list(range(ROWS))
    assert ["error" in line for line in lines] == [row == 3 for row in range(ROWS)]
    for line in lines:
        if "record" in line:
            record = Attribution.from_tree(line["record"])
            assert f"flat {line['columns']['id']} " in record.segmentation.document.text
    return count


def kills(table, folder, count, seed):
    draw = random.Random(seed)
    halfway = 0
    for number in range(count):
        output = folder / f"{number}.jsonl"
        for _ in range(draw.randint(1, 3)):
            killed(table, output, draw.uniform(0.002, 0.12))
        before = output.read_bytes() if output.exists() else b""
        halfway += 0 < before.count(b"\n") < ROWS
        check(table, output)
    return halfway


def test_a_run_that_is_killed_goes_on(table, tmp_path):
    # Most kills fall between the first row and the last, or the test would show little.
    assert kills(table, tmp_path, 4, seed=0) >= 1


@pytest.mark.slow
def test_five_hundred_kills(table, tmp_path):
    assert kills(table, tmp_path, 250, seed=1) >= 60


def test_a_full_disk_leaves_whole_lines(table, tmp_path):
    output = tmp_path / "out.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Beyond the limit the system sends a signal first, and an error where that is ignored.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, before[1]))
    try:
        with pytest.raises(WriteError, match="Every finished row is in it"):
            batch().write(table(), output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    data = output.read_bytes()
    assert 0 < data.count(b"\n") < ROWS
    assert data.endswith(b"\n")
    check(table, output)
