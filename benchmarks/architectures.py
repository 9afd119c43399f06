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


def summary(rows: list[dict[str, Any]]) -> str:
    """Counts by check, and what is wrong, crashes or is refused."""
    lines = [f"{len(rows)} rows, {sum('built' in row for row in rows)} not built"]
    for column in COLUMNS:
        kinds = Counter(row[column].split(":")[0] for row in rows if column in row)
        lines.append(f"{column}: " + ", ".join(f"{k} {n}" for k, n in kinds.most_common()))
    lines += [
        f"  {row['key']} {column} {row[column]}"
        for column in COLUMNS
        for row in rows
        if row.get(column, "").startswith(("wrong", "crash"))
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--work", nargs="*")
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


if __name__ == "__main__":
    main()
