"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from whence.core.errors import WriteError

__all__ = ["lock_file", "write_advice", "write_atomic"]


def lock_file(descriptor: int) -> bool:
    """Lock an open file against other processes until it is closed; false where another holds it.

    The lock is advisory (``flock``): it keeps apart programs that ask for it. Where the system has none,
    the file counts as locked.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_advice(path: str | os.PathLike[str], error: OSError) -> str:
    """What to do about a file that could not be written.

    Example:
        >>> write_advice("reports/e.html", FileNotFoundError())
        'the folder reports does not exist: make it, or choose another place'
    """
    if isinstance(error, FileNotFoundError):
        return f"the folder {Path(path).parent} does not exist: make it, or choose another place"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space, or choose another place"
    return "choose another place"


def write_atomic(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never half.

    The bytes go to a temporary file in the same folder, are flushed to the disk and take the
    name in one step. A file that stands there keeps its mode; that of a new one follows the user's
    umask, as with ``open``. A symbolic link stays, and the file that it names is written. A pipe or a
    device is written to as it is.

    Raises:
        WriteError: folder missing, no permission, disk full; no partial file is left behind.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(Path(folder) / "note.txt", b"kept").read_bytes()
        b'kept'
    """
    target = Path(path)
    temporary: str | None = None
    try:
        mode = _mode(target)
        if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            with target.open("wb") as stream:
                stream.write(data)
            return target
        # The name that a link points to, so that the link is not replaced by a file.
        target = target.resolve() if target.is_symlink() else target
        # In the folder of the target: os.replace is one step within a file system alone. The
        # leading dot hides it from listings meanwhile.
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            # Before the new name: a file system may write names before contents, and after a power
            # cut the name would stand for an empty file.
            os.fsync(stream.fileno())
        # mkstemp makes 0600; a result file should be as readable as any the user writes.
        os.chmod(temporary, 0o666 & ~_umask() if mode is None else stat.S_IMODE(mode))
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        reason = error.strerror or str(error)
        raise WriteError(
            f"could not write {target} ({len(data):,} bytes): {reason}. "
            f"Nothing was changed there; {write_advice(target, error)}."
        ) from error
    # A stop by the user (KeyboardInterrupt) is no Exception, and must leave no temporary file
    # either.
    except BaseException:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        raise
    return Path(path)


def _mode(path: Path) -> int | None:
    """The mode of what stands at a path, through links; ``None``: nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _umask() -> int:
    # No call only reads the mask; for the instant between these two, files of other threads are
    # made with 022, the usual one.
    current = os.umask(0o022)
    os.umask(current)
    return current
