"""Folders of the real models, timing, and the tables of benchmarks/README.md."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("WHENCE_SHARED", HERE.parents[1] / "shared"))


def model_folder(name: str) -> Path:
    path = SHARED / "models" / name
    if not path.is_dir():
        sys.exit(
            f"the real model {name} is missing: expected {path}; set WHENCE_SHARED to the folder that holds models/"
        )
    return path


def prompts(count: int, words: int) -> list[str]:
    """Beginnings of stories, written here: real words for the story model."""
    names = ["Lily", "Tom", "Anna", "Ben", "Mia", "Sam", "Lucy", "Max", "Sara", "Tim"]
    things = ["ball", "cake", "dog", "kite", "book", "tree", "boat", "cat", "hat", "bird"]
    starts = [
        "Once upon a time there was a little {t} and {n} liked to play with it every day",
        "{n} had a big red {t} and one day it was lost in the park near home",
        "One day {n} and a friend saw a {t} in the sun and they wanted to see more",
        "The {t} was very happy because {n} gave it a new home and some good food",
    ]
    result = []
    for index in range(count):
        start = starts[index % len(starts)]
        text = start.format(n=names[index % 10], t=things[(index * 3 + index // 10) % 10])
        result.append(" ".join(text.split()[:words]))
    return result


def timed(function: Callable[[], Any], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def table(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def store(name: str, question: str, text: str, data: Any) -> None:
    """Write the JSON to results/, which git ignores, and the table to its place in the README."""
    names = ("torch", "transformers", "captum", "shap", "lime", "shapiq")
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {n: version(n) for n in names},
    }
    (HERE / "results").mkdir(exist_ok=True)
    path = HERE / "results" / f"{name}.json"
    path.write_text(json.dumps({"machine": machine, "data": data}, indent=1) + "\n")
    readme = HERE / "README.md"
    body = readme.read_text() if readme.exists() else "# Benchmarks\n"
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    block = (
        f"{begin}\n## {question}\n\n`python -m benchmarks.{name}`, Python "
        f"{machine['python']}, {machine['cores']} cores, {versions}.\n\n{text}\n{end}"
    )
    if begin in body:
        body = body[: body.index(begin)] + block + body[body.index(end) + len(end) :]
    else:
        body = body.rstrip() + "\n\n" + block + "\n"
    readme.write_text(body)
    print(text)
