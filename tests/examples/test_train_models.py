"""The training script from end to end, small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.asking import explain

import whence

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_quick_run_makes_models_that_load(tmp_path):
    command = [sys.executable, "-W", "ignore", "examples/train_models.py", "--quick"]
    subprocess.run([*command, "--out", str(tmp_path)], cwd=ROOT, check=True, timeout=900)
    for name in ("health", "credit", "credit-shortcut", "law", "decider"):
        card = json.loads((tmp_path / name / "card.json").read_text())
        assert card["measured"]["accuracy"]["n"] > 0
        explain(whence.load(tmp_path / name), "No court judgment is recorded.", budget=40)


def test_a_quick_run_does_not_overwrite_what_ships():
    command = [sys.executable, "examples/train_models.py", "--quick"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert found.returncode == 2
    assert "overwrite" in found.stderr
