"""The benchmark's arithmetic on made-up rows, where what it must find is known."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import leaderboard
from benchmarks.calibration import (
    COLUMNS,
    held_out_tasks,
    least_fidelity,
    summary,
    thresholds,
    within,
)


def rows(truth_counts: float, *, inputs: int = 200, seed: int = 0) -> list[list[object]]:
    """Explanations whose fidelity follows their average precision as far as is said."""
    rng = np.random.default_rng(seed)
    found: list[list[object]] = []
    for item in range(inputs):
        for method in ("kernel-shap", "lime", "rollout", "leave-one-out", "random"):
            ap = float(rng.random())
            fidelity = truth_counts * ap + (1 - truth_counts) * float(rng.random())
            values = {
                "model": "tone/bert-0",
                "task": "tone",
                "architecture": "BertForSequenceClassification",
                "method": method,
                "item": item,
                "level": "default",
                "fidelity": fidelity,
                "p": float(rng.random()) if method == "random" else 0.001,
                "share": 0.9,
                "chance": True,
                "additive": True,
                "comp": fidelity,
                "suff": -fidelity,
                "ap": ap,
                "pk": float(ap > 0.5),
                "k": 1,
                "n": 10,
            }
            found.append([values[key] for key in COLUMNS])
    return found


def test_agreement_within_inputs():
    assert np.mean(within(rows(1.0), "fidelity")) == pytest.approx(1.0)
    assert np.mean(within(rows(1.0), "suff")) == pytest.approx(-1.0)
    assert abs(np.mean(within(rows(0.0), "fidelity"))) < 0.15


def test_thresholds_hold_the_risk_and_grant_what_they_can():
    told = thresholds(rows(1.0))[0]
    assert told["family"] == "Bert"
    assert told["fidelity"] < 0.5
    assert told["wrong"] <= 0.15
    assert told["granted"] > 0.3
    untold = thresholds(rows(0.0))[0]
    # A fidelity that tells nothing grants little: its grade A is wrong half of the time.
    assert untold["granted"] < 0.25
    assert untold["granted"] * untold["wrong"] <= 0.1


def test_inputs_count_once_and_a_task_may_be_held_out():
    made = rows(0.5, inputs=30)
    # Five copies of every explanation of an input tell nothing new.
    assert least_fidelity(made * 5) == least_fidelity(made)
    assert least_fidelity(made[:5]) is None
    other = [[*row] for row in rows(0.0, inputs=30, seed=1)]
    for row in other:
        row[COLUMNS.index("task")] = "counting"
    found = held_out_tasks([*made, *other])
    assert {row["task"] for row in found} == {"tone", "counting"}


def test_the_summary_counts_what_random_scores_pass():
    judged = {"tone/bert-0": {"rows": rows(0.5), "doses": [[0.9, 0.6, 0.3, 0.1, 0.0]] * 3}}
    found = summary(judged)
    assert found["random scores"]["n"] == 200
    assert found["random scores"]["p at most 0.05"] < 0.12
    assert found["dose"]["monotone"] == 1.0
    assert found["by task"]["tone"]["n"] == 200


def test_the_page_lists_every_method_and_marks_the_best():
    made = rows(1.0, inputs=20)
    for row in made:
        row[COLUMNS.index("ap")] = 1.0 if row[COLUMNS.index("method")] == "lime" else 0.2
    names = {
        key: sorted({row[COLUMNS.index(key)] for row in made})
        for key in ("model", "task", "architecture", "method", "level")
    }
    packed = [
        [
            names[key].index(value) if key in names else value
            for key, value in zip(COLUMNS, row, strict=True)
        ]
        for row in made
    ]
    page = leaderboard.page(
        {
            "measured": "2000-01-01T00:00:00",
            "command": "made up",
            "names": names,
            "columns": COLUMNS,
            "rows": packed,
        }
    )
    assert "| `lime` | 1.00 | **1.00 (1.00–1.00)** |" in page
    assert page.index("`lime`") < page.index("`rollout`")
    assert "Measured 2000-01-01, 1 models, 20 texts,\n100 explanations" in page
