import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from whence.core.errors import RecordError, WriteError
from whence.students.export import folder as folders
from whence.students.export.folder import locked, write_folder
from whence.students.manifest import check_manifest, manifest_of

NAMES = ("model.json", "certificate.json", "rules.md")


def fill(mark):
    def write(folder):
        for name in NAMES:
            (folder / name).write_text(mark)
        return mark

    return write


def held(folder):
    return {(folder / name).read_text() for name in NAMES}


def test_a_folder_is_made_and_swapped_with_what_is_the_users(tmp_path):
    place = tmp_path / "some" / "student"
    assert write_folder(place, fill("one")) == "one"
    (place / "answers.sqlite").write_bytes(b"cache")
    (place / "notes").mkdir()
    (place / "notes" / "mine.txt").write_text("mine")
    (place / "tree.svg").write_text("of the first student")
    write_folder(place, fill("two"))
    assert held(place) == {"two"}
    check_manifest(place)
    assert (place / "answers.sqlite").read_bytes() == b"cache"
    assert (place / "notes" / "mine.txt").read_text() == "mine"
    assert not (place / "tree.svg").exists()
    assert [path.name for path in place.parent.iterdir()] == ["student"]


def test_what_fails_while_it_is_written_changes_nothing(tmp_path):
    place = tmp_path / "student"
    write_folder(place, fill("one"))

    def fail(folder):
        fill("two")(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(WriteError, match="No space left"):
        write_folder(place, fail)
    assert held(place) == {"one"}
    check_manifest(place)
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


@pytest.mark.parametrize("stop", range(1, 6))
def test_put_in_one_by_one_a_mixture_is_refused(tmp_path, monkeypatch, stop):
    """Where two names cannot change in one step: stopped after any file, nothing is read."""
    place = tmp_path / "student"
    write_folder(place, fill("one"))
    monkeypatch.setattr(folders, "_exchanged", lambda new, old: False)
    replaces = []

    def replace(source, target):
        # The first two write a manifest: that of the new folder, and the one that is refused.
        if len(replaces) == stop + 1:
            raise KeyboardInterrupt
        replaces.append(target)
        Path(source).rename(target)

    monkeypatch.setattr(os, "replace", replace)
    if stop < 5:
        with pytest.raises(KeyboardInterrupt):
            write_folder(place, fill("two"))
        with pytest.raises(RecordError, match="not written to its end"):
            check_manifest(place)
    else:
        write_folder(place, fill("two"))
        check_manifest(place)
        assert held(place) == {"two"}


def test_a_changed_file_is_named(tmp_path):
    fill("one")(tmp_path)
    (tmp_path / "router.json").write_text(json.dumps({"threshold": 0.9, "counts": {"student": 1}}))
    (tmp_path / "manifest.json").write_bytes(manifest_of(tmp_path))
    counted = {"threshold": 0.9, "counts": {"student": 5}}
    (tmp_path / "router.json").write_text(json.dumps(counted))
    check_manifest(tmp_path)
    (tmp_path / "router.json").write_text(json.dumps({**counted, "threshold": 0.1}))
    with pytest.raises(RecordError, match=r"router\.json is not what was written"):
        check_manifest(tmp_path)
    (tmp_path / "router.json").unlink()
    check_manifest(tmp_path)
    (tmp_path / "rules.md").write_text("two")
    with pytest.raises(RecordError, match=r"rules\.md is not what was written"):
        check_manifest(tmp_path)


WRITER = """
import sys
from pathlib import Path
from whence.students.export.folder import write_folder
def fill(mark):
    def write(folder):
        for name in ("model.json", "certificate.json", "rules.md"):
            (folder / name).write_text(mark)
    return write
print("ready", flush=True)
turn = 0
while True:
    turn += 1
    write_folder(Path(sys.argv[1]), fill(str(turn)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux changes two names in one step")
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path):
    for kill in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "student")], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.013 * kill)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert len(held(tmp_path / "student")) == 1
        check_manifest(tmp_path / "student")
    for path in Path(tmp_path).glob(".student.*"):
        shutil.rmtree(path)


def test_a_lock_lasts_over_a_swap(tmp_path):
    place = tmp_path / "student"
    write_folder(place, fill("one"))
    with locked(place):
        write_folder(place, fill("two"))
        code = (
            "import fcntl, sys\n"
            "try: fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
            "except BlockingIOError: sys.exit(3)\n"
        )
        other = subprocess.run([sys.executable, "-c", code, str(place / ".lock")], check=False)
        assert other.returncode == 3
