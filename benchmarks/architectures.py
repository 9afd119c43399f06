"""Which architectures of transformers are explained, and what is refused for which reason.

A worker process builds and checks one row after the other; where a row takes longer than it may,
the worker is ended and the next begins behind it. Rows are kept as lines of JSON, so a run that was
stopped goes on where it was.

    python -m benchmarks.architectures ROWS.jsonl [--only TEXT] [--seconds N] [--table PAGE.md]
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
`python -m benchmarks.architectures ROWS.jsonl --table docs/reference/architectures.md`.

```text"""
FOOT = """```

"yes" is equal to the bare module; a number stands for the reason of a refusal. Attention: every row sums
to one, none reads the future in a causal model, and a softmax of the eager module gives the same
weights. Knock-out: the eager module whose scores are cut gives the same effect.
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


def summary(rows: list[dict[str, Any]], *, problems: bool = True) -> str:
    """Counts by check, and what is wrong, crashes or is refused."""
    lines = [f"{len(rows)} rows, {sum('built' in row for row in rows)} not built"]
    for column in COLUMNS:
        kinds = Counter(row[column].split(":")[0] for row in rows if column in row)
        lines.append(f"{column}: " + ", ".join(f"{k} {n}" for k, n in kinds.most_common()))
    if not problems:
        return "\n".join(lines)
    lines += [
        f"  {row['key']} {column} {row[column]}"
        for column in COLUMNS
        for row in rows
        if row.get(column, "").startswith(("wrong", "crash"))
    ]
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """A page: what of each class is explained, and why the rest is refused."""
    reasons: list[str] = []

    def cell(row: dict[str, Any], column: str) -> str:
        word, _, reason = row.get(column, "").partition(": ")
        if word not in ("refused", "wrong", "crash"):
            return {"right": "yes"}.get(word, word)
        # Names and numbers of one class make no other reason.
        short = reason.split(". Methods that work")[0].replace(
            row["key"].split("/")[1], "the model"
        )
        short = re.sub(r"\d[\d.e+-]*", "...", short.replace("memory:", ""))
        if short not in reasons:
            reasons.append(short)
        return f"{'no' if word == 'refused' else word} [{reasons.index(short) + 1}]"

    lines = ["| class | task | scores | prefix | gradients | attention | knock-out | rollout |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda each: each["key"].split("/")[1]):
        name = row["key"].split("/")[1]
        if "built" in row:
            continue
        if not row["load"].startswith("right"):
            lines.append(f"| {name} | {cell(row, 'load')} | | | | | | |")
            continue
        columns = ("scores", "prefix", "gradients", "attention", "knockout", "rollout")
        cells = [cell(row, column) for column in columns]
        lines.append(f"| {name} | {row.get('task', '')} | {' | '.join(cells)} |")
    notes = [f"{place + 1}. {reason}" for place, reason in enumerate(reasons)]
    return "\n".join(
        [HEAD, summary(rows, problems=False), FOOT, *lines, "", "## Reasons", "", *notes, ""]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--work", nargs="*")
    parser.add_argument("--table", type=Path)
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
        arguments.table.write_text(table(read(arguments.path)), "utf-8")


if __name__ == "__main__":
    main()
