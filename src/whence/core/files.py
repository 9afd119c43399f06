"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from whence.core.errors import WriteError

__all__ = ["write_advice", "write_atomic"]


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
    name in one step. The mode of the file follows the user's umask, as with ``open``.

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
        os.chmod(temporary, 0o666 & ~_umask())
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
    return target


def _umask() -> int:
    # No call only reads the mask; for the instant between these two, files of other threads are
    # made with 022, the usual one.
    current = os.umask(0o022)
    os.umask(current)
    return current
