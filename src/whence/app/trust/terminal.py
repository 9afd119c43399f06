"""A trust label in a terminal: its mark, the evidence as a table, and what changed between two."""

from __future__ import annotations

import io

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from whence.app.shared.colour import State
from whence.app.shared.formatting import amount_of, signed, visible
from whence.app.trust.wording import FINDINGS, about, label_facts, mark_of, measured
from whence.core.label_diff import LabelDiff, MeasurementDiff
from whence.core.trust import Finding, TrustLabel

__all__ = ["diff_text", "evidence", "plain_text", "render", "verdict"]

STYLES: dict[State, str] = {
    "usable": "green",
    "care": "yellow",
    "never": "red",
    "silent": "dim",
}


def verdict(label: TrustLabel) -> RenderableType:
    """The mark, the sentence, and the reasons where there is need for care."""
    mark = mark_of(label)
    first = Text.assemble((f"{mark.symbol} {mark.word}", f"bold {STYLES[mark.state]}"))
    beside = about(label)
    if beside:
        first.append(f"  {beside}", style="dim")
    lines: list[RenderableType] = [first, Padding(Text(visible(label.says)), (0, 0, 0, 2))]
    if mark.state in ("care", "never"):
        lines += [
            Padding(Text(f"\u2022 {visible(reason)}"), (0, 0, 0, 2)) for reason in label.reasons
        ]
    return Group(*lines)


def evidence(label: TrustLabel, *, measurements: bool = False) -> RenderableType:
    """The questions with their findings, and the facts about the label.

    Args:
        label: label that is shown.
        measurements: flag that lists them under each question, whose sentence has their numbers in short.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("question", overflow="fold", max_width=30)
    table.add_column("finding", overflow="fold")
    table.add_column("result", overflow="fold")
    for quantity in label.quantities:
        answer = Text(visible(quantity.says))
        for measurement in quantity.measurements if measurements else ():
            answer.append(f"\n{measured(measurement)}", style="dim")
        table.add_row(Text(visible(quantity.question)), _finding(quantity.finding), answer)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in label_facts(label):
        facts.add_row(name, Text(text))
    title = Text(f"Trust label of \u201c{visible(label.output)}\u201d", style="bold")
    return Group(title, table, Text(""), facts)


def _finding(finding: Finding) -> Text:
    mark = FINDINGS[finding]
    return Text(f"{mark.symbol} {mark.word}", style=STYLES[mark.state])


def render(label: TrustLabel, console: Console) -> None:
    """Print a label by itself, with every measurement."""
    console.print(Group(verdict(label), Text(""), evidence(label, measurements=True)))


def plain_text(label: TrustLabel, *, width: int = 100) -> str:
    """The label as text without colour codes; what ``str`` of it gives."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    render(label, console)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def diff_text(diff: LabelDiff) -> str:
    """What changed from one label to another, a line for each question and measurement.

    Lines that begin with ``*`` are those where something changed.
    """
    lines = [_changed("grade", diff.grade), _changed("output", diff.output)]
    lines += [_changed("level", diff.level), _changed("calibration", diff.calibration)]
    if diff.across:
        lines.append(f"  compared across {', '.join(diff.across)}")
    for quantity in diff.quantities:
        words = [
            "not asked"
            if finding is None
            else f"{FINDINGS[finding].symbol} {FINDINGS[finding].word}"
            for finding in (quantity.before, quantity.after)
        ]
        lines.append(_changed(quantity.question, (words[0], words[1])))
        lines += [f"    {_compared(measurement)}" for measurement in quantity.measurements]
    if diff.additive_share is not None:
        lines += ["  sums over features", f"    {_compared(diff.additive_share)}"]
    if diff.reliable is None:
        lines.append("  distinguishable from zero: not comparable, the numbers of features differ")
    elif diff.reliable:
        which = ", ".join(str(index) for index in diff.reliable)
        lines.append(f"* distinguishable from zero in one only: features {which}")
    else:
        lines.append("  distinguishable from zero: the same features")
    return "\n".join(visible(line) for line in lines)


def _changed(what: str, pair: tuple[str | None, str | None]) -> str:
    before, after = ("none" if side is None else side for side in pair)
    if before == after:
        return f"  {what}: {before}"
    return f"* {what}: {before} \u2192 {after}"


def _compared(diff: MeasurementDiff) -> str:
    sides = [
        "not measured" if value is None else amount_of(value) for value in (diff.before, diff.after)
    ]
    line = f"{diff.name}: {sides[0]} \u2192 {sides[1]}"
    if diff.unlike:
        return f"{line}; not comparable: {'; '.join(diff.unlike)}"
    if diff.difference is None:
        return line
    if diff.difference == 0:
        return f"{line} (unchanged)"
    apart = "intervals apart" if diff.apart else "intervals overlap"
    return f"{line} ({signed(diff.difference)} {diff.unit}, {apart})"
