"""Which architectures of transformers are explained, and what is refused for which reason.

A worker process builds and checks one row after the other; where a row takes longer than it may,
the worker is ended and the next begins behind it. Rows are kept as lines of JSON, so a run that was
stopped goes on where it was.

    python -m benchmarks.architectures ROWS.jsonl [--only TEXT] [--seconds N] [--table PAGE.md]

With ``--beside OTHER.jsonl``, rows of another release of transformers, the page says what differs there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

COLUMNS = (
    "load",
    "scores",
    "prefix",
    "gradients",
    "attention",
    "knockout",
    "rollout",
    "value_zeroing",
)

HEAD = """# Architectures

A tiny model of random weights is made of each class that transformers maps to a task, and what whence
gives for it is compared with the bare module called on one row at a time. Written by
`python -m benchmarks.architectures ROWS.jsonl --beside OTHER.jsonl --table docs/reference/architectures.md`,
the rows by the same command with either release of transformers installed.
"""
FOOT = """
In the table "yes" is equal to the bare module; a number stands for the reason of a refusal. A model that
fails when it is called with a text alone is only asked for scores. Attention: every row sums to one, none
reads the future in a causal model, and a softmax of the eager module gives the same weights. Knock-out:
the eager module whose scores are cut gives the same effect. Words and masks are explained too, and compared
in other tests.
"""
MEMORY = 8 << 30
"""Bytes of address space of a worker; torch and transformers alone map three."""


def work(keys: list[str]) -> None:
    """Check rows one after the other; a line of JSON for each."""
    import transformers
    from tests.zoo.architecture_checks import check
    from tests.zoo.architectures import architectures

    # A configuration that was not shrunk in some field fails here, and takes nothing else down.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    rows = {each.key: each for each in architectures()}
    out = os.dup(1)
    # Libraries print; only rows may stand in what the parent reads.
    os.dup2(2, 1)
    for key in keys:
        started = time.perf_counter()
        row = check(rows[key])
        row["seconds"] = round(time.perf_counter() - started, 2)
        row["release"] = transformers.__version__
        os.write(out, (json.dumps(row) + "\n").encode())


def sweep(path: Path, keys: list[str], limit: float) -> None:
    """Check all rows that the file does not hold; ``limit`` seconds for each."""
    done = {row["key"] for row in read(path)}
    left = [key for key in keys if key not in done]
    with path.open("a") as file:
        while left:
            command = [sys.executable, "-m", "benchmarks.architectures", "--work", *left[:60]]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
            ) as worker:
                assert worker.stdout is not None
                count = 0
                for line in _lines(worker, limit):
                    file.write(line)
                    file.flush()
                    count += 1
            if count < len(left[:60]):
                reason = f"ended at {limit:.0f} s or died ({worker.returncode})"
                file.write(json.dumps({"key": left[count], "load": f"crash: {reason}"}) + "\n")
                file.flush()
                count += 1
            left = left[count:]


def _lines(worker: subprocess.Popen[bytes], limit: float) -> Any:
    # The first row waits for imports too.
    room = limit + 120
    while True:
        timer = threading.Timer(room, os.killpg, (worker.pid, signal.SIGKILL))
        timer.start()
        line = worker.stdout.readline().decode() if worker.stdout else ""
        timer.cancel()
        room = limit
        if not line:
            return
        yield line


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a file; of no file none."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def counts(rows: list[dict[str, Any]]) -> dict[str, str]:
    """How often each check came to what."""
    result = {"rows": f"{len(rows)}, {sum('built' in row for row in rows)} not built"}
    for column in COLUMNS:
        kinds = Counter(row[column].split(":")[0] for row in rows if column in row)
        result[column] = "; ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    return result


def summary(rows: list[dict[str, Any]]) -> str:
    """Counts by check, and what is wrong or crashes."""
    lines = [f"{column}: {told}" for column, told in counts(rows).items()]
    lines += [
        f"  {row['key']} {column} {row[column]}"
        for column in COLUMNS
        for row in rows
        if row.get(column, "").startswith(("wrong", "crash"))
    ]
    return "\n".join(lines)


class Reasons:
    """Reasons of refusals in the order in which they come, each with a number."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def cell(self, row: dict[str, Any], column: str) -> str:
        """A cell of the table: yes, or no with the reason's number."""
        word, _, reason = row.get(column, "").partition(": ")
        if word not in ("refused", "wrong", "crash"):
            return row.get(column, "").replace("right", "yes", 1)
        # Names and numbers of one class make no other reason.
        short = reason.split(". Methods that work")[0].replace(_name(row), "the model")
        short = re.sub(r"\d[\d.e+-]*", "...", short.replace("memory:", ""))
        if short not in self.reasons:
            self.reasons.append(short)
        return f"{'no' if word == 'refused' else word} [{self.reasons.index(short) + 1}]"

    def line(self, row: dict[str, Any]) -> str:
        """A row of the table."""
        if not row["load"].startswith("right"):
            return f"| {_name(row)} | {self.cell(row, 'load')} | | | | | | |"
        columns = ("scores", "prefix", "gradients", "attention", "knockout", "rollout")
        cells = [self.cell(row, column) for column in columns]
        return f"| {_name(row)} | {row.get('task', '')} | {' | '.join(cells)} |"


TITLE = """| class | task | scores | prefix | gradients | attention | knock-out | rollout |
|---|---|---|---|---|---|---|---|"""


def table(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    """A page: what of each class is explained, why the rest is refused, and what differs elsewhere."""
    reasons, parts = Reasons(), [HEAD, _releases([rows, others] if others else [rows]), FOOT, TITLE]
    built = [row for row in sorted(rows, key=_name) if "built" not in row]
    lines = {row["key"]: reasons.line(row) for row in built}
    parts += lines.values()
    if others:
        rest = [row for row in sorted(others, key=_name) if "built" not in row]
        differ = [line for row in rest if lines.get(row["key"]) != (line := reasons.line(row))]
        parts += ["", f"## Otherwise in transformers {others[0]['release']}", ""]
        parts += ["New classes, and those with another answer.", "", TITLE, *differ]
    missing = {_name(row): row["built"] for row in [*others, *rows] if "built" in row}
    parts += ["", "## Not built", "", "| class | reason |", "|---|---|"]
    parts += [f"| {name} | {_why(missing[name])} |" for name in sorted(missing)]
    parts += ["", "## Reasons", ""]
    parts += [f"{place + 1}. {reason}" for place, reason in enumerate(reasons.reasons)]
    return "\n".join([*parts, ""])


def _releases(runs: list[list[dict[str, Any]]]) -> str:
    every = [counts(rows) for rows in runs]
    lines = [
        "| check | " + " | ".join(f"transformers {rows[0]['release']}" for rows in runs) + " |"
    ]
    lines.append("|---|" + "---|" * len(runs))
    lines += [f"| {name} | " + " | ".join(each[name] for each in every) + " |" for name in every[0]]
    return "\n".join(lines)


def _name(row: dict[str, Any]) -> str:
    return row["key"].split("/")[1]


def _why(reason: str) -> str:
    """The first line that says something of why a class could not be made."""
    first = next(line for line in reason.split(": ", 1)[1].strip().split("\n") if line.strip())
    return first.split(". ")[0]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--work", nargs="*")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=120)
    arguments = parser.parse_args()
    if arguments.work is not None:
        work(arguments.work)
        return
    from tests.zoo.architectures import architectures

    only = arguments.only.split(",")
    keys = [each.key for each in architectures() if any(word in each.key for word in only)]
    sweep(arguments.path, keys, arguments.seconds)
    print(summary(read(arguments.path)))
    if arguments.table is not None:
        others = [] if arguments.beside is None else read(arguments.beside)
        arguments.table.write_text(table(read(arguments.path), others), "utf-8")


if __name__ == "__main__":
    main()
