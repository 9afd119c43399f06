"""Records that lie in a student's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar, cast

from whence.core.record import Record
from whence.students.manifest import check_manifest

__all__ = ["FolderRecord"]

R = TypeVar("R", bound="FolderRecord")


class FolderRecord(Record):
    """A record that is read only where the files beside it were written with it."""

    __slots__ = ()

    @classmethod
    def load(cls: type[R], path: str | os.PathLike[str]) -> R:
        """Read a record of this kind back from ``path``.

        Raises:
            RecordError: the file is missing, damaged, of another kind or not valid, or a file of
                the folder is not what its manifest names.
            NewerVersionError: written by a newer whence.
        """
        check_manifest(Path(path).parent)
        return cast("R", super().load(path))
