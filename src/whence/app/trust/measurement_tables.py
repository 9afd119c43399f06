"""Methods side by side, and the choice among them, as rows that every view shows."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields

from whence.app.shared.formatting import visible
from whence.attribution.method import Method
from whence.attribution.registry import METHODS
from whence.core.errors import OptionError
from whence.core.measurements import Measurement
from whence.core.provenance import MethodSpec
from whence.core.registry import slug
from whence.core.selection import Selection
from whence.games.segmenters import SEGMENTERS
from whence.workflows.select import Comparison, single_method

__all__ = ["BETTER", "TableView", "comparison_table", "selection_table", "short"]

BETTER = {"higher": "more is better", "lower": "less is better", "none": "no direction"}


@dataclass(frozen=True, slots=True)
class TableView:
    """A table to be shown: names of the columns, cells by row, and sentences below them."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def comparison_table(comparison: Comparison) -> TableView:
    """Methods as rows, metrics as columns, the most faithful first."""
    names = sorted(
        comparison.measurements, key=lambda name: -comparison.measurements[name][0].value
    )
    failed = tuple(
        f"not tried: {visible(name)}: {visible(why)}" for name, why in comparison.failed.items()
    )
    if not names:
        return TableView("Methods side by side", (), (), failed)
    first = comparison.measurements[names[0]]
    rows = tuple(
        (
            visible(name),
            *map(_with_interval, comparison.measurements[name]),
            f"{comparison.p_values[name]:.2g}",
            _cost(comparison, name),
        )
        for name in names
    )
    directions = ", ".join(f"{m.name}: {BETTER[m.direction]}" for m in first)
    return TableView(
        "Methods side by side",
        ("method", *(f"{m.name} [{m.unit}]" for m in first), "p", "evaluations"),
        rows,
        (
            f"{directions}; p: permutation p, the share of shuffled scores that do as well.",
            f"Judged on the same {len(comparison.instance.pool)} masks: {comparison.judging:,} "
            "evaluations, beside the methods' own.",
            *failed,
        ),
    )


def selection_table(selection: Selection) -> TableView:
    """Candidates as rows, the choice in a sentence, and the command that explains by it."""
    rows = tuple(
        (
            visible(candidate.name) + (" *" if candidate.name == selection.chosen else ""),
            f"{candidate.fidelity:.3f}",
            ""
            if candidate.interval is None
            else f"{candidate.interval.low:.3f} to {candidate.interval.high:.3f}",
            f"{100 * candidate.significant:.0f} %",
            f"{candidate.comprehensiveness:.3f}",
            f"{candidate.sufficiency:.3f}",
            f"{candidate.evaluations:,.0f}",
        )
        for candidate in selection.candidates
    )
    cost = selection.cost
    return TableView(
        "Choice of a method",
        (
            "method",
            "pool fidelity",
            "95 %",
            "beats chance",
            "comprehensiveness",
            "sufficiency",
            "cost",
        ),
        rows,
        (
            f"* {visible(selection.why)}",
            f"{selection.texts} texts, {selection.pool} masks each; {cost.evaluations:,} evaluations and "
            f"{cost.gradient_evaluations:,} passes with gradients in {cost.seconds:,.1f} s.",
            *(
                f"text {number} was left out: {visible(why)}"
                for number, why in selection.skipped.items()
            ),
            f"To explain by it: {visible(_use(selection))}",
        ),
    )


def _use(selection: Selection) -> str:
    """How a text is explained by the chosen method."""
    elsewhere = "whence.explain(model, text, method=selection) with the same unit and masker"
    name = single_method(selection)[0]
    spec = next(c.method for c in selection.candidates if c.name == name)
    try:
        unit = SEGMENTERS.find(selection.segmenter.name)
        options = _settings(METHODS.find(spec.name), spec)
    # A class of the caller's own has no name on the command line.
    except OptionError:
        return elsewhere
    plain = not selection.segmenter.options or MethodSpec.of(unit()) == selection.segmenter
    if not plain or selection.model.ref.startswith("callable:"):
        return elsewhere
    words = ["whence", "explain", "--model", selection.model.ref, "--method", slug(spec.name)]
    words += [word for key, value in options.items() for word in ("--option", f"{key}={value}")]
    words += [] if unit.unit == "word" else ["--unit", unit.unit]
    return shlex.join([*words, "TEXT"])


def _settings(kind: type[Method], spec: MethodSpec) -> dict[str, object]:
    """The options of a method that are not its own defaults."""
    defaults = {field.name: field.default for field in fields(kind)}
    return {k: v for k, v in spec.options.items() if v != defaults.get(k)}


def short(value: float) -> str:
    """Three digits, as in a table of measurements."""
    return f"{value:.3g}"


def _with_interval(measurement: Measurement) -> str:
    if measurement.interval is None:
        return short(measurement.value)
    return f"{measurement.value:.2f} ({measurement.interval.low:.2f} to {measurement.interval.high:.2f})"


def _cost(comparison: Comparison, name: str) -> str:
    cost = comparison.explanations[name].provenance.cost
    return f"{cost.evaluations + cost.gradient_evaluations:,}"
