"""A distillation in a terminal: verdict first, then the student, its price, its certificate."""

from __future__ import annotations

import io

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from whence.app.distill.certificate import certificate_groups
from whence.app.distill.rows import Group as Rows
from whence.app.distill.rows import flip_rows
from whence.app.distill.terminal_chart import PLOT_HEIGHT, frontier_plot, keys
from whence.app.distill.wording import (
    MARKS,
    answering_sentence,
    bound,
    control_name,
    curve_sentence,
    decimal,
    prices,
    region_lines,
    region_mark,
    share,
    verdict_sentence,
)
from whence.app.shared.formatting import visible
from whence.app.trust.terminal import STYLES
from whence.students.result import Distilled

__all__ = ["SHORT", "plain_text", "render", "verdict_lines"]

SHORT, FIRST = 40, 16
"""Lines up to which a student is printed whole, and those that are printed of a longer one."""

NARROW = 80
"""Columns below which tables leave out what can be spared."""


def render(found: Distilled, console: Console) -> None:
    """Print a distillation, as wide as the console."""
    console.print(verdict_lines(found))
    for title, shown in _sections(found, console.width):
        console.print()
        console.print(Text(title, style="bold"))
        console.print(Padding(shown, (0, 0, 0, 2)))


def plain_text(found: Distilled, *, width: int = 100) -> str:
    """The same as text without colour codes; what ``str`` of it gives."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    render(found, console)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def verdict_lines(found: Distilled) -> RenderableType:
    """The mark, what it means in one sentence, and the number that decided."""
    own = found.certificate
    mark = MARKS[own.verdict]
    return Group(
        Text(f"{mark.symbol} {mark.word}", style=f"bold {STYLES[mark.state]}"),
        Padding(Text(verdict_sentence(own)), (0, 0, 0, 2)),
        Padding(Text(f"Decided by: {visible(own.because)}.", style="dim"), (0, 0, 0, 2)),
    )


def _sections(found: Distilled, width: int) -> list[tuple[str, RenderableType]]:
    cost = found.student.reading_cost
    own = found.certificate
    sections: list[tuple[str, RenderableType]] = [
        (
            f"The student {visible(found.chosen)}: {cost.words:,} words and {cost.numbers:,} "
            "numbers to read",
            _student(found),
        ),
        (
            "What reading more would buy",
            Group(
                Text(frontier_plot(found.frontier, found.chosen, width - 2, PLOT_HEIGHT)),
                Text(""),
                _frontier(found, width),
                Text(""),
                *(Text(line) for line in prices(found)),
            ),
        ),
        ("The certificate", Group(*(_group(group) for group in certificate_groups(own)))),
    ]
    if own.flips:
        sections.append(("Does it change its mind when the teacher does?", _flips(found)))
    if found.searched:
        sections.append(("Where not to trust it", _regions(found)))
    more = [answering_sentence(found)]
    if found.curve is not None:
        more.append(curve_sentence(found.curve))
    sections.append(("Answer or ask, and more questions", Text("\n".join(more))))
    return sections


def _regions(found: Distilled) -> RenderableType:
    lines: list[RenderableType] = []
    if not found.regions:
        lines.append(Text("Searched for, and none was found that chance does not find as easily."))
    for region in found.regions:
        where, says = region_lines(region)
        lines.append(Text(f"\u2022 {where}"))
        lines.append(Padding(Text(f"{says}; {region_mark(region)}"), (0, 0, 0, 2)))
    return Group(*lines)


def _student(found: Distilled) -> RenderableType:
    lines = [visible(line) for line in found.student.to_text().split("\n")]
    if len(lines) <= SHORT:
        return Text("\n".join(lines))
    rest = f"and {len(lines) - FIRST:,} lines more, not shown here"
    return Group(Text("\n".join(lines[:FIRST])), Text(rest, style="dim"))


def _table(*columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(
            Text(column, style="bold"),
            overflow="fold",
            justify="right" if index else "left",
            no_wrap=False,
        )
    return table


def _frontier(found: Distilled, width: int) -> RenderableType:
    wide = width >= NARROW
    extra = ("kappa", "for one text", "µs", "n") if wide else ()
    table = _table("", "to read", "agreement", "bounds", *extra)
    named = keys(found.frontier)
    for rung in found.frontier.rungs:
        name = control_name(rung.name) if rung.control else visible(rung.name)
        chosen = rung.name == found.chosen and not rung.control
        more = (
            decimal(rung.kappa.value),
            "\u2013" if rung.a_text is None else f"{rung.a_text:.0f}",
            "\u2013" if rung.microseconds is None else f"{rung.microseconds:,.0f}",
            f"{rung.agreement.n:,}",
        )
        table.add_row(
            Text(f"{' ' if rung.control else named[rung.name]} {name}{' *' if chosen else ''}"),
            "\u2013" if rung.control else f"{rung.reading:,}",
            share(rung.agreement.value),
            f"{bound(rung.agreement.lower)} to {bound(rung.agreement.upper, down=False)}",
            *(more if wide else ()),
        )
    note = (
        "* chosen, on other texts. Without a letter: controls. Bounds are one-sided, below and above; "
        "words and numbers to read, of all and of what decides one text; µs for one text here"
    )
    return Group(table, Text(note, style="dim"))


def _group(group: Rows) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column("measure", overflow="fold", min_width=20)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("bound", overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    for row in group.rows:
        table.add_row(Text(row.name), row.value, Text(row.bound), f"n = {row.n}")
    return Group(
        Text.assemble((f"{group.title} ", "italic"), (group.about, "dim")), table, Text("")
    )


def _flips(found: Distilled) -> RenderableType:
    table = _table("edit", "changed the teacher", "followed", "bound", "rightly")
    for row in flip_rows(found.certificate.flips):
        table.add_row(row.name, row.changed, row.recall, row.recall_bound, row.precision)
    note = (
        "Followed: of the edits that changed the teacher's decision. Rightly: of those that changed "
        "the student's."
    )
    return Group(table, Text(note, style="dim"))
