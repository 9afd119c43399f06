"""``whence explain``: one text, or the rows of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from whence.app.cli.batch import Batch
from whence.app.cli.exit_codes import Exit, failing_plainly
from whence.app.cli.inputs import (
    Format,
    check_output,
    format_of,
    grade_of,
    target_of,
    teller,
    write_out,
)
from whence.app.cli.options import (
    AgainstOption,
    FormatOption,
    LinkOption,
    MaskerOption,
    ModelOptions,
    NextTokenOption,
    OverwriteOption,
    QuietOption,
    RequireOption,
    SeedOption,
    SimilarOption,
    SourceOptions,
    TargetOption,
    UnitOption,
    with_groups,
)
from whence.app.cli.table_files import TableRow, table_rows
from whence.app.shared.formatting import visible
from whence.core.errors import OptionError, unknown

if TYPE_CHECKING:
    from whence.attention.store import Attention
    from whence.attribution.run import Forecast
    from whence.core.explanations import Attribution
    from whence.core.selection import Selection

__all__ = ["explain", "method_options"]

FEW = 5
"""Failed rows whose message is printed; every one is in the output."""

LONG = 10.0
"""Seconds of expected work above which the terminal says so before it begins; chosen by hand."""


@with_groups
def explain(
    source: SourceOptions,
    model: ModelOptions,
    rows: Annotated[
        Path | None,
        typer.Option("--input", help="JSONL, CSV, TSV or Parquet file, or a folder of .txt files."),
    ] = None,
    column: Annotated[str, typer.Option(help="The column of --input that holds texts.")] = "text",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; with --input it is resumed."),
    ] = None,
    format_: FormatOption = None,
    overwrite: OverwriteOption = False,
    retry: Annotated[
        bool, typer.Option("--retry-failed", help="With --input: explain failed rows again.")
    ] = False,
    method: Annotated[
        str,
        typer.Option(
            help="A method of 'whence methods', auto, or the file of a choice by 'whence select -o'."
        ),
    ] = "auto",
    option: Annotated[
        list[str] | None, typer.Option("--option", help="NAME=VALUE, an option of the method.")
    ] = None,
    target: TargetOption = None,
    against: AgainstOption = None,
    next_token: NextTokenOption = False,
    per_token: Annotated[
        bool, typer.Option("--per-token", help="One output for each token of the continuation.")
    ] = False,
    similar_to: SimilarOption = None,
    link: LinkOption = None,
    unit: UnitOption = "word",
    masker: MaskerOption = "auto",
    trust: Annotated[
        str | None,
        typer.Option(help="Level of the trust label: off, quick, default or audit."),
    ] = None,
    require: RequireOption = None,
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
    quiet: QuietOption = False,
) -> None:
    """Explain a decision: score each word by what it does to the model's answer."""
    with failing_plainly(), ExitStack() as opened:
        tell = teller(quiet)
        from whence.games.disk_cache import DiskCache
        from whence.workflows.explain import explain as run

        source.check(rows)
        form = Format.json if rows is not None else format_of(format_, output)
        check_output(
            output,
            rows,
            source.file,
            source.messages,
            overwrite=overwrite,
            resumed=rows is not None,
        )
        if rows is not None:
            _check_rows(format_, output)
        if attention and (rows is not None or form is Format.json):
            raise OptionError(
                "--attention goes with one text, as text or html; 'whence attend --save' keeps its "
                "record"
            )
        least = grade_of(require)
        if least is not None and (rows is not None or trust == "off"):
            raise OptionError("--require goes with one text whose scores are judged")
        targets = target_of(target, against, next_token, per_token, similar_to)
        chosen = _chosen(method)
        options = method_options(method, option or [])
        settings: dict[str, Any] = {
            "method": chosen,
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
            assert output is not None
            read = table_rows(rows, column)
            loaded = model.load()
            total = sum(1 for _ in read())
            forecast = _RowsForecast(total, tell)
            batch = Batch(
                column=column,
                run=_run_of(loaded, settings, column),
                explain=lambda text: run(loaded, text, announce=forecast.announce, **settings),
                retry=retry,
                anew=overwrite,
                tell=tell,
                total=total,
                after_first=forecast.after_first,
            )
            _rows(batch, read(), output, quiet)
            return
        text = source.read()
        loaded = model.load()
        result = run(loaded, text, announce=_announcer(tell), **settings)
        heads = _attention(loaded, text, result, seed) if attention else None
        _show(result, form, output, top, heads)
        if least is not None:
            result.assert_trust(least)


def _chosen(method: str) -> str | Selection:
    """The method's name, or the selection that a file of that name holds.

    Raises:
        OptionError: a file of another record.
        RecordError: the file cannot be read, or is damaged.
    """
    if not method.casefold().endswith(".json"):
        return method
    from whence.core.selection import Selection
    from whence.core.store import read_record

    record = read_record(method)
    if not isinstance(record, Selection):
        raise OptionError(
            f"expected a choice written by 'whence select -o', got {method}, a record of kind "
            f"{type(record).__name__}"
        )
    return record


def _announcer(tell: Callable[[str], None]) -> Callable[[Forecast], None]:
    def announce(forecast: Forecast) -> None:
        if forecast.seconds > LONG:
            tell(
                f"{forecast.method}: {forecast.evaluations:,} evaluations for {forecast.features} "
                f"features, at most about {forecast.seconds:,.0f} s{_cheaper(forecast)}. Ctrl-C stops."
            )

    return announce


def _cheaper(forecast: Forecast) -> str:
    """Options that take less, for the end of a sentence; empty where there are none."""
    options = [f"--{name} {value} needs {n:,}" for name, value, n in forecast.cheaper]
    return f"; {', '.join(options)}" if options else ""


def _duration(seconds: float) -> str:
    """A duration in the unit that suits it.

    Example:
        >>> _duration(20.0), _duration(300.0), _duration(33_400.0)
        ('20 s', '5 min', '9.3 h')
    """
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


class _RowsForecast:
    """What the rows of a table will take, said once, after the first that was explained."""

    def __init__(self, total: int, tell: Callable[[str], None]) -> None:
        self._total, self._tell = total, tell
        self._first: Forecast | None = None

    def announce(self, forecast: Forecast) -> None:
        """Keep what is known of the first row."""
        self._first = self._first or forecast

    def after_first(self, left: int, seconds: float) -> None:
        """Say what is left, where it is long: rows that are still to be explained, and seconds of one."""
        if left * seconds <= LONG:
            return
        row = self._first
        asked = (
            "" if row is None else f" ({row.evaluations:,} evaluations for {row.features} features)"
        )
        self._tell(
            f"{self._total:,} rows, about {seconds:,.2g} s each on this machine{asked}: "
            f"{_duration(left * seconds)} for the {left:,} that are left"
            f"{'' if row is None else _cheaper(row)}"
        )


def _check_rows(format_: Format | None, output: Path | None) -> None:
    if output is None:
        raise OptionError("--input needs --output FILE.jsonl, which a stopped run resumes")
    if format_ in (Format.html, Format.text) or output.suffix.lower() in (".html", ".htm", ".json"):
        got = f"--output {output}" if format_ is None else f"--format {format_.value}"
        raise OptionError(f"rows are written as JSONL; expected --output FILE.jsonl, got {got}")


def _run_of(loaded: Any, settings: dict[str, Any], column: str) -> dict[str, Any]:
    """What decides a row's explanation, as each line of the output states it."""
    from whence import __version__

    identity = loaded.identity
    options = {name: value for name, value in settings.items() if name != "cache"}
    target = options["target"]
    if not isinstance(options["method"], str):
        options["method"] = f"selection {options['method'].digest}"
    options["target"] = target if target is None or isinstance(target, str) else repr(target)
    return {
        "model": identity.ref,
        "fingerprint": identity.fingerprint,
        "whence": __version__,
        "column": column,
        **options,
    }


def _rows(batch: Batch, rows: Iterator[TableRow], output: Path, quiet: bool) -> None:
    count = batch.write(rows, output)
    if not quiet:
        typer.echo(
            f"{count.explained} explained, {count.failed} failed, {count.before} explained before",
            err=True,
        )
    if count.failed:
        for said in count.errors[:FEW]:
            typer.echo(f"whence: {visible(said)}", err=True)
        more = f" (and {count.failed - FEW} more)" if count.failed > FEW else ""
        typer.echo(
            f"whence: {count.failed} row(s) could not be explained{more}; their lines in {output} say "
            "why, and --retry-failed explains them again",
            err=True,
        )
        raise typer.Exit(Exit.SOME_ROWS_FAILED)


def method_options(method: str, items: list[str]) -> dict[str, Any] | None:
    """``NAME=VALUE`` strings as the method's typed options.

    Raises:
        OptionError: not of that form, no such option, or a value of another type.
    """
    if not items:
        return None
    from whence.attribution import method_by_name

    if method.casefold() == "auto" or method.casefold().endswith(".json"):
        raise OptionError(f"--option goes with a named --method, not with {method}")
    kind = type(method_by_name(method))
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    options: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise OptionError(f"expected --option NAME=VALUE, got {item!r}")
        if name not in known:
            raise unknown(f"option of {kind.__name__}", name, known)
        # A value of another type stays text: the method itself checks its choices.
        if hints[name] in (int, float):
            try:
                options[name] = hints[name](value)
            except ValueError as error:
                raise OptionError(f"expected a number for {name}, got --option {item!r}") from error
        else:
            options[name] = value
    return options


def _attention(loaded: Any, source: Any, result: Attribution, seed: int) -> Attention:
    """Attention of the same input, with effects on what was explained (its first output)."""
    from whence.attention.attend import attend

    first = result.outputs[0]
    return attend(loaded, source, target=first.target, link=first.link, seed=seed)


def _show(
    result: Attribution,
    format_: Format,
    output: Path | None,
    top: int,
    attention: Attention | None,
) -> None:
    if format_ is Format.text and output is None:
        from rich.console import Console

        from whence.app.explanation.terminal import render

        console = Console()
        for index in range(len(result.outputs)):
            render(result, console, top=top, output=index)
        if attention is not None:
            from whence.app.attention.terminal import render as render_attention

            console.print()
            render_attention(attention, console, top=top)
        return
    if format_ is Format.json:
        data = result.to_json() + b"\n"
    elif format_ is Format.html:
        from whence.app.explanation.html import page

        data = page(result, attention).encode("utf-8")
    else:
        from whence.app.explanation.terminal import plain_text

        # Without colour codes and of a fixed width: a file must not depend on the window it was
        # written from.
        text = plain_text(result, top=top) + "\n"
        if attention is not None:
            from whence.app.attention.terminal import plain_text as attention_text

            text += "\n" + attention_text(attention, top=top) + "\n"
        data = text.encode("utf-8")
    write_out(data, output)
