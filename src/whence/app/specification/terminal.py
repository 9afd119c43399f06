"""A specification curve as text: the findings, and the shares for each value of each setting."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from whence.app.shared.formatting import visible
from whence.app.specification.wording import (
    MEANING,
    SETTING_NAMES,
    by_share,
    facts,
    failed_lines,
    headline,
    value_name,
)
from whence.core.specification_curve import SpecificationCurve

__all__ = ["plain_text"]

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH = 60


def plain_text(curve: SpecificationCurve) -> str:
    """The curve as text of 100 columns without colour codes."""
    out = Console(file=io.StringIO(), width=100, no_color=True, highlight=False)
    out.print(
        f"Specification curve of “{visible(curve.reason.text)}” for “{visible(curve.output.name)}”"
    )
    out.print(headline(curve), markup=False)
    if curve.ran:
        out.print()
        out.print(_strip(curve), markup=False)
        out.print()
        out.print(_settings(curve))
    for line in (*MEANING, *failed_lines(curve)):
        out.print(line, markup=False)
    out.print()
    grid = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in facts(curve):
        grid.add_row(name, value)
    out.print(grid)
    stream = out.file
    assert isinstance(stream, io.StringIO)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _strip(curve: SpecificationCurve) -> str:
    """The reason's share of all scores over the specifications, from the lowest to the highest."""
    shares = [item.share or 0.0 for item in by_share(curve)]
    columns = min(WIDTH, len(shares))
    places = [shares[index * len(shares) // columns] for index in range(columns)]
    bars = "".join(BLOCKS[round(8 * max(0.0, share))] for share in places)
    return f"share of all scores  {shares[0]:+.2f} {bars} {shares[-1]:+.2f}"


def _settings(curve: SpecificationCurve) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("setting")
    table.add_column("value")
    for name in ("highest", "sign", "verdict"):
        table.add_column(name, justify="right")
    last = None
    for setting, value, kept in curve.by_choice():
        shown = "" if setting == last else SETTING_NAMES.get(setting, setting)
        last = setting
        table.add_row(shown, visible(value_name(setting, value)), *map(str, kept.values()))
    return table
