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
    two_measurements,
    verdict_sentence,
)
from whence.app.shared.formatting import visible
from whence.app.trust.terminal import STYLES
from whence.students.result import Distilled

__all__ = ["SHORT", "plain_text", "render", "verdict_lines"]

SHORT, FIRST = 40, 16
"""Lines up to which a student is printed whole, and those that are printed of a longer one. Chosen by hand."""

NARROW = 80
"""Columns below which tables leave out what can be spared: the width of a terminal that nobody widened."""


def render(result: Distilled, console: Console) -> None:
    """Print a distillation, as wide as the console."""
    console.print(verdict_lines(result))
    for title, content in _sections(result, console.width):
        console.print()
        console.print(Text(title, style="bold"))
        console.print(Padding(content, (0, 0, 0, 2)))


def plain_text(result: Distilled, *, width: int = 100) -> str:
    """The same as text without colour codes; what ``str`` of it gives."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    render(result, console)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def verdict_lines(result: Distilled) -> RenderableType:
    """The mark, what it means in one sentence, and the number that decided."""
    certificate = result.certificate
    mark = MARKS[certificate.verdict]
    return Group(
        Text(f"{mark.symbol} {mark.word}", style=f"bold {STYLES[mark.state]}"),
        Padding(Text(verdict_sentence(certificate)), (0, 0, 0, 2)),
        Padding(Text(f"Decided by: {visible(certificate.because)}.", style="dim"), (0, 0, 0, 2)),
    )


def _sections(result: Distilled, width: int) -> list[tuple[str, RenderableType]]:
    cost = result.student.reading_cost
    certificate = result.certificate
    sections: list[tuple[str, RenderableType]] = [
        (
            f"The student {visible(result.chosen)}: {cost.words:,} words and {cost.numbers:,} "
            "numbers to read",
            _student(result),
        ),
        (
            "Would a longer student agree more?",
            Group(
                Text(frontier_plot(result.frontier, result.chosen, width - 2, PLOT_HEIGHT)),
                Text(""),
                _frontier(result, width),
                Text(two_measurements(result), style="dim"),
                *(Text(line) for line in prices(result)),
            ),
        ),
        ("The certificate", Group(*(_group(group) for group in certificate_groups(certificate)))),
    ]
    if certificate.flips:
        sections.append(("Does its answer change when the teacher's does?", _flips(result)))
    if result.searched:
        sections.append(("Where not to trust it", _regions(result)))
    more = [answering_sentence(result)]
    if result.curve is not None:
        more.append(curve_sentence(result.curve))
    sections.append(("When to ask the teacher, and more questions", Text("\n".join(more))))
    return sections


def _regions(result: Distilled) -> RenderableType:
    lines: list[RenderableType] = []
    if not result.regions:
        lines.append(Text("Searched for; none was found that stands out from chance."))
    for region in result.regions:
        where, says = region_lines(region)
        lines.append(Text(f"\u2022 {where}"))
        lines.append(Padding(Text(f"{says}; {region_mark(region)}"), (0, 0, 0, 2)))
    return Group(*lines)


def _student(result: Distilled) -> RenderableType:
    lines = [visible(line) for line in result.student.to_text().split("\n")]
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


def _frontier(result: Distilled, width: int) -> RenderableType:
    wide = width >= NARROW
    extra = ("kappa", "for one text", "µs", "n") if wide else ()
    table = _table("", "to read", "agreement", "bounds", *extra)
    letters = keys(result.frontier)
    for rung in result.frontier.rungs:
        name = control_name(rung.name) if rung.control else visible(rung.name)
        chosen = rung.name == result.chosen and not rung.control
        more = (
            decimal(rung.kappa.value),
            "\u2013" if rung.a_text is None else f"{rung.a_text:.0f}",
            "\u2013" if rung.microseconds is None else f"{rung.microseconds:,.0f}",
            f"{rung.agreement.n:,}",
        )
        table.add_row(
            Text(f"{' ' if rung.control else letters[rung.name]} {name}{' *' if chosen else ''}"),
            "\u2013" if rung.control else f"{rung.reading:,}",
            share(rung.agreement.value),
            f"{bound(rung.agreement.lower)} to {bound(rung.agreement.upper, down=False)}",
            *(more if wide else ()),
        )
    note = (
        "* chosen. Without a letter: controls. Bounds are one-sided, below and above. To "
        "read: words and numbers of the whole student, and of what decides one text; µs: time a text"
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


def _flips(result: Distilled) -> RenderableType:
    table = _table("edit", "changed the teacher", "followed", "bound", "rightly")
    for row in flip_rows(result.certificate.flips):
        table.add_row(row.name, row.changed, row.recall, row.recall_bound, row.precision)
    note = (
        "Followed: share of the edits that changed the teacher's answer. Rightly: share of those "
        "that changed the student's."
    )
    return Group(table, Text(note, style="dim"))
