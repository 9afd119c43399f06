"""``whence methods``, ``metrics`` and ``models``: what there is, read from classes and cards."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

__all__ = ["method_rows", "methods", "metric_rows", "metrics", "model_rows", "models"]

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


def method_rows() -> list[dict[str, Any]]:
    """Every method: name, what it estimates, what it needs, its options with defaults."""
    from whence.attribution import METHODS
    from whence.core.registry import slug

    return [
        {
            "name": name,
            "slug": slug(name),
            "about": (kind.__doc__ or "").strip().split("\n")[0],
            "estimates": kind.quantity,
            "needs": kind.needs,
            "options": {field.name: field.default for field in fields(kind)},
        }
        for name, kind in METHODS.items()
    ]


def methods(json_: Json = False) -> None:
    """List the attribution methods, what each estimates, and its options."""
    rows = method_rows()
    if json_:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("method", no_wrap=True)
    for head in ("what it does", "needs", "options"):
        table.add_column(head, overflow="fold")
    for row in rows:
        options = ", ".join(f"{key}={value}" for key, value in row["options"].items())
        table.add_row(row["slug"], row["about"], row["needs"], options or "none")
    Console().print(table)


def metric_rows() -> list[dict[str, Any]]:
    """Every metric: name, what it asks, direction, what it needs, its options with defaults."""
    from whence.evaluation.metrics.registry import METRICS

    return [
        {
            "name": name,
            "class": kind.__name__,
            "asks": kind.question,
            "about": (kind.__doc__ or "").strip().split("\n")[0],
            "direction": kind.direction,
            "needs": list(kind.needs),
            "options": {field.name: field.default for field in fields(kind)},
        }
        for name, kind in METRICS.items()
    ]


def metrics(json_: Json = False) -> None:
    """List the metrics of explanations, what each asks, what it needs, and its options."""
    rows = metric_rows()
    if json_:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("metric", no_wrap=True)
    for head in ("what it measures", "better", "needs", "options"):
        table.add_column(head, overflow="fold")
    for row in rows:
        options = ", ".join(f"{key}={value}" for key, value in row["options"].items())
        better = "neither" if row["direction"] == "none" else row["direction"]
        needs = ", ".join(row["needs"]) or "scores"
        table.add_row(row["name"], row["about"], better, needs, options or "none")
    Console().print(table)


def model_rows() -> list[dict[str, Any]]:
    """Every embedded model with the facts of its card."""
    from whence.models.load import embedded_folder, embedded_names

    rows: list[dict[str, Any]] = []
    for name in embedded_names():
        card = embedded_folder(name) / "card.json"
        rows.append({"ref": f"embedded:{name}", **json.loads(card.read_text("utf-8"))})
    return rows


def models(json_: Json = False) -> None:
    """List the example models that come with the package, with their measured accuracy."""
    rows = model_rows()
    if json_:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("model", no_wrap=True)
    table.add_column("what it does", overflow="fold")
    table.add_column("parameters", justify="right")
    table.add_column("held-out accuracy (95 % interval, n)", overflow="fold")
    for row in rows:
        accuracy = row["measured"]["accuracy"]
        table.add_row(
            row["ref"],
            row["about"],
            f"{row['parameters']:,}",
            f"{accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f}, n = {accuracy['n']:,})",
        )
    Console().print(table)
