"""``whence attend --save``: a place that cannot be written is refused in words; so is an output of rows replaced while it was opened."""

from __future__ import annotations

import pytest
from tests.app.test_cli import run

import whence
from whence.app.cli import batch
from whence.core.errors import OptionError, WriteError


def test_a_file_in_the_place_of_the_folder_is_refused_before_the_model_is_loaded(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    # A model that does not exist: exit code 4 would say that it was looked for first.
    result = run("attend", "--model", tmp_path / "none", "--save", taken, "No savings.", code=5)
    assert f"{taken} is no folder that may be written to" in result.stderr
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("place", ["taken", "taken/inside"])
def test_a_folder_that_cannot_be_made_is_a_write_error(tmp_path, place):
    (tmp_path / "taken").write_text("mine")
    attention = whence.attend(whence.load("embedded:copier"), "ba", effects=None)
    with pytest.raises(WriteError, match="could not make the folder"):
        attention.save(tmp_path / place)


def test_an_output_replaced_between_opening_and_locking_is_refused(tmp_path, monkeypatch):
    output = tmp_path / "out.jsonl"
    output.write_bytes(b"")
    lock = batch.lock_file

    def lock_late(descriptor):
        # What --retry-failed of another process does at that moment.
        other = tmp_path / "other"
        other.write_bytes(b"theirs")
        other.replace(output)
        return lock(descriptor)

    monkeypatch.setattr(batch, "lock_file", lock_late)
    with pytest.raises(OptionError, match="another process writes"), batch._opened(output):
        pass
    assert output.read_bytes() == b"theirs"
