"""Edits, rules and interactions in a terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from whence.app.decisions.sheet import sheet_of

__all__ = ["plain_text", "render"]

# Signs beside the style, for terminals and files without colours.
_SIGNS = {"": ("", ""), "del": ("[-", "-]"), "ins": ("{+", "+}"), "mark": ("[", "]")}
_STYLES = {"": "", "del": "strike red", "ins": "bold green", "mark": "bold underline"}


def render(record: Any, console: Console) -> None:
    """Print a counterfactual, a rule or interactions."""
    sheet = sheet_of(record)
    text = Text()
    for piece in sheet.pieces:
        left, right = _SIGNS[piece.kind]
        text.append(f"{left}{piece.text}{right}", style=_STYLES[piece.kind])
    body: list[RenderableType] = [
        Text(sheet.title, style="bold"),
        Text(sheet.sentence),
        Text(""),
        Padding(text, (0, 2)),
        Text(""),
    ]
    if sheet.rows:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for place, column in enumerate(sheet.columns):
            table.add_column(column, justify="left" if place == 0 else "right", overflow="fold")
        for row in sheet.rows:
            table.add_row(*map(Text, row))
        body += [table, Text("")]
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, fact in sheet.facts:
        facts.add_row(name, Text(fact))
    console.print(Group(*body, facts))


def plain_text(record: Any, *, width: int = 100) -> str:
    """The record as text without colour codes; what ``str`` of it gives."""
    stream = io.StringIO()
    render(record, Console(file=stream, width=width, color_system=None, legacy_windows=False))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())
