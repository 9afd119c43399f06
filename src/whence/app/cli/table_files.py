"""Reading tables of texts: JSONL, CSV, TSV, Parquet, or a folder of text files.

A file is read through once before anything is computed, so that what is wrong with it as a whole is
told at once; what is wrong with one row alone stays with that row.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from whence.core.errors import InputError, OptionError, unknown

__all__ = ["TableRow", "read_rows", "read_table", "table_rows"]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table.

    Attributes:
        number: number of the row, counted from 1.
        place: name of the place it stands at, for messages.
        cells: cells by column; empty where the row could not be read.
        problem: what is wrong with the row; ``None``: nothing.
    """

    number: int
    place: str
    cells: dict[str, Any]
    problem: str | None = None

    def text(self, column: str) -> str:
        """The text under a column.

        Raises:
            InputError: the row is damaged, or holds no text there.
        """
        if self.problem is not None:
            raise InputError(f"{self.place}: {self.problem}")
        if column not in self.cells:
            raise InputError(f"{self.place}: the row has no {column!r}")
        cell = self.cells[column]
        if not isinstance(cell, str):
            raise InputError(
                f"{self.place}: expected text under {column!r}, got {type(cell).__name__}"
            )
        return cell


def table_rows(path: Path, column: str) -> Callable[[], Iterator[TableRow]]:
    """A function that reads the rows of a table, which was read through once before.

    Raises:
        InputError: the file cannot be read, is damaged as a whole, or has no row.
        OptionError: no row has such a column, or a format whence does not read.
    """
    readers = {".jsonl": _jsonl, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    reader = _folder if path.is_dir() else readers.get(path.suffix.lower())
    if reader is None:
        raise OptionError(
            f"expected a .jsonl, .csv, .tsv or .parquet file, or a folder of .txt files, got {path.name}"
        )

    def read() -> Iterator[TableRow]:
        try:
            yield from reader(path)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8: {error}. Convert it first.") from error
        except OSError as error:
            raise InputError(f"could not read {path}: {error.strerror or error}") from error

    count, columns = 0, dict[str, None]()
    for row in read():
        count += 1
        columns.update(dict.fromkeys(row.cells))
    if not count:
        raise InputError(f"{path} has no rows")
    if column not in columns and columns:
        raise unknown("column", column, columns)
    return read


def read_rows(path: Path, column: str) -> Iterator[str]:
    """The texts of a table's column, in order.

    Raises:
        InputError: the file cannot be read, or a row is damaged.
        OptionError: no such column, or a format whence does not read.
    """
    for row in table_rows(path, column)():
        yield row.text(column)


def _jsonl(path: Path) -> Iterator[TableRow]:
    # utf-8-sig: a byte order mark would else stand before the first brace.
    with path.open(encoding="utf-8-sig") as stream:
        lines = ((line, text) for line, text in enumerate(stream, start=1) if text.strip())
        for number, (line, text) in enumerate(lines, start=1):
            place = f"line {line} of {path}"
            try:
                cells = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield TableRow(number, place, {}, f"not JSON: {error}")
                continue
            if isinstance(cells, dict):
                yield TableRow(number, place, cast("dict[str, Any]", cells))
            else:
                yield TableRow(number, place, {}, "no JSON object")


def _csv(path: Path) -> Iterator[TableRow]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    # The limit is one for the process, and 131,072 characters by default: a long note is longer.
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        # utf-8-sig: Excel writes a byte order mark, which would become a part of the first column's
        # name. newline="": a quoted field may hold line breaks, and the reader of csv must see them.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            # strict: a quote that is never closed would else swallow every row after it.
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            head: list[str] = []
            number, start = 0, 1
            try:
                for cells in reader:
                    first, start = start, reader.line_num + 1
                    if not cells:
                        continue
                    if not head:
                        head = _head(cells, path)
                        continue
                    number += 1
                    yield _csv_row(number, f"line {first} of {path}", head, cells)
            except csv.Error as error:
                raise InputError(
                    f"{path} is no readable table from line {start} on: {error}. A quote that opens a "
                    "cell has to be closed, and one inside it is written twice"
                ) from error
    finally:
        csv.field_size_limit(before)


def _head(cells: list[str], path: Path) -> list[str]:
    twice = next((cell for cell in cells if cells.count(cell) > 1), None)
    if twice is not None:
        raise InputError(f"the head of {path} names the column {twice!r} twice; rename one")
    return cells


def _csv_row(number: int, place: str, head: list[str], cells: list[str]) -> TableRow:
    if len(cells) == len(head):
        return TableRow(number, place, dict(zip(head, cells, strict=True)))
    problem = (
        f"expected {len(head)} cells as in the head, got {len(cells)}; a text with the "
        "delimiter in it has to stand in quotes"
    )
    return TableRow(number, place, {}, problem)


def _parquet(path: Path) -> Iterator[TableRow]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise OptionError(
            "reading Parquet needs pyarrow; install it with: pip install 'whence[parquet]'"
        ) from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for cells in batch.to_pylist():
                    number += 1
                    yield TableRow(number, f"row {number} of {path}", cells)
    except ArrowException as error:
        raise InputError(f"{path} is no readable Parquet file: {error}") from error


def _folder(path: Path) -> Iterator[TableRow]:
    """A row for each text file, in the order of their names: its text and its name."""
    for number, file in enumerate(sorted(path.glob("*.txt")), start=1):
        try:
            cells = {"file": file.name, "text": file.read_text("utf-8-sig")}
            yield TableRow(number, str(file), cells)
        except UnicodeDecodeError as error:
            yield TableRow(number, str(file), {}, f"not UTF-8: {error}")


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
