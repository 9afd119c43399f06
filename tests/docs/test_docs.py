"""Every block of the documentation runs; everything that exists is documented."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whence.app.cli.main import app
from whence.attribution import METHODS
from whence.core.errors import __all__ as errors
from whence.evaluation.metrics.registry import METRICS
from whence.evaluation.metrics.plausibility import PLAUSIBILITY
from whence.games import MASKERS, SEGMENTERS
from whence.students.families.registry import FAMILIES

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"text": "Missed 4 payments."}, {"text": "Never missed a payment."}]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    space = {"__name__": "__main__"}
    for language, block in BLOCK.findall(page.read_text("utf-8")):
        if language == "python":
            exec(compile(block, str(page), "exec"), space)
        elif language == "console":
            for line in block.splitlines():
                if line.startswith("$ whence"):
                    result = CliRunner().invoke(app, shlex.split(line)[2:])
                    assert result.exit_code == 0, result.output


def test_readme_begins_with_the_two_commands():
    first = BLOCK.search((ROOT / "README.md").read_text("utf-8")) or re.search(
        r"```\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.index("make demo") < text.index("make test") < text.index("import whence")
    assert first


def test_everything_is_documented():
    methods = (ROOT / "docs/reference/methods.md").read_text("utf-8")
    for name in METHODS:
        assert f".{name}\n" in methods
    metrics = (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    for kind in (*METRICS.values(), *PLAUSIBILITY.values()):
        assert f"::: {kind.__module__}.{kind.__name__}\n" in metrics
    students = (ROOT / "docs/reference/students.md").read_text("utf-8")
    for kind in FAMILIES.values():
        assert f"::: {kind.__module__}.{kind.__name__}\n" in students
    commands = (ROOT / "docs/reference/command-line.md").read_text("utf-8")
    for command in app.registered_commands:
        assert f"`whence {command.callback.__name__}`" in commands
    absence = (ROOT / "docs/explanation/absence.md").read_text("utf-8")
    for name in MASKERS:
        assert f"`{name}`" in absence
    explain_doc = (ROOT / "src/whence/workflows/explain.py").read_text("utf-8")
    for unit in SEGMENTERS:
        assert unit in explain_doc
    assert len(errors) > 10


def test_every_reported_defect_names_a_test_of_ours():
    page = (ROOT / "docs/explanation/what-would-have-been-caught.md").read_text("utf-8")
    tests = "".join(
        path.read_text("utf-8") for path in (ROOT / "tests/evaluation").glob("test_*.py")
    )
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) >= 18
    for name in named:
        assert f"def {name}(" in tests


def test_contributing_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()) < 60
