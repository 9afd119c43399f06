"""Measurements as text: one explanation's, methods side by side, and the choice among them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from whence.app.shared.formatting import visible
from whence.core.measurements import Measurement
from whence.core.selection import Selection
from whence.workflows.select import Comparison

__all__ = ["comparison_text", "measurements_text", "selection_text"]

BETTER = {"higher": "more is better", "lower": "less is better", "none": "no direction"}


def measurements_text(measurements: Sequence[Measurement]) -> str:
    """A table of measurements: value, interval, unit, what chance gives, the best found."""
    table = _table("metric", "value", "95 %", "unit", "chance", "best", "n", "")
    for m in measurements:
        table.add_row(
            visible(m.name),
            _number(m.value),
            "exact" if m.interval is None else f"{m.interval.low:.3g} to {m.interval.high:.3g}",
            visible(m.unit),
            "" if m.random is None else _number(m.random),
            "" if m.best is None else _number(m.best),
            f"{m.n:,}",
            BETTER[m.direction],
        )
    return _plain(table)


def comparison_text(comparison: Comparison) -> str:
    """Methods as rows, metrics as columns, the most faithful first."""
    names = sorted(
        comparison.measurements, key=lambda name: -comparison.measurements[name][0].value
    )
    if not names:
        return "\n".join(f"{name}: {why}" for name, why in comparison.failed.items()) + "\n"
    first = comparison.measurements[names[0]]
    table = _table("method", *(f"{m.name} [{m.unit}]" for m in first), "p", "evaluations")
    for name in names:
        cost = comparison.explanations[name].provenance.cost
        table.add_row(
            visible(name),
            *(_with_interval(m) for m in comparison.measurements[name]),
            f"{comparison.p_values[name]:.2g}",
            f"{cost.evaluations + cost.gradient_evaluations:,}",
        )
    lines = [_plain(table).rstrip("\n"), ""]
    directions = ", ".join(f"{m.name}: {BETTER[m.direction]}" for m in first)
    lines.append(f"{directions}; p: permutation p, the share of shuffled scores that do as well.")
    lines.append(
        f"Judged on the same {len(comparison.instance.pool)} masks: {comparison.judging:,} evaluations, "
        "beside the methods' own."
    )
    lines += [
        f"not tried: {visible(name)}: {visible(why)}" for name, why in comparison.failed.items()
    ]
    return "\n".join(lines) + "\n"


def selection_text(selection: Selection) -> str:
    """Candidates as rows, and the choice in a sentence."""
    table = _table(
        "method",
        "pool fidelity",
        "95 %",
        "beats chance",
        "comprehensiveness",
        "sufficiency",
        "cost",
    )
    for candidate in selection.candidates:
        interval = candidate.interval
        table.add_row(
            visible(candidate.name) + (" *" if candidate.name == selection.chosen else ""),
            f"{candidate.fidelity:.3f}",
            "" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}",
            f"{100 * candidate.significant:.0f} %",
            f"{candidate.comprehensiveness:.3f}",
            f"{candidate.sufficiency:.3f}",
            f"{candidate.evaluations:,.0f}",
        )
    return (
        f"{_plain(table)}\n* {visible(selection.why)}\n"
        f"{selection.texts} texts, {selection.pool} masks each; {selection.cost.evaluations:,} evaluations and "
        f"{selection.cost.gradient_evaluations:,} passes with gradients in {selection.cost.seconds:,.1f} s.\n"
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(Text(visible(column), style="bold"), overflow="fold", no_wrap=index == 0)
    return table


def _number(value: float) -> str:
    return f"{value:.3g}"


def _with_interval(measurement: Measurement) -> str:
    if measurement.interval is None:
        return _number(measurement.value)
    return f"{measurement.value:.2f} ({measurement.interval.low:.2f} to {measurement.interval.high:.2f})"


def _plain(shown: RenderableType, width: int = 120) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, force_terminal=False).print(shown)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"
