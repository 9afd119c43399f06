"""Attention in a terminal: heads ranked by effect, and every head at a glance."""

from __future__ import annotations

import io

from rich.console import Console, Group
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from whence.app.shared.colour import ramp
from whence.app.shared.formatting import answer, decision_line, layer_names, number, signed, visible
from whence.attention.store import Attention
from whence.core.attention_record import (
    SET_TITLES,
    AttentionLayer,
    AttentionRecord,
    HeadEffects,
    HeadEntry,
    HeadSet,
)

__all__ = ["WARNING", "plain_text", "render"]

WARNING = "Attention shows where a head reads, not why the model decides."

FAINT = 0.02
"""Share of the largest effect below which a head is a dot on the map. Chosen by hand; not calibrated."""


def render(attention: Attention, console: Console, *, top: int = 10) -> None:
    """Print a record: the ``top`` heads by measured effect, and a map of all heads."""
    record = attention.record
    title = Text.assemble(("Decision  ", "bold"), (answer(record.decision), "bold"))
    others = decision_line(record.decision)
    if others:
        title.append(f"   {others}", style="dim")
    parts: list[Text | Table | Padding] = [title, Text("")]
    if record.effects is not None:
        parts += [_ranking(attention, top), Text("")]
        if record.effects.sets:
            parts += [_sets(record, record.effects), Text("")]
    parts += [_map(record), Text(""), Text(WARNING, style="bold"), _facts(record)]
    console.print(Group(*parts))


def plain_text(attention: Attention, *, top: int = 10, width: int = 100) -> str:
    """The record as text without colour codes."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    render(attention, console, top=top)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _ranking(attention: Attention, top: int) -> Table:
    effects = attention.record.effects
    assert effects is not None
    unit = effects.output.unit
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.title = f"Effect of a head on {visible(effects.output.name)}"
    table.title_justify = "left"
    short = layer_names([layer.name for layer in attention.record.layers])
    table.add_column("layer", overflow="fold")
    table.add_column("head", justify="right")
    table.add_column(f"effect, {unit}", justify="right", no_wrap=True)
    if effects.draws > 1:
        table.add_column(f"{100 * effects.confidence:.0f} % interval", no_wrap=True)
    table.add_column("gradient estimate", justify="right", no_wrap=True)
    table.add_column("reads", overflow="fold")
    for entry in attention.ranked()[:top]:
        effect = entry.effect or 0.0
        cells = [Text(short[entry.layer]), Text(str(entry.head)), Text(signed(effect))]
        if effects.draws > 1:
            cells.append(Text(_interval(entry), style="dim"))
        cells.append(Text(signed(entry.gradient or 0.0), style="dim"))
        roles = [f"{role.name} {role.value:.2f}" for role in entry.roles[:2]]
        cells.append(Text(", ".join(roles), style="dim"))
        table.add_row(*cells)
    return table


def _sets(record: AttentionRecord, effects: HeadEffects) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.title = "Effect of heads ablated together"
    table.title_justify = "left"
    short = layer_names([layer.name for layer in record.layers])
    table.add_column("heads", overflow="fold")
    table.add_column(f"effect, {effects.output.unit}", justify="right", no_wrap=True)
    if effects.draws > 1:
        table.add_column(f"{100 * effects.confidence:.0f} % interval", no_wrap=True)
    table.add_column("random sets of this size", no_wrap=True)
    for each in effects.sets:
        names = f"{SET_TITLES[each.chosen]} ({len(each.heads)})"
        if each.chosen != "ranked":
            names += ": " + ", ".join(
                f"{short[layer]}:{head}" for layer, head in sorted(each.heads)
            )
        drawn = f"{signed(min(each.random))} to {signed(max(each.random))}" if each.random else ""
        cells = [Text(names), Text(signed(each.effect))]
        if effects.draws > 1:
            cells.append(Text(_interval(each), style="dim"))
        table.add_row(*cells, Text(drawn, style="dim"))
    return table


def _interval(entry: HeadEntry | HeadSet) -> str:
    if entry.low is None or entry.high is None:
        return "exact"
    return f"{signed(entry.low)} to {signed(entry.high)}"


def _map(record: AttentionRecord) -> Table:
    """A row of cells for each layer: the effect of each head, or its estimate in brackets."""
    by_layer: dict[str, list[HeadEntry]] = {layer.name: [] for layer in record.layers}
    for entry in record.heads:
        by_layer[entry.layer].append(entry)
    # Measured effects and estimates share the scale, since both are in the target's unit.
    largest = max((abs(_known(entry)) for entry in record.heads), default=0.0)
    table = Table.grid(padding=(0, 2))
    short = layer_names([layer.name for layer in record.layers])
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    for layer in record.layers:
        cells = Text("")
        for entry in by_layer[layer.name]:
            cells.append_text(_cell(layer, entry, largest, record.effects is not None))
        table.add_row(Text(short[layer.name], style="dim"), cells)
    return table


def _known(entry: HeadEntry) -> float:
    return entry.effect if entry.effect is not None else (entry.gradient or 0.0)


def _cell(layer: AttentionLayer, entry: HeadEntry, largest: float, measured: bool) -> Text:
    if not layer.shown:
        return Text(" \u00d7", style="dim")
    if not measured or largest == 0:
        return Text(" \u00b7", style="dim")
    share = _known(entry) / largest
    text = "\u2588" if entry.effect is not None else "\u2592"
    if abs(share) < FAINT:
        return Text(" \u00b7", style="dim")
    return Text(f" {text}", style=Style(color=ramp(share)))


def _facts(record: AttentionRecord) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in facts(record):
        table.add_row(name, Text(text))
    return table


def facts(record: AttentionRecord) -> list[tuple[str, str]]:
    """Model, certificate, effects, cost and notes of a record."""
    checked = [layer for layer in record.layers if layer.certificate is not None]
    rows = [("model", f"{record.provenance.model.ref} ({record.provenance.model.architecture})")]
    if checked:
        worst = max(checked, key=lambda layer: layer.certificate or 0.0)
        hidden = sum(not layer.shown for layer in record.layers)
        text = (
            f"the weights rebuild each layer's output to within {number(worst.certificate or 0.0)} "
            f"of its largest value (limit {number(worst.limit)})"
        )
        rows.append(("certificate", text + (f"; {hidden} layer(s) not shown" if hidden else "")))
    effects = record.effects
    if effects is not None:
        ranked = sum(entry.chosen == "ranked" for entry in record.heads)
        control = sum(entry.chosen == "random" for entry in record.heads)
        draws = "draw" if effects.draws == 1 else "draws"
        rows.append(
            (
                "effects",
                f"{effects.ablation} ablation, {effects.draws} {draws}, of {ranked} head(s) chosen "
                f"by their estimate and {control} at random; Spearman correlation of estimate and "
                f"effect {number(effects.agreement)}",
            )
        )
        rows.append(
            (
                "cost",
                f"{effects.cost.evaluations:,} evaluations and "
                f"{effects.cost.gradient_evaluations} gradient passes for effects, "
                f"{effects.cost.seconds:.1f} s; {record.provenance.cost.evaluations} "
                f"other passes, {record.provenance.cost.seconds:.1f} s",
            )
        )
    rows += [("note", note) for note in record.notes]
    return rows
