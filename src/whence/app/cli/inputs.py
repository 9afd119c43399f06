"""What commands share: the target asked for, progress on stderr, files written whole."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from whence.core.errors import OptionError, WriteError

if TYPE_CHECKING:
    from whence.core.trust import Grade

__all__ = [
    "Format",
    "TableFormat",
    "check_folder",
    "check_output",
    "format_of",
    "grade_of",
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


_BY_SUFFIX = {
    ".html": Format.html,
    ".htm": Format.html,
    ".json": Format.json,
    ".txt": Format.text,
}


def format_of(format_: Format | TableFormat | None, output: Path | None) -> Format:
    """The format asked for; else the one the file's suffix names; else text.

    Raises:
        OptionError: the suffix is that of a table, or of another format than the one asked for.
    """
    suffix = "" if output is None else output.suffix.lower()
    named = _BY_SUFFIX.get(suffix)
    if suffix in (".jsonl", ".csv", ".tsv", ".parquet"):
        raise OptionError(
            f"{output} is named as a table of rows, and this is one result; name a file in .json, .html "
            "or .txt, or give rows with --input"
        )
    if format_ is None:
        return named or Format.text
    form = Format(format_.value)
    if named not in (None, form):
        raise OptionError(
            f"expected a file of format {form.value}, got --output {output}; leave --format out, or give "
            "another name"
        )
    return form


def check_output(
    output: Path | None, *inputs: Path | None, overwrite: bool = False, resumed: bool = False
) -> None:
    """Refuse an output that would destroy something; called before a model is loaded.

    Args:
        output: file to write, if any.
        inputs: files that are read.
        overwrite: whether a file that stands there may be replaced.
        resumed: whether the output is a table that the run goes on with.

    Raises:
        OptionError: the output is an input, or a file that whence did not write.
        WriteError: it is a folder, or stands in none.
    """
    if output is None:
        return
    for path in inputs:
        if path is not None and path.exists() and output.exists() and output.samefile(path):
            raise OptionError(f"--output {output} is the file that is read; give another name")
    if output.is_dir():
        raise WriteError(f"--output {output} is a folder; give the name of a file")
    if not output.parent.is_dir():
        raise WriteError(
            f"the folder {output.parent} does not exist: make it, or choose another place"
        )
    if not output.is_file():
        return
    if not os.access(output, os.W_OK):
        raise WriteError(f"--output {output} may not be written; choose another place")
    if not (overwrite or resumed) and not _written_here(output):
        raise OptionError(
            f"--output {output} exists and is no page or record of whence; give another name, or "
            "--overwrite"
        )


def check_folder(folder: Path | None, record: str, overwrite: bool) -> None:
    """Refuse a folder that cannot take a record; called before a model is loaded.

    Args:
        folder: folder to write to, if any; it need not exist.
        record: name of the record's file in it.
        overwrite: whether a file of that name may be replaced whoever wrote it.

    Raises:
        OptionError: whence did not write the file of that name.
        WriteError: the folder is a file, or cannot be written to or made.
    """
    if folder is None:
        return
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise WriteError(f"{folder}: {there} is no folder that may be written to")
    if there == folder:
        check_output(folder / record, overwrite=overwrite)


def _written_here(path: Path) -> bool:
    """Whether a file is empty, a page of whence, or JSON with a record's version in it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WriteError(f"could not look into {path}: {error.strerror or error}") from error
    if not data.strip() or b'<meta name="generator" content="whence ' in data[:4096]:
        return True
    if b'"schema_version"' not in data:
        return False
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


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


def grade_of(require: str | None) -> Grade | None:
    """The grade that ``--require`` names, if any.

    Raises:
        OptionError: no grade, or the one that every explanation has.
    """
    if require is None:
        return None
    from whence.core.trust import GRADES

    for grade in GRADES[:-1]:
        if require.casefold() == grade.casefold():
            return grade
    raise OptionError(f"expected --require of {', '.join(GRADES[:-1])}, got {require!r}")


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
