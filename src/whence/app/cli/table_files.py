"""Explaining the rows of a file: JSONL, CSV or Parquet in, one JSON record a line out.

The output grows by whole lines and can be resumed: a row whose line is there is not explained
again. Each line carries the row's number and a hash of its text, so that an output is never
continued for another input.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from whence.core.errors import InputError, OptionError, RecordError, WriteError, unknown
from whence.core.explanations import Attribution
from whence.core.files import write_advice

__all__ = ["explain_rows", "read_rows", "read_table"]


def read_rows(path: Path, column: str) -> Iterator[str]:
    """The texts of a table's column, in order.

    Raises:
        InputError: the file cannot be read, or a row is damaged.
        OptionError: no such column, or a format whence does not read.
    """
    readers = {".jsonl": _jsonl, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise OptionError(f"expected a .jsonl, .csv, .tsv or .parquet file, got {path.name}")
    try:
        for number, row in enumerate(reader(path), start=1):
            if column not in row:
                raise unknown("column", column, row)
            text = row[column]
            if not isinstance(text, str):
                raise InputError(
                    f"row {number} of {path}: expected text under {column!r}, got {type(text).__name__}"
                )
            yield text
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}. Convert it first.") from error
    except OSError as error:
        raise InputError(f"could not read {path}: {error.strerror or error}") from error


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"line {number} of {path} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise InputError(f"line {number} of {path} is no JSON object")
            yield cast("dict[str, Any]", row)


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    # utf-8-sig: Excel writes a byte order mark, which would become a part of the first column's
    # name. newline="": a quoted field may hold line breaks, and the reader of csv must see them.
    with path.open(encoding="utf-8-sig", newline="") as stream:
        yield from csv.DictReader(stream, delimiter=delimiter)


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise OptionError(
            "reading Parquet needs pyarrow; install it with: pip install 'whence[parquet]'"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except ArrowException as error:
        raise InputError(f"{path} is no readable Parquet file: {error}") from error


def explain_rows(
    texts: Iterator[str],
    output: Path,
    explain: Callable[[str], Attribution],
    tell: Callable[[str], None],
) -> tuple[int, int, int]:
    """Explain each text and append its line; (explained, failed, explained before).

    A row that fails gets a line with its error, and the run goes on. Rows that failed in an earlier
    run are not explained again and count as failed. Errors that would meet every row alike (a wrong
    option, a full disk) end it.

    Raises:
        RecordError: the output is of other rows than these.
        WriteError: the output cannot be written; every finished line is whole.
    """
    finished = _resume(output)
    explained = failed = before = 0
    for number, text in enumerate(texts, start=1):
        # JSON may hold half a surrogate pair, which plain UTF-8 refuses. Such a row gets its line
        # with an error like any other that cannot be explained.
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if number in finished:
            standing, has_failed = finished[number]
            if standing != digest:
                raise RecordError(
                    f"row {number} is another text than the one {output} was written for; "
                    "give another --output"
                )
            failed += has_failed
            before += not has_failed
            continue
        line: dict[str, Any] = {"row": number, "text_sha256": digest}
        try:
            line["record"] = json.loads(explain(text).to_json())
            explained += 1
        except InputError as error:
            line["error"] = {"type": type(error).__name__, "message": str(error)}
            failed += 1
        _append(output, json.dumps(line, sort_keys=True) + "\n")
        tell(f"row {number}: {'failed' if 'error' in line else 'done'}")
    return explained, failed, before


def _resume(output: Path) -> dict[int, tuple[str, bool]]:
    """Hash of each row in the output, and whether the row failed; a last line cut short by a crash is taken off it."""
    if not output.exists():
        return {}
    data = output.read_bytes()
    # A line without its end was being written when the run stopped; its row is explained again.
    whole = data.rfind(b"\n") + 1
    finished: dict[int, tuple[str, bool]] = {}
    for place, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            entry = json.loads(line)
            finished[int(entry["row"])] = (str(entry["text_sha256"]), "error" in entry)
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"line {place} of {output} was not written by whence; give another --output"
            ) from error
    if whole < len(data):
        with output.open("r+b") as stream:
            stream.truncate(whole)
    return finished


def _append(output: Path, line: str) -> None:
    """Append one line whole: what a full disk left of it is taken back."""
    size: int | None = None
    try:
        with output.open("ab") as stream:
            size = stream.tell()
            stream.write(line.encode("ascii"))
            stream.flush()
            # Written and synced before the next row is explained: an hour of work is not lost with
            # the machine.
            os.fsync(stream.fileno())
    except OSError as error:
        if size is not None and output.exists():
            os.truncate(output, size)
        raise WriteError(
            f"could not write to {output}: {error.strerror or error}. Every finished row is in it; "
            f"{write_advice(output, error)}, and run the same command again."
        ) from error


def read_table(
    path: Path, column: str, gold: str | None = None
) -> tuple[list[str], list[str] | None]:
    """Texts, and their true labels where a column of them is named.

    Raises:
        InputError: the file cannot be read, or a row is damaged.
        OptionError: no such column, a format whence does not read, or labels in lines of text.
    """
    if path.suffix.lower() != ".txt":
        rows = list(read_rows(path, column))
        return rows, None if gold is None else list(read_rows(path, gold))
    if gold is not None:
        raise OptionError(f"--gold {gold} needs a file with columns; {path.name} has lines alone")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}. Convert it first.") from error
    except OSError as error:
        raise InputError(f"could not read {path}: {error.strerror or error}") from error
    return [line for line in lines if line.strip()], None
