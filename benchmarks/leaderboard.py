"""Which methods find the known reasons? Average precision of every method on every task.

python -m benchmarks.calibration     # judges the explanations
python -m benchmarks.leaderboard     # writes docs/explanation/leaderboard.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.calibration import COLUMNS, mean_interval
from benchmarks.common import HERE, table
from ground_truth import TASKS
from whence.evaluation.trust.calibration import family_of

PAGE = HERE.parent / "docs" / "explanation" / "leaderboard.md"
RESULTS = HERE / "results" / "calibration.json"


def unpacked(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows as dictionaries, names in place of their numbers; one level, as truth has none."""
    names = data["names"]
    rows = [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]
    for row in rows:
        for key, values in names.items():
            row[key] = values[row[key]]
    return [row for row in rows if row["level"] == "default" and row["ap"] is not None]


def cell(rows: Sequence[dict[str, Any]], measure: str = "ap") -> tuple[float, float, float]:
    return mean_interval([row[measure] for row in rows])


def shown(result: tuple[float, float, float], best: float) -> str:
    text = f"{result[0]:.2f} ({result[1]:.2f}–{result[2]:.2f})"
    return f"**{text}**" if result[0] >= best - 1e-9 else text


def board(
    rows: Sequence[dict[str, Any]], tasks: Sequence[str], methods: Sequence[str]
) -> tuple[list[list[str]], list[str]]:
    """One line a method, one column a task, and first the mean over tasks; the best in bold."""
    result: dict[str, dict[str, tuple[float, float, float]]] = {method: {} for method in methods}
    for method in methods:
        mine = [row for row in rows if row["method"] == method]
        for task in tasks:
            chosen = [row for row in mine if row["task"] == task]
            if chosen:
                result[method][task] = cell(chosen)
    best = {
        task: max(result[method][task][0] for method in methods if task in result[method])
        for task in tasks
    }
    means = {
        method: float(np.mean([result[method][task][0] for task in tasks]))
        for method in methods
        if len(result[method]) == len(tasks)
    }
    order = sorted(methods, key=lambda method: -means.get(method, -1.0))
    lines = [
        [
            f"`{method}`",
            f"{means[method]:.2f}" if method in means else "",
            *(
                shown(result[method][task], best[task]) if task in result[method] else ""
                for task in tasks
            ),
        ]
        for method in order
    ]
    return lines, order


def families(rows: Sequence[dict[str, Any]], methods: Sequence[str]) -> str:
    """The mean over the tasks that every family was trained on, family by family."""
    kinds = sorted({family_of(row["architecture"]) for row in rows})
    lines: list[list[str]] = []
    for method in methods:
        line = [f"`{method}`"]
        for kind in kinds:
            mine = [
                row
                for row in rows
                if row["method"] == method and family_of(row["architecture"]) == kind
            ]
            by_task = {row["task"]: [] for row in mine}
            for row in mine:
                by_task[row["task"]].append(row["ap"])
            line.append(f"{np.mean([np.mean(v) for v in by_task.values()]):.2f}" if by_task else "")
        lines.append(line)
    return table(lines, ["method", *kinds])


def page(data: dict[str, Any]) -> str:
    rows = unpacked(data)
    tasks = [name for name in TASKS if any(row["task"] == name for row in rows)]
    methods = sorted({row["method"] for row in rows})
    trained = [row for row in rows if not row["model"].startswith("embedded:")]
    lines, order = board(rows, tasks, methods)
    inputs = len({(row["model"], row["item"]) for row in rows})
    chance = {
        task: float(
            np.mean([row["ap"] for row in rows if (row["task"], row["method"]) == (task, "random")])
        )
        for task in tasks
    }
    about = "\n".join(
        f"- `{task}`: {TASKS[task].about} "
        f"{len({row['model'] for row in rows if row['task'] == task})} model(s), "
        f"{len({(row['model'], row['item']) for row in rows if row['task'] == task})} texts; "
        f"random scores reach {chance[task]:.2f}."
        for task in tasks
    )
    return f"""# Leaderboard: which methods find reasons that are known

Each text below was made by a rule, its model answers it correctly, and the words that decide it are known.
The table gives the **average precision** of each method's signed scores against these words (1: each of
them ranks above all others), averaged over texts, with the 95 % bootstrap interval over texts in brackets.
Ties are averaged over all their orders. Bold is the best of a column. Where any one word would suffice,
the value is 1 / rank of the first of them.

Measured {data["measured"][:10]}, {len({row["model"] for row in rows})} models, {inputs:,} texts,
{len(rows):,} explanations, every method with its defaults. Written by
`{data["command"]} && python -m benchmarks.leaderboard`; the models by `python examples/train_tasks.py`.

{table(lines, ["method", "mean of tasks", *tasks])}

## The tasks

{about}

## By family of model

Mean over the tasks that were trained for this page.

{families(trained, order)}

## How to read it

- The table says which methods find what a **small model that learned a known rule** relies on. The best
  method here need not be the best on your model; `whence.select` measures that.
- The models were trained with words hidden from half of their texts, so texts with missing words are not
  new to them. This favours methods that remove words.
- A model that answers correctly may rely on part of the reasons only. A text on which all methods do badly
  says something about the model, not about them.
- Scores without a sign (rollout, flow, norms) cannot separate what speaks for an answer from what speaks
  against it. In the planted tasks the tone of the sentence always speaks against.
- Some answers depend on combinations of words. A list of single words can then name the right words, and
  still not say how they combine.
"""


def main(argv: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PAGE)
    arguments = parser.parse_args(argv)
    if not arguments.results.is_file():
        sys.exit(f"no {arguments.results}; run python -m benchmarks.calibration first")
    data = json.loads(arguments.results.read_text())["data"]
    if data["columns"] != COLUMNS:
        sys.exit(f"{arguments.results} was written by another version; run the calibration again")
    arguments.out.write_text(page(data))
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main(sys.argv[1:])
