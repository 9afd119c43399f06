"""A student's folder, swapped whole: a reader finds the old files or the new, never some of each."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from whence.core.errors import WriteError
from whence.core.files import write_advice, write_atomic
from whence.students.file_names import LOCK, MANIFEST, OURS
from whence.students.manifest import manifest_of

__all__ = ["locked", "write_folder"]

T = TypeVar("T")

_EXCHANGE = 2
"""``RENAME_EXCHANGE`` of Linux's renameat2(2): two names change places in one step."""

_HERE = -100
"""``AT_FDCWD``: paths are those of the working folder."""


def write_folder(target: Path, write: Callable[[Path], T]) -> T:
    """Fill a new folder, add its manifest, and put it in the place of an old one.

    The files are written to a folder beside the target and flushed to the disk; then the two change
    names. What is in the old folder and is no file of a student (a cache of answers, say) goes
    along. Where the system cannot change two names in one step, or the target is where the
    process works, files are put into the target one by one; until all stand, its manifest
    refuses to be read.

    Args:
        target: folder, made where it is missing.
        write: function that fills an empty folder.

    Returns:
        What ``write`` gives.

    Raises:
        WriteError: it could not be written; then what stood there still does, unless files were
            put in one by one.
    """
    place = target.resolve()
    new: Path | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target: names are changed within one file system alone.
        new = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
        result = write(new)
        write_atomic(new / MANIFEST, manifest_of(new))
        _flush(new)
        _put(new, place)
        return result
    except OSError as error:
        raise WriteError(
            f"could not write the folder {target}: {error.strerror or error}; "
            f"{write_advice(target, error)}."
        ) from error
    finally:
        if new is not None:
            shutil.rmtree(new, ignore_errors=True)


def _put(new: Path, place: Path) -> None:
    if not place.exists():
        new.chmod(0o777 & ~_umask())
        new.rename(place)
        _flush(place.parent)
        return
    new.chmod(place.stat().st_mode & 0o7777)
    for path in place.iterdir():
        if path.name not in OURS:
            _link(path, new / path.name)
    # A shell that stands in the folder would be left in one that is gone.
    if place == Path.cwd().resolve() or not _exchanged(new, place):
        _put_one_by_one(new, place)
    _flush(place.parent)


def _exchanged(new: Path, place: Path) -> bool:
    """Let two folders change names; whether this system does that."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return rename(_HERE, os.fsencode(new), _HERE, os.fsencode(place), _EXCHANGE) == 0


def _put_one_by_one(new: Path, place: Path) -> None:
    # First a manifest that is none: whoever reads before the last file stands is refused.
    write_atomic(place / MANIFEST, b"being written\n")
    for path in place.iterdir():
        if path.name in OURS - {MANIFEST, LOCK} and not (new / path.name).exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in new.iterdir():
        if path.name not in OURS or path.name == MANIFEST:
            continue
        if path.is_dir() and (place / path.name).exists():
            shutil.rmtree(place / path.name)
        os.replace(path, place / path.name)
    _flush(place)
    os.replace(new / MANIFEST, place / MANIFEST)


def _link(path: Path, to: Path) -> None:
    """The same file under a second name, or else a copy."""
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, to, symlinks=True, copy_function=_link_file)
    else:
        _link_file(str(path), str(to))


def _link_file(path: str, to: str) -> None:
    try:
        os.link(path, to, follow_symlinks=False)
    except OSError:
        shutil.copy2(path, to, follow_symlinks=False)


def _flush(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    # Some systems open no folder, and write names by themselves.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold the folder against other processes that would write to it.

    Raises:
        WriteError: the lock could not be made there.
    """
    try:
        stream = (folder / LOCK).open("a")
    except OSError as error:
        raise WriteError(
            f"could not write {folder / LOCK}: {error.strerror or error}; counts and audits are "
            "kept in the folder, so make it writable"
        ) from error
    with stream:
        _lock(stream.fileno())
        # Closing the file gives the lock back.
        yield


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
