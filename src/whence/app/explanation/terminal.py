"""An explanation in a terminal: shaded words, signed bars, and the facts about the run."""

from __future__ import annotations

import io

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from whence.app.shared.colour import ramp, text_on
from whence.app.shared.formatting import (
    amount,
    answer,
    decision_line,
    facts,
    number,
    score_unit,
    visible,
)
from whence.app.trust.terminal import evidence, verdict
from whence.app.trust.wording import Standing, faint_because, standing
from whence.core.explanations import Attribution

__all__ = ["plain_text", "render"]

BAR = 24
"""Cells of the longest bar: with words of 28 cells and the numbers a line has under 80."""


def render(
    attribution: Attribution, console: Console, *, top: int = 10, output: int | str = 0
) -> None:
    """Print an explanation.

    Args:
        attribution: explanation to print.
        console: console of rich; its width, colours and encoding are used.
        top: number of rows, one for each of the largest scores.
        output: output, by name or index.
    """
    column = attribution.output_index(output)
    decision = attribution.decision
    title = Text.assemble(("Decision  ", "bold"), (answer(decision), "bold"))
    others = decision_line(decision)
    if others:
        title.append(f"   {others}", style="dim")
    display = standing(attribution, column)
    body: list[RenderableType] = [title]
    if display.label is None:
        body.append(Text(display.unjudged, style="dim"))
    else:
        body.append(verdict(display.label))
    body += [Text(""), Padding(_shaded(attribution, column, display.coloured), (0, 2)), Text("")]
    if display.withheld:
        body.append(Text("Scores, kept for an audit:", style="dim"))
    body += [_bars(attribution, column, top, display), Text("")]
    faint = int((~display.coloured).sum())
    because = faint_because(attribution, display)
    if faint and because:
        body.append(
            Text(f"{faint} of {len(display.sure)} scores are {because}: not shaded.", style="dim")
        )
    if display.label is not None:
        body += [evidence(display.label), Text("")]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in facts(attribution, column):
        table.add_row(name, Text(text))
    console.print(Group(*body, table))


def plain_text(attribution: Attribution, *, top: int = 10, width: int = 100) -> str:
    """The explanation as text without colour codes; what ``str`` of it gives."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    for index, output in enumerate(attribution.outputs):
        if index:
            console.print(Text(f"\n-- {visible(output.name)} --"))
        render(attribution, console, top=top, output=index)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _shaded(attribution: Attribution, column: int, sure: np.ndarray) -> Text:
    document = attribution.segmentation.document
    scores = attribution.scores[:, column]
    largest = float(np.abs(scores).max()) if scores.size else 0.0
    text = Text()
    position = 0
    for feature, score, certain in zip(
        attribution.segmentation.features, scores, sure, strict=True
    ):
        text.append(visible(document.between(position, feature.start)), style="dim")
        style = Style()
        if certain and largest > 0:
            colour = ramp(float(score) / largest)
            style = Style(bgcolor=colour, color=text_on(colour))
        text.append(visible(feature.text), style=style)
        position = feature.end
    text.append(visible(document.between(position, len(document.text))), style="dim")
    return text


def _bars(attribution: Attribution, column: int, top: int, display: Standing) -> Table:
    """The largest scores with a bar each; with none where the scores may not be used."""
    signless = attribution.unit is not None
    width = BAR if signless else BAR // 2
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("", justify="right", max_width=28)
    if not signless and not display.withheld:
        table.add_column("\u2212 lowers", justify="right", width=width, no_wrap=True)
    if not display.withheld:
        table.add_column("more" if signless else "raises +", width=width, no_wrap=True)
    unit = score_unit(attribution, column)
    table.add_column(f"score, {unit}", justify="right", no_wrap=True)
    if attribution.std_errors is not None:
        table.add_column("\u00b1 SE", justify="right", no_wrap=True)
    ranked = attribution.top(top, output=column)
    largest = max((abs(row.score) for row in ranked), default=0.0)
    for row in ranked:
        length = 0 if largest == 0 else round(abs(row.score) / largest * width)
        bar = "\u2588" * length
        left, right = (bar, "") if row.score < 0 else ("", bar)
        bars = [right] if signless else [left, right]
        style = _bar_style(row.score, bool(display.sure[row.index]), display.label is not None)
        cells = [
            Text(_short(visible(row.feature.text), 28)),
            *(Text(bar, style=style) for bar in bars if not display.withheld),
            Text(amount(attribution, row.score)),
        ]
        if row.std_error is not None:
            cells.append(Text(number(row.std_error), style="dim"))
        table.add_row(*cells)
    return table


def _bar_style(score: float, sure: bool, judged: bool) -> Style:
    """The colour of a bar: faint where the score may be zero, none where a label says so."""
    if judged and not sure:
        return Style(dim=True)
    return Style(color=ramp(0.8 if score > 0 else -0.8), dim=not sure)


def _short(text: str, width: int) -> str:
    # Cells and not characters: a Chinese character takes two.
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "\u2026"
