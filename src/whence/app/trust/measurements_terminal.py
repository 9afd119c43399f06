"""Measurements as text: one explanation's, methods side by side, and the choice among them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from whence.app.shared.formatting import visible
from whence.app.trust.measurement_tables import (
    BETTER,
    TableView,
    comparison_table,
    selection_table,
    short,
)
from whence.core.measurements import Measurement
from whence.core.selection import Selection
from whence.workflows.select import Comparison

__all__ = ["comparison_text", "measurements_text", "selection_text"]


def measurements_text(measurements: Sequence[Measurement]) -> str:
    """A table of measurements: value, interval, unit, what chance gives, the best found."""
    table = _table("metric", "value", "95 %", "unit", "chance", "best", "n", "")
    for m in measurements:
        table.add_row(
            visible(m.name),
            short(m.value),
            "exact" if m.interval is None else f"{m.interval.low:.3g} to {m.interval.high:.3g}",
            visible(m.unit),
            "" if m.random is None else short(m.random),
            "" if m.best is None else short(m.best),
            f"{m.n:,}",
            BETTER[m.direction],
        )
    return _plain(table)


def comparison_text(comparison: Comparison) -> str:
    """Methods as rows, metrics as columns, the most faithful first."""
    return _text(comparison_table(comparison))


def selection_text(selection: Selection) -> str:
    """Candidates as rows, and the choice in a sentence."""
    return _text(selection_table(selection))


def _text(view: TableView) -> str:
    table = _table(*view.columns)
    for row in view.rows:
        table.add_row(*row)
    return (
        "\n".join([_plain(table), *view.notes]) + "\n"
        if view.rows
        else "\n".join(view.notes) + "\n"
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(Text(visible(column), style="bold"), overflow="fold", no_wrap=index == 0)
    return table


def _plain(shown: RenderableType, width: int = 120) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, force_terminal=False).print(shown)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"
