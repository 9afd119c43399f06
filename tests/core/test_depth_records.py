"""Records across depth: round trips, refusals, and stored files that still read."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from tests.samples import head_patching, lens

from whence.core import NewerVersionError, OptionError, RecordError, read_record
from whence.core.arrays import frozen_array
from whence.core.store import RECORDS, read_record_json

GOLDEN = Path(__file__).parent / "golden"
MADE = {"logit-lens": lens, "head-patching": head_patching}
FILES = sorted(path for kind in MADE for path in GOLDEN.glob(f"{kind}-*.json"))


@pytest.mark.parametrize("kind", list(MADE))
def test_what_is_saved_reads_back(tmp_path, kind):
    record = MADE[kind]()
    path = record.save(tmp_path / "r.json")
    assert read_record(path) == record
    assert type(record).load(path).to_json() == record.to_json()
    assert RECORDS[kind] is type(record)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_of_every_version_still_read(path):
    kind, _, version = path.stem.rpartition("-")
    stored, record = path.read_bytes(), MADE[kind]()
    assert read_record_json(stored) == record
    if int(version) == record.schema_version:
        assert record.to_json() == stored.strip()


def test_special_floats_survive():
    record = lens(log_probabilities=frozen_array([[-math.inf], [math.nan]]))
    assert type(record).from_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("logit-lens", lambda t: t.update(schema_version=99), "99"),
        ("logit-lens", lambda t: t.update(certificate="x"), "certificate"),
        ("logit-lens", lambda t: t["entropies"].update(shape=[1, 2]), "layers x positions"),
        ("logit-lens", lambda t: t.update(ranks=[[1]]), "ranks must hold"),
        ("logit-lens", lambda t: t.update(top=[[[], []], [[], []]]), "top must hold"),
        ("logit-lens", lambda t: t["positions"][0].pop("target"), "target"),
        ("head-patching", lambda t: t.update(schema_version=99), "Upgrade"),
        ("head-patching", lambda t: t.update(direction="sideways"), "direction"),
        ("head-patching", lambda t: t["heads"][1].update(head=0), "listed twice"),
        ("head-patching", lambda t: t["heads"][0].update(effect="big"), "effect"),
    ],
)
def test_what_is_damaged_is_refused_by_name(kind, change, says):
    tree = json.loads(MADE[kind]().to_json())
    change(tree)
    error = NewerVersionError if tree["schema_version"] == 99 else RecordError
    with pytest.raises(error, match=says):
        read_record_json(json.dumps(tree))


def test_layers_by_name_and_heads_by_size():
    assert lens().layer("h.1") == 1
    with pytest.raises(OptionError, match="unknown layer"):
        lens().layer("h.7")
    record = head_patching()
    assert [head.head for head in record.top(2)] == [1, 0]
    assert record != replace(record, value=3.0)
