"""What a writer is told to do when a file could not be written."""

from __future__ import annotations

import errno

import pytest

from whence.core.errors import WriteError
from whence.core.files import write_advice, write_atomic


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "free some space"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "the folder reports does not exist"),
        (PermissionError(errno.EACCES, "Permission denied"), "choose another place"),
    ],
)
def test_advice_follows_the_error(error, advice):
    text = write_advice("reports/page.html", error)
    assert text.startswith(advice)
    assert ("space" in text) == (advice == "free some space")


def test_a_full_disk_leaves_what_stood_there(tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    target.write_bytes(b"before")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("whence.core.files.os.fsync", full)
    with pytest.raises(WriteError, match="free some space"):
        write_atomic(target, b"after")
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
