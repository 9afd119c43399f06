"""Every block of the documentation runs; everything that exists is documented."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from tools.docs_hooks import fill_lists
from typer.testing import CliRunner

from whence.app.cli.main import app
from whence.attribution import METHODS
from whence.core.errors import __all__ as errors
from whence.evaluation.metrics.registry import METRICS
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
            exec(compile(block, str(page), "exec", dont_inherit=True), space)
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
    methods = fill_lists((ROOT / "docs/reference/methods.md").read_text("utf-8"))
    for name in METHODS:
        assert f".{name}\n" in methods
    metrics = fill_lists((ROOT / "docs/reference/metrics.md").read_text("utf-8"))
    for kind in METRICS.values():
        assert f"::: {kind.__module__}.{kind.__name__}\n" in metrics
    students = (ROOT / "docs/reference/students.md").read_text("utf-8")
    for kind in FAMILIES.values():
        assert f"::: {kind.__module__}.{kind.__name__}\n" in students
    commands = (ROOT / "docs/reference/command-line.md").read_text("utf-8")
    for command in app.registered_commands:
        assert f"`whence {command.callback.__name__}`" in commands
    absence = fill_lists((ROOT / "docs/explanation/absence.md").read_text("utf-8"))
    games = fill_lists((ROOT / "docs/reference/games.md").read_text("utf-8"))
    for name, masker in MASKERS.items():
        assert f"| `{name}` |" in absence
        assert f".{masker.__name__}\n" in games
    units = (ROOT / "docs/how-to/choose-a-unit.md").read_text("utf-8")
    for unit, segmenter in SEGMENTERS.items():
        assert f".{segmenter.__name__}\n" in games
        assert f"| `{unit}` |" in units
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


def test_the_index_links_every_page():
    index = (ROOT / "docs/index.md").read_text("utf-8")
    linked = set(re.findall(r"\]\(([\w/.-]+\.md)\)", index))
    pages = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert linked == pages - {"index.md"}


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8"))
    pages = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert set(listed) - {"images/README.md"} == pages


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120


def test_the_glossary_gives_each_word_one_meaning():
    """Sixty words or more, in alphabetical order, none twice, each used on the page it names."""
    page = ROOT / "docs/reference/glossary.md"
    lines = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]
    words = [row[0] for row in rows]
    assert len(words) >= 60
    assert words == sorted(words, key=str.casefold)
    assert len({word.casefold() for word in words}) == len(words)
    for word, meaning, term, link in rows:
        assert meaning.endswith(".")
        assert term
        target = page.parent / re.fullmatch(r"\[[^\]]+\]\(([^)]+)\)", link).group(1)
        text = " ".join(target.read_text("utf-8").casefold().replace("-", " ").split())
        assert word.split(" (")[0].replace("-", " ") in text, f"{word} is not used on {target.name}"


def test_every_behaviour_of_other_libraries_is_held_by_a_test():
    page = (ROOT / "docs/reference/ecosystem.md").read_text("utf-8")
    rows = [
        line for line in page.splitlines() if line.startswith("| ") and "| behaviour" not in line
    ]
    assert len(rows) >= 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for path, test in named:
            assert f"def {test}(" in (ROOT / path).read_text("utf-8"), test
        _, source, *_ = row.strip("| ").split(" | ")
        finding = re.fullmatch(r"`([\w-]+)`", source)
        assert finding is None or (ROOT / "findings" / f"{finding.group(1)}.sh").is_file(), source
        assert finding is not None or "](https://" in source, row


def test_contributing_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()) < 60
