"""What commands share: the target asked for, progress on stderr, files written whole."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from whence.core.errors import OptionError

__all__ = [
    "Format",
    "TableFormat",
    "format_of",
    "table_format_of",
    "target_of",
    "teller",
    "write_out",
]


class Format(StrEnum):
    """How a result is written."""

    text = "text"
    json = "json"
    html = "html"


class TableFormat(StrEnum):
    """How a result without a page is written."""

    text = "text"
    json = "json"


_BY_SUFFIX = {".html": Format.html, ".htm": Format.html, ".json": Format.json}


def format_of(format_: Format | TableFormat | None, output: Path | None) -> Format:
    """The format asked for; else the one the file's suffix names; else text."""
    if format_ is not None:
        return Format(format_.value)
    return Format.text if output is None else _BY_SUFFIX.get(output.suffix.lower(), Format.text)


def table_format_of(format_: Format | TableFormat | None, output: Path | None, what: str) -> Format:
    """As :func:`format_of`, for what has no page; called before a model is loaded.

    Raises:
        OptionError: a page is asked for.
    """
    result = format_of(format_, output)
    if result is Format.html:
        got = "--format html" if output is None or format_ is not None else f"--output {output}"
        raise OptionError(f"expected text or json for {what}, got {got}")
    return result


def teller(quiet: bool) -> Callable[[str], None]:
    """A function that prints progress to stderr, where a person watches it."""

    def tell(line: str) -> None:
        # Not into a pipe or a log, where lines of progress would stand among the errors.
        if not quiet and sys.stderr.isatty():
            typer.echo(line, err=True)

    return tell


def write_out(result: str | bytes, output: Path | None) -> None:
    """Print a result, or write it whole or not at all."""
    from whence.core.files import write_atomic

    data = result.encode("utf-8") if isinstance(result, str) else result
    if output is None:
        typer.echo(data.decode("utf-8"), nl=False)
    else:
        write_atomic(output, data)


def target_of(
    target: str | None,
    against: str | None,
    next_token: bool,
    per_token: bool,
    similar_to: str | None,
) -> Any:
    """The target that the options ask for."""
    from whence.core.targets import Continuation, Contrast, NextToken, Similarity

    if against is not None:
        return Contrast(label=target, against=against)
    if similar_to is not None:
        return Similarity(other=similar_to)
    if next_token:
        return NextToken(token=target)
    if per_token:
        return Continuation(text=target, per_token=True)
    return target
