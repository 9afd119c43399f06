"""The cache of evaluations: a model's answers, by model, readout and input.

Explanations, metrics and students share it. The key is a SHA-256
over the model's fingerprint, the readout and the row as the model read it; text and masker are
in the row. Values are float64, stored bit for bit.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np

from whence.core.errors import OptionError, RecordError, WriteError

__all__ = ["Cache", "DiskCache", "MemoryCache", "cache_key"]

SCHEMA_VERSION = 1
"""Written to the file; one more whenever a key or a value is stored otherwise."""


def cache_key(fingerprint: str, readout: str, row: bytes) -> bytes:
    """The key of one evaluation: 32 bytes.

    Example:
        >>> len(cache_key("model", "readout", b"row"))
        32
    """
    digest = hashlib.sha256()
    for part in (fingerprint.encode(), readout.encode(), row):
        # Lengths keep the parts apart: ("a", "bc") and ("ab", "c") would else share a key.
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


@runtime_checkable
class Cache(Protocol):
    """A store of evaluations."""

    def get(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """The stored values of some keys, ``None`` where there is none."""
        ...

    def put(self, keys: Sequence[bytes], values: Sequence[np.ndarray]) -> None:
        """Store some values."""
        ...


class MemoryCache:
    """A cache in memory; the least recently used evaluations leave when it is full.

    Args:
        most: number of stored evaluations at most; the million of the default is chosen by hand and
            takes about 260 MB where one number is explained.
    """

    def __init__(self, most: int = 1_000_000) -> None:
        if most < 1:
            raise OptionError(f"expected room for 1 evaluation or more, got most={most}")
        self._most = most
        self._values: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """The stored values of some keys, ``None`` where there is none."""
        values: list[np.ndarray | None] = []
        for key in keys:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            values.append(value)
        return values

    def put(self, keys: Sequence[bytes], values: Sequence[np.ndarray]) -> None:
        """Store some values."""
        for key, value in zip(keys, values, strict=True):
            self._values[key] = value
            self._values.move_to_end(key)
        while len(self._values) > self._most:
            self._values.popitem(last=False)


class DiskCache:
    """A cache in an SQLite file, for runs that are repeated or resumed.

    Each batch is one transaction: a run that is stopped keeps every finished batch. Several
    processes may use one file.

    Args:
        path: file; made where there is none. Its folder must exist.

    Raises:
        RecordError: the file is no cache of whence, or one of a newer version.
        WriteError: it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            # Seconds: another process holds the file for as long as it takes to commit one batch.
            # Chosen by hand.
            self._connection = sqlite3.connect(self.path, timeout=30.0)
            version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            tables = {
                str(name) for (name,) in self._connection.execute("SELECT name FROM sqlite_master")
            }
            # user_version is 0 in every SQLite file that does not set it, so only a file without
            # tables is made a cache; another program's database is left alone.
            if version == 0 and not tables:
                with self._connection:
                    self._connection.execute(
                        # IF NOT EXISTS, as two processes may find the file empty at once. WITHOUT
                        # ROWID stores a row in the tree of its key, so that a look-up searches one
                        # tree and not two.
                        "CREATE TABLE IF NOT EXISTS evaluations "
                        "(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
                    )
                    self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                version = SCHEMA_VERSION
        # A DatabaseError too, so it is caught first: the path is at fault and not the content.
        except sqlite3.OperationalError as error:
            raise WriteError(
                f"could not open the cache {self.path}: {error}. Its folder must exist and be "
                "writable."
            ) from error
        # connect() opens lazily: bytes that are no database show at the first statement only, so
        # there is a connection to close.
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise RecordError(f"{self.path} is no SQLite file: {error}") from error
        if version > SCHEMA_VERSION:
            self._connection.close()
            raise RecordError(
                f"{self.path} is a cache of version {version}; this whence reads {SCHEMA_VERSION}"
            )
        if version != SCHEMA_VERSION:
            self._connection.close()
            raise RecordError(f"{self.path} is an SQLite file, but no cache of whence")

    def get(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """The stored values of some keys, ``None`` where there is none."""
        values: list[np.ndarray | None] = []
        # One look-up a key: SQLite bounds the values in an IN (...) (999 before 3.32), and would
        # answer in an order of its own.
        for key in keys:
            row = self._connection.execute(
                "SELECT value FROM evaluations WHERE key = ?", (key,)
            ).fetchone()
            # "<f8" reads alike on machines of either byte order; frombuffer alone gives a read-only
            # view.
            values.append(None if row is None else np.frombuffer(row[0], dtype="<f8").copy())
        return values

    def put(self, keys: Sequence[bytes], values: Sequence[np.ndarray]) -> None:
        """Store some values, in one transaction.

        Raises:
            WriteError: the disk is full or the file cannot be written; the batch is not stored.
        """
        rows = [
            (key, np.asarray(value, dtype="<f8").tobytes())
            for key, value in zip(keys, values, strict=True)
        ]
        try:
            with self._connection:
                # REPLACE, since another process may have stored the same key meanwhile; the value
                # is the same.
                self._connection.executemany(
                    "INSERT OR REPLACE INTO evaluations (key, value) VALUES (?, ?)", rows
                )
        except sqlite3.Error as error:
            raise WriteError(
                f"could not write {len(rows)} evaluations to the cache {self.path}: {error}. "
                "Free some space, or run without a cache on disk."
            ) from error

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM evaluations").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> DiskCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
