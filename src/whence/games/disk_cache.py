"""The cache of evaluations in an SQLite file, for runs that are repeated or resumed."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from whence.core.errors import RecordError, WriteError

__all__ = ["DiskCache"]

SCHEMA_VERSION = 2
"""Written to the file; one more whenever a key or a value is stored otherwise. 1: values without their
checksums."""

APPLICATION = 0x77686E63
"""Number in the file's header that names the program whose SQLite file it is: "whnc"."""

CHECKSUM = 8
"""Bytes before each value: a BLAKE2b of key and value, so that a value under another key shows too."""

WAIT = 30.0
"""Seconds that another process may hold the file: as long as it takes to commit one batch. Chosen by
hand."""

CHECKED = 1 << 26
"""Bytes of a file up to which its tree is checked when it is opened: 64 MB are read in about 0.2 s. A
larger one is checked once a value turns out to be damaged."""

# IF NOT EXISTS: a file of version 1 whose making was cut short has the table and no version. WITHOUT
# ROWID stores a row in the tree of its key, so that a look-up searches one tree and not two.
TABLE = (
    "CREATE TABLE IF NOT EXISTS evaluations "
    "(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
)

R = TypeVar("R")

# Python decodes what SQLite says of a damaged file, names in it included.
_FAULTS = (sqlite3.Error, UnicodeDecodeError)

_DAMAGE = (
    "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ", "SQLITE_FORMAT", "SQLITE_TOOBIG",
)  # fmt: skip
# A header of zeros passes for an empty file, whose tables are then missing.
_DAMAGE_SHOWN = ("no such table", "no such column", "unsupported file format")


class DiskCache:
    """A cache in an SQLite file, for runs that are repeated or resumed.

    Each batch is one transaction: a run that is stopped keeps every finished batch. Several threads
    and processes may use one file, and a child process goes on with its parent's. A value that was
    damaged is asked again; a damaged file is renamed to ``PATH.damaged-...`` and begun anew, which
    the next record notes.

    Args:
        path: file; made where there is none. Its folder must exist.

    Raises:
        RecordError: the file is no cache of whence, or one of a newer version.
        WriteError: it cannot be opened or written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._notes: list[str] = []
        self._version = SCHEMA_VERSION
        self._suspect = False
        self._connection = self._open()

    def get(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """The stored values of some keys, ``None`` where there is none or it was damaged.

        Raises:
            WriteError: another process held the file for too long.
        """

        # One look-up a key: SQLite bounds the values in an IN (...) (999 before 3.32), and would
        # answer in an order of its own.
        def read(connection: sqlite3.Connection) -> list[bytes | None]:
            query = "SELECT value FROM evaluations WHERE key = ?"
            rows = (connection.execute(query, (key,)).fetchone() for key in keys)
            return [None if row is None else row[0] for row in rows]

        with self._lock:
            values = [
                None if stored is None else self._value(key, stored)
                for key, stored in zip(keys, self._run(read, "read from"), strict=True)
            ]
            if self._suspect:
                # Damage seldom comes alone: in a broken tree, values that are stored are not found.
                self._suspect = False
                self._run(_check_tree, "read from")
        return values

    def put(self, keys: Sequence[bytes], values: Sequence[np.ndarray]) -> None:
        """Store some values, in one transaction.

        Raises:
            WriteError: the disk is full or the file cannot be written; the batch is not stored.
        """
        rows = [
            (key, _packed(key, np.asarray(value, dtype="<f8").tobytes()))
            for key, value in zip(keys, values, strict=True)
        ]

        def write(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                # REPLACE, since another process may have stored the same key meanwhile; the value
                # is the same.
                connection.executemany(
                    "INSERT OR REPLACE INTO evaluations (key, value) VALUES (?, ?)", rows
                )

        self._run(write, f"write {len(rows)} evaluations to")

    def __len__(self) -> int:
        count = "SELECT count(*) FROM evaluations"
        return int(self._run(lambda c: c.execute(count).fetchone()[0], "read from"))

    def take_notes(self) -> list[str]:
        """What a reader must know of the file, each sentence once."""
        with self._lock:
            notes, self._notes = self._notes, []
        return notes

    def close(self) -> None:
        """Close the file."""
        with self._lock:
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

    def _value(self, key: bytes, stored: object) -> np.ndarray | None:
        # A damaged page may hold a value of another type.
        content = stored[CHECKSUM:] if isinstance(stored, bytes) else b""
        if self._version == 1 and isinstance(stored, bytes):
            content = stored
        elif stored != _packed(key, content):
            content = b""
        # One number or more of eight bytes: nothing else was ever stored.
        if not content or len(content) % 8:
            note = f"a value in the cache {self.path} was damaged, and was asked again"
            if note not in self._notes:
                self._notes.append(note)
            self._suspect = True
            return None
        # "<f8" reads alike on machines of either byte order; frombuffer alone gives a read-only view.
        return np.frombuffer(content, dtype="<f8").copy()

    def _run(self, work: Callable[[sqlite3.Connection], R], what: str) -> R:
        """``work``, once more on a fresh file where this one turns out to be damaged."""
        with self._lock:
            if os.getpid() != self._process:
                # SQLite forbids a connection to be carried over a fork.
                self._connection = self._open()
            try:
                return work(self._connection)
            except _FAULTS as error:
                if not _is_damage(error):
                    raise self._refusal(error, what) from error
            self._set_aside()
            self._connection = self._open()
            try:
                return work(self._connection)
            except _FAULTS as error:
                raise self._refusal(error, what) from error

    def _refusal(self, error: Exception, what: str) -> WriteError:
        return WriteError(
            f"could not {what} the cache {self.path}: {error}. Free some space, make the file and its "
            "folder writable, wait for the process that holds it, or run without a cache on disk."
        )

    def _open(self) -> sqlite3.Connection:
        self._process = os.getpid()
        try:
            return self._connect()
        except _FAULTS as error:
            if not _is_damage(error):
                raise WriteError(
                    f"could not open the cache {self.path}: {error}. Its folder must exist and be "
                    "writable."
                ) from error
            if not _was_ours(self.path):
                raise RecordError(
                    f"{self.path} is no SQLite file, or a damaged one of which nothing says that whence "
                    f"wrote it: {error}. Choose another path, or remove the file."
                ) from error
        self._set_aside()
        try:
            return self._connect()
        except _FAULTS as error:
            raise self._refusal(error, "begin") from error

    def _connect(self) -> sqlite3.Connection:
        # Transactions are begun by hand: sqlite3 would put none around CREATE TABLE and PRAGMA.
        connection = sqlite3.connect(
            self.path, timeout=WAIT, isolation_level=None, check_same_thread=False
        )
        # As bytes: a damaged text is seldom UTF-8.
        connection.text_factory = bytes
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        # SQLite opens a file lazily; by now it is open, and this is the one that is.
        self._inode = _inode(self.path)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self._version = _checked_version(connection, self.path)
        if self._version > 0 and self.path.stat().st_size <= CHECKED:
            _check_tree(connection)
        if self._version == SCHEMA_VERSION:
            return
        try:
            with _transaction(connection):
                # Read again: another process may have done this between the two.
                self._version = _checked_version(connection, self.path)
                if self._version == 1:
                    _add_checksums(connection)
                if self._version != SCHEMA_VERSION:
                    connection.execute(TABLE)
                    # In the transaction, as the header is a page like others: a kill leaves an empty
                    # file or a cache, and nothing between them.
                    connection.execute(f"PRAGMA application_id = {APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                    self._version = SCHEMA_VERSION
        except sqlite3.OperationalError as error:
            # A file that may only be read is read as it is.
            if self._version != 1 or "readonly" not in str(error):
                raise

    def _set_aside(self) -> None:
        """Rename the damaged file, unless another process has begun a new one in its place."""
        inode = getattr(self, "_inode", None)
        connection: sqlite3.Connection | None = getattr(self, "_connection", None)
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        if inode is not None and _inode(self.path) != inode:
            return
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        try:
            os.replace(self.path, aside)
            # With its journal, which SQLite would else play back into the new file.
            for tail in ("-journal", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.replace(f"{self.path}{tail}", f"{aside}{tail}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise WriteError(
                f"the cache {self.path} is damaged and could not be renamed: {error}. Choose another "
                "path, or remove the file."
            ) from error
        self._notes.append(
            f"the cache {self.path} was damaged; it was set aside as {aside.name} and begun anew"
        )


class _transaction:  # noqa: N801 - used as a function
    """A transaction that holds the file for writing from its first statement on."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        # IMMEDIATE: two that both read first and write then would each wait for the other.
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")


def _packed(key: bytes, content: bytes) -> bytes:
    digest = hashlib.blake2b(content, digest_size=CHECKSUM, key=hashlib.sha256(key).digest())
    return digest.digest() + content


def _add_checksums(connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT key, value FROM evaluations").fetchall()
    connection.executemany(
        "UPDATE evaluations SET value = ? WHERE key = ?",
        [(_packed(key, value), key) for key, value in rows],
    )


def _check_tree(connection: sqlite3.Connection) -> None:
    """Refuse a file whose pages do not hang together.

    Raises:
        _BrokenTreeError: they do not.
    """
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != b"ok":
        raise _BrokenTreeError(verdict.decode(errors="replace"))


class _BrokenTreeError(sqlite3.DatabaseError):
    """What SQLite reports of a file without raising it."""


def _checked_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a cache, 0 for a file that is still to become one.

    Raises:
        RecordError: another program's file, or a newer version.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{path} is a cache of version {version}; this whence reads {SCHEMA_VERSION}"
        )
    # user_version is 0 in every SQLite file that does not set it, so only one without tables, or with
    # that of a making that was cut short, is made a cache; another program's is left alone.
    if tables - {b"evaluations"} or (version > 0 and not tables):
        raise RecordError(f"{path} is an SQLite file, but no cache of whence")
    return version


def _is_damage(error: Exception) -> bool:
    """Whether the file's content is at fault, and not its place, its rights or its size."""
    if isinstance(error, _BrokenTreeError | UnicodeDecodeError):
        return True
    name, text = getattr(error, "sqlite_errorname", ""), str(error)
    return name.startswith(_DAMAGE) or any(sign in text for sign in _DAMAGE_SHOWN)


def _was_ours(path: Path) -> bool:
    """Whether a file that SQLite cannot read shows signs of a cache."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(65536)
    except OSError:
        return False
    # Bytes 68 to 71 of an SQLite file; the table's name in the first page, for files of version 1;
    # a page of zeros is what a file system may leave after a power cut.
    named = head[68:72] == APPLICATION.to_bytes(4, "big")
    return named or b"TABLE evaluations" in head or (len(head) > 512 and not any(head[100:512]))


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
