"""``whence explain``: one text, or the rows of a file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

from whence.app.cli.exit_codes import Exit, failing_plainly
from whence.app.cli.inputs import Format, check_sources, source_of, target_of, teller, write_out
from whence.app.cli.options import (
    DeviceOption,
    DtypeOption,
    FileOption,
    FormatOption,
    LinkOption,
    MaskerOption,
    MessagesOption,
    ModelOption,
    PairOption,
    QuietOption,
    RevisionOption,
    SeedOption,
    SimilarOption,
    TargetOption,
    TaskOption,
    TextArgument,
    UnitOption,
)
from whence.core.errors import OptionError, unknown

if TYPE_CHECKING:
    from whence.attention.store import Attention
    from whence.attribution.run import Forecast
    from whence.core.explanations import Attribution

__all__ = ["explain", "method_options"]

LONG = 10.0
"""Seconds of expected work above which a terminal is told before it begins."""


def explain(
    text: TextArgument = None,
    model: ModelOption = "embedded:credit",
    file: FileOption = None,
    pair: PairOption = None,
    messages: MessagesOption = None,
    rows: Annotated[
        Path | None, typer.Option("--input", help="JSONL, CSV or Parquet file of texts.")
    ] = None,
    column: Annotated[str, typer.Option(help="The column of --input that holds texts.")] = "text",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write there; for --input, resumed where it stands."),
    ] = None,
    format_: FormatOption = Format.text,
    method: Annotated[str, typer.Option(help="A method of 'whence methods', or auto.")] = "auto",
    option: Annotated[
        list[str] | None, typer.Option("--option", help="NAME=VALUE, an option of the method.")
    ] = None,
    target: TargetOption = None,
    against: Annotated[
        str | None, typer.Option(help="Explain --target rather than this one.")
    ] = None,
    next_token: Annotated[
        bool, typer.Option("--next-token", help="Explain the next token only.")
    ] = False,
    per_token: Annotated[
        bool, typer.Option("--per-token", help="One output for each token of the continuation.")
    ] = False,
    similar_to: SimilarOption = None,
    link: LinkOption = None,
    unit: UnitOption = "word",
    masker: MaskerOption = "auto",
    trust: Annotated[
        str | None,
        typer.Option(help="How the scores are judged: off, quick, default or audit."),
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Most model evaluations.")] = None,
    seed: SeedOption = 0,
    attention: Annotated[
        bool,
        typer.Option("--attention", help="Show attention too, with the measured effect of heads."),
    ] = False,
    top: Annotated[int, typer.Option(help="Rows of the ranking in the terminal.")] = 10,
    cache: Annotated[
        Path | None, typer.Option(help="SQLite file that keeps evaluations between runs.")
    ] = None,
    precision: Annotated[str, typer.Option(help="native, or bfloat16 autocast.")] = "native",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    task: TaskOption = None,
    revision: RevisionOption = None,
    quiet: QuietOption = False,
) -> None:
    """Explain a decision: score each word by what it does to the model's answer."""
    with failing_plainly(), ExitStack() as opened:
        tell = teller(quiet)
        from whence.games.cache import DiskCache
        from whence.models import load
        from whence.workflows.explain import explain as run

        check_sources(text, file, messages, rows)
        if attention and (rows is not None or format_ is Format.json):
            raise OptionError(
                "--attention goes with one text, as text or html; 'whence attend --save' keeps its "
                "record"
            )
        targets = target_of(target, against, next_token, per_token, similar_to)
        options = method_options(method, option or [])
        settings: dict[str, Any] = {
            "method": method,
            "options": options,
            "target": targets,
            "link": link,
            "unit": unit,
            "masker": masker,
            "trust": trust,
            "budget": budget,
            "seed": seed,
            "precision": precision,
            "cache": None if cache is None else opened.enter_context(DiskCache(cache)),
        }
        if rows is not None:
            if output is None:
                raise OptionError("--input needs --output FILE.jsonl, which a stopped run resumes")
            loaded = load(
                model, task=cast("Any", task), device=device, dtype=dtype, revision=revision
            )
            _rows(rows, column, output, lambda t: run(loaded, t, **settings), tell)
            return
        source = source_of(text, file, pair, messages)
        loaded = load(model, task=cast("Any", task), device=device, dtype=dtype, revision=revision)
        found = run(loaded, source, announce=_announcer(tell), **settings)
        watched = _attended(loaded, source, found, seed) if attention else None
        _show(found, format_, output, top, watched)


def _announcer(tell: Callable[[str], None]) -> Callable[[Forecast], None]:
    def announce(forecast: Forecast) -> None:
        if forecast.seconds > LONG:
            tell(
                f"{forecast.method}: {forecast.evaluations:,} evaluations for {forecast.features} "
                f"features, at most about {forecast.seconds:,.0f} s. Ctrl-C stops."
            )

    return announce


def _rows(
    rows: Path,
    column: str,
    output: Path,
    explain_one: Callable[[str], Attribution],
    tell: Callable[[str], None],
) -> None:
    from whence.app.cli.table_files import explain_rows, read_rows

    explained, failed, before = explain_rows(read_rows(rows, column), output, explain_one, tell)
    tell(f"{explained} explained, {failed} failed, {before} done before")
    if failed:
        typer.echo(
            f"whence: {failed} row(s) could not be explained; their lines in {output} say why",
            err=True,
        )
        raise typer.Exit(Exit.SOME_ROWS_FAILED)


def method_options(method: str, given: list[str]) -> dict[str, Any] | None:
    """``NAME=VALUE`` strings as the method's typed options.

    Raises:
        OptionError: not of that form, no such option, or a value of another type.
    """
    if not given:
        return None
    from whence.attribution import method_by_name

    if method.casefold() == "auto":
        raise OptionError("--option goes with a named --method, not with auto")
    kind = type(method_by_name(method))
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    options: dict[str, Any] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals:
            raise OptionError(f"--option {item!r} given; NAME=VALUE is due")
        if name not in known:
            raise unknown(f"option of {kind.__name__}", name, known)
        if hints[name] in (int, float):
            try:
                options[name] = hints[name](value)
            except ValueError as error:
                raise OptionError(f"--option {item!r} given; {name} is a number") from error
        else:
            options[name] = value
    return options


def _attended(loaded: Any, source: Any, found: Attribution, seed: int) -> Attention:
    """Attention of the same input, with effects on what was explained (its first output)."""
    from whence.attention.attend import attend

    first = found.outputs[0]
    return attend(loaded, source, target=first.target, link=first.link, seed=seed)


def _show(
    found: Attribution,
    format_: Format,
    output: Path | None,
    top: int,
    attention: Attention | None,
) -> None:
    if format_ is Format.text and output is None:
        from rich.console import Console

        from whence.app.explanation.terminal import render

        console = Console()
        for index in range(len(found.outputs)):
            render(found, console, top=top, output=index)
        if attention is not None:
            from whence.app.attention.terminal import render as render_attention

            console.print()
            render_attention(attention, console, top=top)
        return
    if format_ is Format.json:
        data = found.to_json() + b"\n"
    elif format_ is Format.html:
        from whence.app.explanation.html import page

        data = page(found, attention).encode("utf-8")
    else:
        from whence.app.explanation.terminal import plain_text

        text = plain_text(found, top=top) + "\n"
        if attention is not None:
            from whence.app.attention.terminal import plain_text as attention_text

            text += "\n" + attention_text(attention, top=top) + "\n"
        data = text.encode("utf-8")
    write_out(data, output)
