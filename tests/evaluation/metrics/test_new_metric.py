"""A new metric is one file: written here, it stands in every list and behind every door."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from benchmarks.faithfulness import metrics as benchmark_metrics
from tests.evaluation.instances import linear
from tools.docs_hooks import fill_lists
from typer.testing import CliRunner

import whence
import whence.evaluation.metrics as package
from whence.app.cli.main import app
from whence.core import OptionError
from whence.evaluation.metrics.registry import METRICS

FILE = '''
"""Largest share: how much of all scores the largest has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from whence.evaluation.metrics.base import Metric

__all__ = ["LargestShare"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LargestShare(Metric):
    """The largest score's share of the sum of all sizes.

    Sign: neither is better. No unit. Cost: none. When it misleads: always. Source: a test.

    Args:
        power: exponent of the sizes.

    Example:
        >>> LargestShare().power
        1.0
    """

    power: float = 1.0
    name: ClassVar[str] = "largest-share"
    direction: ClassVar[str] = "none"
    question: ClassVar[str] = "Does one word have it all?"
    rank: ClassVar[int] = 155

    def cost(self, n):
        return 0

    def measure(self, instance, scores):
        size = np.abs(self._checked(instance, scores)) ** self.power
        value = float(size.max() / size.sum())
        return self._measurement(instance, value, unit="share", n=instance.n)
'''


@pytest.fixture
def largest_share(tmp_path, monkeypatch):
    """The metric's file in a folder of its own, and everything as it was afterwards."""
    (tmp_path / "largest_share.py").write_text(FILE)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    METRICS.reload()
    yield METRICS["largest-share"]
    monkeypatch.undo()
    sys.modules.pop("whence.evaluation.metrics.largest_share")
    METRICS.reload()
    assert "largest-share" not in METRICS


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_metric_of_one_file_stands_in_every_list(largest_share, tmp_path):
    names = list(METRICS)
    assert names.index("entropy") < names.index("largest-share") < names.index("gini")
    # The battery of tests runs over the registry, and holds it to what it holds every metric to.
    with pytest.raises(OptionError, match="feature 1 is nan"):
        METRICS["largest-share"]().measure(linear([1.0, 2.0]), np.array([1.0, np.nan]))
    # Python.
    model = whence.load(lambda texts: [float("late" in t) for t in texts])
    e = whence.explain(model, "late again", method="leave-one-out", trust="off")
    assert whence.measure(model, e, ["largest-share"])[0].value == 1.0
    assert METRICS.make("LargestShare", {"power": 2.0}).power == 2.0
    # The catalogue and the command.
    assert any(row["name"] == "largest-share" for row in json.loads(run("metrics", "--json")))
    record = tmp_path / "kept.json"
    run(
        "explain",
        "-m",
        "embedded:credit",
        "-f",
        "json",
        "-o",
        record,
        "--trust",
        "off",
        "No debts.",
    )
    found = json.loads(
        run("evaluate", record, "-m", "embedded:credit", "--metric", "largest-share", "-f", "json")
    )
    assert found[0]["specification"]["options"]["power"] == 1.0
    # The reference page and the rows of the benchmark.
    line = "::: whence.evaluation.metrics.largest_share.LargestShare"
    assert line in fill_lists("<!-- members of whence.evaluation.metrics.registry.METRICS -->")
    assert "largest-share" in [metric.name for metric in benchmark_metrics()]
