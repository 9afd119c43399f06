"""How large are the effects of a classifier that has learned nothing, and what does its label say?

    python -m benchmarks.random_weights MODEL_FOLDER

Classifiers of a given shape (its configuration and tokenizer) with random parameters are explained, and
their labels counted. None may be better than "do not use": there is nothing to explain.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

import whence
from benchmarks.common import store, table

TEXTS = (
    "The film is a delight from start to finish.",
    "A dull and lifeless story that never finds its way.",
    "I did not expect to enjoy this as much as I did.",
    "The rent was late again and the landlord wrote to the bank.",
)
METHODS = ("leave-one-out", "kernel-shap")


def judged(folder: Path, seed: int, level: str) -> list[tuple[str, str, float, float]]:
    """Method, grade, effect and fidelity of each explanation of one classifier of random parameters."""
    torch.manual_seed(seed)
    module: Any = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder))
    rows: list[tuple[str, str, float, float]] = []
    with tempfile.TemporaryDirectory() as place:
        module.save_pretrained(place)
        AutoTokenizer.from_pretrained(folder).save_pretrained(place)
        model = whence.load(place)
        for text in TEXTS:
            for method in METHODS:
                label = whence.explain(model, text, method=method, trust=level).trust
                assert label is not None
                effect, fidelity = (label.measurement(name) for name in ("effect", "pool-fidelity"))
                assert effect is not None
                assert fidelity is not None
                rows.append((method, label.grade, effect.value, fidelity.value))
    return rows


def main(argv: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--level", default="quick")
    arguments = parser.parse_args(argv)
    folder, level = arguments.folder, arguments.level
    rows = [row for seed in range(arguments.seeds) for row in judged(folder, seed, level)]
    lines: list[list[object]] = []
    for method in METHODS:
        mine = [row for row in rows if row[0] == method]
        effects, fidelities = (sorted(row[i] for row in mine) for i in (2, 3))
        grades = Counter(row[1] for row in mine)
        lines.append(
            [
                method,
                len(mine),
                f"{effects[len(mine) // 2]:.3f}",
                f"{effects[-1]:.3f}",
                f"{fidelities[len(mine) // 2]:.2f}",
                ", ".join(f"{grade} {count}" for grade, count in sorted(grades.items())),
            ]
        )
    text = (
        f"{arguments.seeds} classifiers of the shape of {folder.name} with random parameters, "
        f"{len(TEXTS)} sentences each, labels of level {level}, effects in nat.\n\n"
    ) + table(lines, ["method", "labels", "median effect", "largest", "median fidelity", "grades"])
    data = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.random_weights", *argv]),
        "rows": rows,
    }
    store(
        "random_weights", "What does a label say of a model that has learned nothing?", text, data
    )


if __name__ == "__main__":
    main(sys.argv[1:])
