"""Explaining the rows of a table: one JSON line a row, in a file that grows and can be resumed.

Each line states the row, a hash of its text, the options and the model it was explained with, so that
an output is never continued with others.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from whence.app.cli.table_files import TableRow
from whence.core.errors import Interrupted, ModelLoadError, OptionError, RecordError, WriteError
from whence.core.explanations import Attribution
from whence.core.files import lock_file, write_advice, write_atomic

__all__ = ["Batch", "BatchCount"]

ALIKE = 3
"""Rows that fail with one and the same message before any row was explained, after which a run ends: it is
the options or the model that fail, not the rows. Chosen by hand."""

FIRST = b'{"row": '
"""How each line begins; what a kill leaves of a line is told by it from another's file."""


@dataclass(slots=True)
class BatchCount:
    """Rows explained now and before, and what failed rows say (now or before)."""

    explained: int = 0
    before: int = 0
    errors: list[str] = field(default_factory=list[str])

    @property
    def failed(self) -> int:
        """Number of failed rows."""
        return len(self.errors)


@dataclass(frozen=True, slots=True)
class Batch:
    """A run over the rows of a table.

    Attributes:
        column: column of the texts; the others are copied to the output.
        run: options and model, as each line states them.
        explain: function from a text to its explanation.
        retry: whether rows that failed in an earlier run are explained again.
        anew: whether what stands in the output is given up.
        tell: function that prints progress.
        total: number of rows of the table.
        after_first: function that is told, once the first row is explained, how many rows are left
            and how many seconds it took.
    """

    column: str
    run: Mapping[str, Any]
    explain: Callable[[str], Attribution]
    retry: bool
    anew: bool
    tell: Callable[[str], None]
    total: int
    after_first: Callable[[int, float], None]

    def write(self, rows: Iterator[TableRow], output: Path) -> BatchCount:
        """Explain each row and append its line.

        A row that fails gets a line with its error, and the run goes on; see :data:`ALIKE` for when it
        does not. Rows that failed in an earlier run count as failed.

        Raises:
            OptionError: another process writes to the output, or it was begun with other options or
                another model.
            RecordError: the output is damaged, or of other rows.
            WriteError: the output cannot be written; every finished line is whole.
        """
        if self.retry and not self.anew:
            self._drop_failed(output)
        with _opened(output) as stream:
            # Under the lock: another process may be writing to it.
            if self.anew and _regular(stream):
                stream.truncate(0)
            entries, whole = self._entries(output, stream)
            if whole is not None:
                stream.truncate(whole)
                stream.seek(whole)
            return self._explained(rows, output, stream, entries)

    def _drop_failed(self, output: Path) -> None:
        """Take the lines of failed rows out of an output, in one step."""
        if not output.is_file():
            return
        with _opened(output) as stream:
            entries, whole = self._entries(output, stream)
            lines = output.read_bytes()[:whole].split(b"\n")[:-1]
            good = [
                line
                for line, entry in zip(lines, entries.values(), strict=True)
                if "error" not in entry
            ]
            if len(good) < len(lines):
                write_atomic(output, b"".join(line + b"\n" for line in good))

    def _explained(
        self, rows: Iterator[TableRow], output: Path, stream: IO[bytes], finished: dict[int, Any]
    ) -> BatchCount:
        count = BatchCount()
        alike: list[str] = []
        number = 0
        for row in rows:
            number = row.number
            digest = _digest(row, self.column)
            standing = finished.get(row.number)
            if standing is not None:
                if standing["text_sha256"] != digest:
                    raise RecordError(
                        f"row {row.number} is another text than the one {output} was written for; "
                        "give another --output, or --overwrite to begin anew"
                    )
                if "error" in standing:
                    count.errors.append(_said(row, standing["error"]))
                else:
                    count.before += 1
                continue
            line = {"row": row.number, "text_sha256": digest, "run": self.run}
            started = time.perf_counter()
            line["columns"] = {k: v for k, v in row.cells.items() if k != self.column}
            try:
                line["record"] = json.loads(self.explain(row.text(self.column)).to_json())
                count.explained += 1
            except (WriteError, ModelLoadError, Interrupted):
                raise
            # The model's own code runs here, and may raise anything for one row.
            except Exception as error:
                alike.append(f"{type(error).__name__}: {error}")
                if (
                    not count.explained
                    and not count.before
                    and alike[-ALIKE:] == alike[-1:] * ALIKE
                ):
                    raise
                line["error"] = {"type": type(error).__name__, "message": str(error)}
                count.errors.append(_said(row, line["error"]))
            _append(stream, output, json.dumps(line, default=str) + "\n")
            self.tell(f"row {row.number}: {'failed' if 'error' in line else 'done'}")
            if count.explained == 1 and "record" in line:
                left = self.total - number - sum(standing > number for standing in finished)
                self.after_first(left, time.perf_counter() - started)
        if finished and max(finished) > number:
            raise RecordError(
                f"{output} holds row {max(finished)}, and the input has {number} rows: it was written "
                "for another input; give another --output, or --overwrite to begin anew"
            )
        return count

    def _entries(
        self, output: Path, stream: IO[bytes]
    ) -> tuple[dict[int, dict[str, Any]], int | None]:
        """The line of each row that stands in the output, in their order, and the bytes of whole lines."""
        if not _regular(stream):
            return {}, None
        data = output.read_bytes()
        whole = data.rfind(b"\n") + 1
        entries: dict[int, dict[str, Any]] = {}
        for place, text in enumerate(data[:whole].split(b"\n")[:-1], start=1):
            entry = _entry(text)
            if entry is None:
                raise RecordError(
                    f"line {place} of {output} was not written by whence; give another --output"
                )
            if entry["row"] in entries:
                raise RecordError(f"{output} holds row {entry['row']} twice; give another --output")
            self._compare(entry, output)
            entries[entry["row"]] = {k: v for k, v in entry.items() if k != "record"}
        rest = data[whole:]
        # A line without its end was being written when the run stopped; its row is explained again.
        if rest and not (rest.startswith(FIRST) or FIRST.startswith(rest)):
            raise RecordError(f"{output} was not written by whence; give another --output")
        return entries, whole

    def _compare(self, entry: Mapping[str, Any], output: Path) -> None:
        before = cast("Mapping[str, Any]", entry["run"])
        now = json.loads(json.dumps(self.run, default=str))
        for name in dict.fromkeys([*now, *before]):
            if before.get(name) != now.get(name):
                raise OptionError(
                    f"{output} was begun with {name} {before.get(name)!r}, and this run has "
                    f"{name} {now.get(name)!r}; give another --output, or --overwrite to begin anew"
                )


def _said(row: TableRow, error: Mapping[str, str]) -> str:
    return f"row {row.number}: {error.get('message')}"


def _entry(text: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("row"), int):
        return None
    if not isinstance(entry.get("text_sha256"), str) or ("record" in entry) == ("error" in entry):
        return None
    entry.setdefault("run", {})
    return cast("dict[str, Any]", entry) if isinstance(entry["run"], dict) else None


def _digest(row: TableRow, column: str) -> str:
    cell = row.cells.get(column)
    # JSON may hold half a surrogate pair, which plain UTF-8 refuses. Such a row gets its line with an
    # error like any other that cannot be explained.
    text = cell if isinstance(cell, str) else json.dumps([cell, row.problem], default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def _opened(output: Path) -> Generator[IO[bytes]]:
    """The output, open to append and locked against other processes."""
    try:
        # A pipe or a device is written to, and cannot be read back.
        plain = not output.exists() or output.is_file()
        flags = os.O_RDWR | os.O_CREAT if plain else os.O_WRONLY
        descriptor = os.open(output, flags, 0o666)
    except OSError as error:
        raise WriteError(
            f"could not write to {output}: {error.strerror or error}; {write_advice(output, error)}"
        ) from error
    with os.fdopen(descriptor, "r+b" if plain else "wb", buffering=0) as stream:
        # Retrying replaces the file in one step: a lock on the one of before would guard nothing.
        if not lock_file(stream.fileno()) or (plain and not _same_file(stream, output)):
            raise OptionError(f"another process writes to {output}; give another --output")
        yield stream


def _same_file(stream: IO[bytes], output: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), output.stat())
    except FileNotFoundError:
        return False


def _regular(stream: IO[bytes]) -> bool:
    return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)


def _append(stream: IO[bytes], output: Path, line: str) -> None:
    """Append one line whole: what a full disk left of it is taken back."""
    regular = _regular(stream)
    size = stream.tell() if regular else 0
    try:
        data = line.encode("ascii")
        while data:
            data = data[stream.write(data) :]
        if regular:
            # Written and synced before the next row is explained: an hour of work is not lost with
            # the machine.
            os.fsync(stream.fileno())
    except OSError as error:
        if regular:
            stream.truncate(size)
        raise WriteError(
            f"could not write to {output}: {error.strerror or error}. Every finished row is in it; "
            f"{write_advice(output, error)}, and run the same command again."
        ) from error
