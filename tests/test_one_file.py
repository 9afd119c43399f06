"""A new method, masker or segmenter is one file: it is found everywhere without another edit."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from tools.docs_hooks import fill_lists
from typer.testing import CliRunner

import whence
from whence.app.cli.main import app
from whence.attribution import METHODS
from whence.games import MASKERS, SEGMENTERS

ROOT = Path(__file__).parents[1]
METHOD = '''
"""Coin flips: what a feature adds on average, from coalitions drawn by fair coins."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from whence.attribution.method import Estimate, GameMethod

__all__ = ["CoinFlips"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CoinFlips(GameMethod):
    """Mean value with a feature minus mean value without it, over random coalitions."""

    quantity: ClassVar[str] = "Banzhaf value"
    rank: ClassVar[int] = 35
    honesty: float = 1.0

    def least(self, n):
        return 30

    def default_budget(self, n):
        return 400

    def estimate(self, game, *, budget, seed):
        n = game.n
        ends = game(np.stack([np.ones(n, dtype=bool), np.zeros(n, dtype=bool)]))
        rows = np.random.default_rng(seed).random((budget - 2, n)) < 0.5
        values = game(rows)
        scores, errors = np.zeros((n, game.k)), np.zeros((n, game.k))
        for i in range(n):
            there, gone = values[rows[:, i]], values[~rows[:, i]]
            scores[i] = there.mean(axis=0) - gone.mean(axis=0)
            errors[i] = np.sqrt(
                there.var(axis=0, ddof=1) / len(there) + gone.var(axis=0, ddof=1) / len(gone)
            )
        return Estimate(
            scores=scores, values=ends[0], base_values=ends[1], std_errors=errors * self.honesty
        )
'''
MASKER = '''
"""Absent tokens become the unknown token."""

from dataclasses import dataclass
from typing import ClassVar

from whence.games.maskers.base import Masker
from whence.games.maskers.substitution import substitute

__all__ = ["UnknownToken"]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownToken(Masker):
    """Each absent token becomes the unknown token."""

    name: ClassVar[str] = "unknown-token"
    describes: ClassVar[str] = "each token of an absent feature is replaced by the unknown token"

    def bind(self, model, encoding, tokens):
        return substitute(encoding, tokens, model.vocabulary.unknown_id)
'''
SEGMENTER = '''
"""Features that end at commas."""

from dataclasses import dataclass
from typing import ClassVar

from whence.games.segmenters.base import Segmenter
from whence.games.segmenters.boundaries import nonblank_spans

__all__ = ["Clauses"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Clauses(Segmenter):
    """Stretches of text up to a comma."""

    unit: ClassVar[str] = "clause"

    def _spans(self, document, part, encoding):
        text = document.text
        commas = [i + 1 for i in range(part.start, part.end) if text[i] == ","]
        return nonblank_spans(text, [part.start, *commas, part.end])
'''


@pytest.fixture
def added(tmp_path):
    """Put a file into a folder that a package reads as its own; everything is as before after."""
    packages, registries, names = [], [], []

    def add(package, registry, file, source):
        module = importlib.import_module(package)
        (tmp_path / f"{file}.py").write_text(textwrap.dedent(source).lstrip())
        module.__path__.append(str(tmp_path))
        packages.append(module)
        registries.append(registry)
        names.append(f"{package}.{file}")
        importlib.invalidate_caches()
        registry.reload()

    yield add
    for module in packages:
        module.__path__.remove(str(tmp_path))
    for name in names:
        sys.modules.pop(name, None)
    for name in ("CoinFlips", "UnknownToken", "Clauses"):
        vars(whence).pop(name, None)
    for registry in registries:
        registry.reload()


def run(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def explained(*options):
    text = "She has missed 3 payments, and owes rent, again."
    return json.loads(
        run(
            "explain",
            "--model",
            "embedded:credit",
            *options,
            "--trust",
            "off",
            "--format",
            "json",
            text,
        )
    )


def battery():
    """The conformance battery, read anew as pytest reads it."""
    path = ROOT / "tests/attribution/test_conformance.py"
    spec = importlib.util.spec_from_file_location("battery_read_anew", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_method(added):
    assert "CoinFlips" not in METHODS
    added("whence.attribution.perturbation", METHODS, "coin_flips", METHOD)
    assert "CoinFlips" in whence.__all__
    assert whence.CoinFlips is METHODS["CoinFlips"]
    place = list(METHODS).index("CoinFlips")
    ranks = [kind.rank for kind in METHODS.values()]
    assert ranks[place - 1] <= 35 <= ranks[place + 1]
    rows = json.loads(run("methods", "--json"))
    assert {"slug": "coin-flips", "options": {"honesty": 1.0}}.items() <= rows[place].items()
    record = explained("--method", "coin-flips", "--option", "honesty=2")
    assert record["provenance"]["method"] == {"name": "CoinFlips", "options": {"honesty": 2.0}}
    page = fill_lists((ROOT / "docs/reference/methods.md").read_text("utf-8"))
    assert "::: whence.attribution.perturbation.coin_flips.CoinFlips\n" in page

    tests = battery()
    assert "CoinFlips" in tests.test_conformance.pytestmark[1].args[1]
    tests.test_conformance("bert", "CoinFlips")
    assert tests.repeated_always("bert", "CoinFlips")
    assert "CoinFlips-pad" in [case.id for case in tests.known_answers()]
    tests.test_known_answer_on_a_linear_model("CoinFlips", "pad")


def test_the_battery_judges_a_sampled_method_by_its_own_errors(added):
    added("whence.attribution.perturbation", METHODS, "coin_flips", METHOD)
    tests = battery()
    result, expected = tests.answer_on_linear_model("CoinFlips")
    assert not np.allclose(result.scores[:, 0], expected, atol=2e-4)
    assert tests.agrees(result, expected)
    result, expected = tests.answer_on_linear_model(whence.CoinFlips(honesty=0.1))
    assert not tests.agrees(result, expected)


def test_a_masker(added):
    added("whence.games.maskers", MASKERS, "unknown_token", MASKER)
    assert "UnknownToken" in whence.__all__
    assert whence.UnknownToken is MASKERS["unknown-token"]
    record = explained("--masker", "unknown-token", "--method", "leave-one-out")
    assert record["provenance"]["masker"]["name"] == "UnknownToken"
    assert "| `unknown-token` |" in fill_lists((ROOT / "docs/explanation/absence.md").read_text())
    page = fill_lists((ROOT / "docs/reference/games.md").read_text("utf-8"))
    assert "::: whence.games.maskers.unknown_token.UnknownToken\n" in page + "\n"


def test_a_segmenter(added):
    added("whence.games.segmenters", SEGMENTERS, "clauses", SEGMENTER)
    assert "Clauses" in whence.__all__
    assert whence.Clauses is SEGMENTERS["clause"]
    record = explained("--unit", "clause")
    features = record["segmentation"]["features"]
    assert [f["text"] for f in features] == [
        "She has missed 3 payments,",
        "and owes rent,",
        "again.",
    ]
    page = fill_lists((ROOT / "docs/reference/games.md").read_text("utf-8"))
    assert "::: whence.games.segmenters.clauses.Clauses\n" in page


@pytest.mark.parametrize("registry", [METHODS, MASKERS, SEGMENTERS], ids=lambda r: r.kind)
def test_names_read_from_files_are_the_classes_in_them(registry):
    """``whence.__all__`` is read from file names, the registries from the files' contents."""
    from whence._class_files import class_files

    names = class_files(registry.packages)
    assert set(names) == {cls.__name__ for cls in registry.values()}
    for cls in registry.values():
        assert names[cls.__name__] == cls.__module__
        assert getattr(whence, cls.__name__) is cls
