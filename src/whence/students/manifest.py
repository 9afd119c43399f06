"""The manifest of a student's folder: the SHA-256 of each file, checked at every load.

Standard library alone, so that a stored student starts fast; errors are imported to be raised.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NoReturn, cast

from whence.students.file_names import MANIFEST, ROUTER

__all__ = ["check_manifest", "manifest_of", "settings_of"]

_COUNTED = ("counts", "monitor", "random_state")
"""What a router adds to with each decision."""


def settings_of(tree: dict[str, Any]) -> dict[str, Any]:
    """A stored router without what it has counted."""
    return {name: value for name, value in tree.items() if name not in _COUNTED}


def manifest_of(folder: Path) -> bytes:
    """The manifest of the files that are in a folder.

    Args:
        folder: folder in which all files of a student stand, and no others.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = {path.relative_to(folder).as_posix(): _digest(path) for path in files}
    return (json.dumps({"files": digests}, indent=1, sort_keys=True) + "\n").encode()


def check_manifest(folder: Path) -> None:
    """Refuse a folder in which a file is not what was written with the others.

    A file that is gone is no one's mistake for another, and a folder without a manifest was
    written by an earlier version, or is a student alone: both are read.

    Args:
        folder: folder of a student.

    Raises:
        RecordError: a file differs, the manifest is damaged, or the folder was being written.
    """
    path = folder / MANIFEST
    try:
        tree = cast("dict[str, Any]", json.loads(path.read_bytes()))
        digests = {str(name): str(digest) for name, digest in tree["files"].items()}
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _refuse(
            f"{path} is no manifest ({type(error).__name__}): the folder was not written to its "
            "end, or the file is damaged. Distil again into it."
        )
    for name, digest in digests.items():
        file = folder / name
        # A name in a file that came from elsewhere must not reach beyond its folder.
        if ".." in file.parts or not file.is_file():
            continue
        if _digest(file) != digest:
            _refuse(
                f"{file} is not what was written with the other files of {folder}: expected the "
                f"SHA-256 {digest[:12]}... that {MANIFEST} names, got another. Distil again into "
                "the folder, or take back the file that belongs to it."
            )


def _digest(path: Path) -> str:
    data = path.read_bytes()
    if path.name == ROUTER:
        try:
            # Of its settings: what a router has counted changes with each decision.
            tree: Any = json.loads(data)
            # Damaged, its bytes have another digest than the settings had.
            if isinstance(tree, dict):
                settings = settings_of(cast("dict[str, Any]", tree))
                data = json.dumps(settings, sort_keys=True).encode()
        except (ValueError, RecursionError):
            pass
    return hashlib.sha256(data).hexdigest()


def _refuse(message: str) -> NoReturn:
    from whence.core.errors import RecordError

    raise RecordError(message)
