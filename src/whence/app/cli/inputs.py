"""What commands that read one text share: where it comes from, what is asked of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from whence.core.errors import InputError, OptionError

__all__ = ["Format", "check_sources", "source_of", "target_of", "teller", "write_out"]


class Format(StrEnum):
    """How a result is written."""

    text = "text"
    json = "json"
    html = "html"


def check_sources(
    text: str | None, file: Path | None, messages: Path | None, rows: Path | None = None
) -> None:
    """Refuse a text that is given twice.

    Raises:
        OptionError: by more than one option.
    """
    given = [text not in (None, "-"), file is not None, messages is not None, rows is not None]
    if sum(given) > 1:
        raise OptionError("give the text once: as an argument, --file, --messages or --input")


def teller(quiet: bool) -> Callable[[str], None]:
    """Progress goes to stderr, and only where a person watches it."""

    def tell(line: str) -> None:
        if not quiet and sys.stderr.isatty():
            typer.echo(line, err=True)

    return tell


def source_of(text: str | None, file: Path | None, pair: str | None, messages: Path | None) -> Any:
    """The input that the options give: a text, a pair, or messages.

    Raises:
        InputError: a file that cannot be read, or is not what it should be.
        OptionError: nothing was given.
    """
    if messages is not None:
        try:
            return json.loads(messages.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"could not read messages from {messages}: {error}") from error
    if file is not None:
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"could not read {file} as UTF-8 text: {error}") from error
    elif text is None or text == "-":
        if text is None and sys.stdin.isatty():
            raise OptionError("no text given; write it after the options, or pipe it in")
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError as error:
            raise InputError(f"standard input is not UTF-8: {error}") from error
    return text if pair is None else (text, pair)


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
    """What the options ask to be explained."""
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
