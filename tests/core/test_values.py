"""Documents, features, files and errors."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from whence.core import Document, Feature, InputError, Part, Segmentation, Span, WriteError
from whence.core.errors import (
    BudgetError,
    Interrupted,
    TextTooLongError,
    WhenceError,
    unknown,
)
from whence.core.files import write_atomic


def test_documents_join_their_parts():
    document = Document.join({"first": "ab", "second": "c"})
    assert document.text == "ab\nc"
    assert [(p.name, p.start, p.end) for p in document.parts] == [("first", 0, 2), ("second", 3, 4)]


@pytest.mark.parametrize(
    "parts",
    [
        [("a", 0, 9)],
        [("a", 2, 1)],
        [("a", 0, 2), ("b", 1, 3)],
    ],
)
def test_parts_lie_in_the_text_in_order(parts):
    made = tuple(Part(name=n, start=a, end=b) for n, a, b in parts)
    with pytest.raises(ValueError, match="part"):
        Document(text="abc", parts=made)


def test_spans_are_intervals():
    with pytest.raises(ValueError, match="interval"):
        Span(start=3, end=2)


def test_features_stand_where_they_say():
    document = Document.plain("ab cd")
    good = Feature(start=0, end=2, text="ab", part="text")
    with pytest.raises(ValueError, match="not at"):
        Segmentation(
            unit="word",
            document=document,
            features=(Feature(start=0, end=2, text="xx", part="text"),),
        )
    with pytest.raises(ValueError, match="overlap"):
        Segmentation(unit="word", document=document, features=(good, good))
    assert len(Segmentation(unit="word", document=document, features=(good,))) == 1


def test_lone_surrogates_are_refused_with_their_place():
    with pytest.raises(InputError, match=r"U\+DC80 at character 2"):
        Document.plain("ab\udc80").require_encodable()
    Document.plain("ab \U0001f44d").require_encodable()


def test_unknown_names_suggest_the_nearest():
    assert "did you mean 'word'" in str(unknown("unit", "wrod", ["word", "token"]))
    assert "did you mean" not in str(unknown("unit", "zzz", ["word"]))
    assert "nothing to choose" in str(unknown("unit", "zzz", []))
    assert "and 3 more" in str(unknown("unit", "zzz", [f"n{i}" for i in range(15)]))


def test_errors_carry_their_numbers():
    assert TextTooLongError("m", length=9, limit=5).passages == ()
    error = BudgetError("m", needed=7, budget=3)
    assert (error.needed, error.budget) == (7, 3)
    stopped = Interrupted("m", evaluations=2)
    assert isinstance(stopped, KeyboardInterrupt)
    assert isinstance(stopped, WhenceError)
    assert stopped.evaluations == 2


def test_files_are_written_whole_with_the_users_mode(tmp_path):
    path = tmp_path / "a.txt"
    old = os.umask(0o027)
    try:
        write_atomic(path, b"one")
    finally:
        os.umask(old)
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    write_atomic(str(path), b"two")
    assert path.read_bytes() == b"two"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(WriteError, match="nowhere"):
        write_atomic(tmp_path / "nowhere" / "a.txt", b"x")


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = write_atomic(tmp_path / "a.txt", b"old")

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(WriteError, match="No space left"):
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_stop_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.txt", b"new")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "fsync", lambda _d: None)
    monkeypatch.setattr("whence.core.files.tempfile.mkstemp", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.txt", b"new")


def test_frozen_parts_are_one_line_break_between_features():
    text = "<us>\nHi there<end>\n<as>\n"
    parts = (
        Part(name="template", start=0, end=5, frozen=True),
        Part(name="user 0", start=5, end=13),
        Part(name="template", start=13, end=24, frozen=True),
    )
    document = Document(text=text, parts=parts)
    assert document.between(0, 5) == "\n"
    assert document.between(7, 8) == " "
    assert document.between(7, 24) == " there\n"
