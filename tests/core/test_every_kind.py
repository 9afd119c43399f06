"""Every kind of record: reads back bit for bit, obeys its schema, and refuses what is damaged."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import samples
from tests.core import test_other_explanations as others
from tests.core.json_schema import problems

from whence.core import NewerVersionError, RecordError, WhenceError, read_record
from whence.core.record import Record
from whence.core.store import _UNMARKED, RECORDS, read_record_json
from whence.students.families.base import Evidence, Reasons
from whence.students.routing.decision import Routed

GOLDEN = Path(__file__).parents[1] / "golden" / "version-1"
SCHEMAS = Path(__file__).parent / "schemas.json"
FILES = {
    "attention": GOLDEN / "attention-0" / "attention.json",
    "certificate": GOLDEN / "values" / "certificate.json",
    "monitor": GOLDEN / "values" / "monitor.json",
    "router": GOLDEN / "values" / "router.json",
    "selective-prediction": GOLDEN / "values" / "selective-prediction.json",
    "student-card": GOLDEN / "values" / "provenance.json",
}
ROW = np.array([0.25, 0.75])
SAMPLES: dict[str, Record] = {
    "attribution": samples.attribution(trust=samples.trust_label()),
    "counterfactual": others.counterfactual(),
    "head-patching": samples.head_patching(),
    "interactions": others.interactions(),
    "logit-lens": samples.lens(),
    "measurement": samples.trust_label().quantities[0].measurements[0],
    "routed": Routed(
        label="yes",
        probabilities=ROW,
        by="student",
        reason="certainty 0.750; 0.700 is certified",
        evidence=Reasons(
            "yes", ROW, ROW - 0.25, (Evidence("'late'", ((0, 4),), ROW),), ROW, "logit"
        ),
        audited=True,
        audit_agreed=False,
    ),
    "rule": others.rule(),
    "selection": samples.selection(),
    "specification-curve": samples.specification_curve(),
    "trust-label": samples.trust_label(),
    **{kind: read_record(path) for kind, path in FILES.items()},
}
STORED = {kind: record.to_json() for kind, record in SAMPLES.items()}
KINDS = pytest.mark.parametrize("kind", sorted(SAMPLES))
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from([[], {}, [[]], [None], {"kind": 1}, "NaN", "\ud800", 10**40, -1]),
)  # fmt: skip


def test_every_kind_has_a_sample_here():
    assert set(SAMPLES) == set(RECORDS)


def test_every_kind_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "records.md").read_text("utf-8")
    for kind in RECORDS:
        assert f"| {kind} | " in page
        assert f"(schema/{kind}.json)" in page


@KINDS
def test_reads_back_bit_for_bit(kind, tmp_path):
    record = SAMPLES[kind]
    again = read_record(record.save(tmp_path / "r.json"))
    assert type(again) is RECORDS[kind]
    assert again == record
    assert again.to_json() == STORED[kind]
    assert again.to_tree() == json.loads(STORED[kind])
    assert type(record).from_json(record.to_tree()) == record


@KINDS
def test_a_newer_version_is_refused_by_name(kind):
    tree = {**json.loads(STORED[kind]), "schema_version": 99}
    with pytest.raises(NewerVersionError, match=f"'{kind}' of schema version 99"):
        read_record_json(json.dumps(tree))


def _bare(schema):
    """A schema without its prose, which may be written anew."""
    if isinstance(schema, list):
        return [_bare(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    prose = ("title", "description")
    return {k: _bare(v) for k, v in schema.items() if k not in prose or not isinstance(v, str)}


@KINDS
def test_obeys_its_schema(kind):
    schema = json.loads(json.dumps(RECORDS[kind].json_schema()))
    tree = json.loads(STORED[kind])
    assert problems(tree, schema) == []
    assert problems({**tree, "kind": "other"}, schema)
    assert problems({**tree, "strange": 1}, schema)
    for name in schema["required"]:
        assert problems({k: v for k, v in tree.items() if k != name}, schema)


@KINDS
def test_schema_has_not_drifted(kind):
    schema = _bare(RECORDS[kind].json_schema())
    digest = hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()
    version = schema["properties"]["schema_version"]["const"]
    assert json.loads(SCHEMAS.read_text())[kind] == [version, digest[:16]], (
        f"the schema of {kind} changed: raise its schema_version, add a migration and a golden file, "
        f"then enter [{version}, {digest[:16]!r}] in {SCHEMAS.name}"
    )


def _places(tree, path=()):
    """The path of every entry of a tree."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for name, value in entries:
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, name))


def _inner(tree, path):
    for name in path:
        tree = tree[name]
    return tree


def _read_or_refused(data):
    """Reads what may be damaged: a record that can be written again, or one of our errors."""
    try:
        record = read_record_json(data)
    except WhenceError as error:
        assert isinstance(error, RecordError)  # noqa: PT017 - whatever else is raised fails by itself
        return
    assert read_record_json(record.to_json()) == record


def _damaged(draw, tree):
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            break
        *path, name = draw(st.sampled_from(places))
        parent = _inner(tree, path)
        act = draw(st.sampled_from(["drop", "replace", "rename", "repeat"]))
        if act == "drop":
            del parent[name]
        elif act == "replace":
            parent[name] = draw(ODD)
        elif act == "rename" and isinstance(parent, dict):
            parent["strange"] = parent.pop(name)
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[name]))
    return tree


@KINDS
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_what_is_damaged_is_refused_or_reads(kind, data):
    _read_or_refused(json.dumps(_damaged(data.draw, json.loads(STORED[kind]))))


@pytest.mark.parametrize("kind", sorted(FILES))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_damaged_files_of_version_1_are_refused_or_read(kind, data):
    tree = _damaged(data.draw, json.loads(FILES[kind].read_text()))
    _read_or_refused(json.dumps(tree))
    try:
        RECORDS[kind].from_json(tree)
    except RecordError:
        pass


@KINDS
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_bytes_that_are_cut_or_changed_are_refused_or_read(kind, data):
    whole = STORED[kind]
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(RecordError):
        read_record_json(whole[:cut])
    byte = data.draw(st.integers(0, 255))
    _read_or_refused(whole[:cut] + bytes([byte]) + whole[cut + 1 :])


def test_files_without_a_kind_are_of_the_classes_that_say_so():
    unmarked = {kind for kind, record in RECORDS.items() if record.unmarked}
    assert unmarked == set(_UNMARKED)
    for kind in unmarked:
        tree = json.loads(FILES[kind].read_text())
        assert "kind" not in tree
        assert RECORDS[kind].from_json(tree) == SAMPLES[kind]
        later = {k: v for k, v in json.loads(STORED[kind]).items() if k != "kind"}
        with pytest.raises(RecordError, match="holds kind None"):
            read_record_json(json.dumps(later))


RENAMED = {
    "drawing": "random_state",
    "parting": "disagreements",
    "reach": "applicability_domain",
}
"""Fields of version 1 by the names of version 2."""


def _equal(old, new):
    """Whether each number and word of a tree of version 1 stands in the migrated one."""
    if old is None:
        return new in (None, "NaN")
    if isinstance(old, dict):
        return all(_equal(value, new[name]) for name, value in old.items() if name in new)
    if isinstance(old, list):
        values = list(new.values()) if isinstance(new, dict) else new
        return len(old) == len(values) and all(map(_equal, old, values))
    return type(old) is type(new) and old == new


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("student-*/[cr]*.json")), ids=str)
def test_a_migration_changes_no_number(path):
    old = {RENAMED.get(k, k): value for k, value in json.loads(path.read_text()).items()}
    new = read_record(path).to_tree()
    del old["schema_version"]
    if old.get("monitor") is not None:
        del old["monitor"]["schema_version"]
    assert set(old) == set(new) - {"kind", "schema_version"}
    assert _equal(old, new)


def test_what_version_1_wrote_as_null_is_told_apart():
    certificate = SAMPLES["certificate"]
    tree = certificate.to_tree()
    assert tree["shift"]["corpora"]["value"] == {
        "agreement": None, "kappa": "NaN", "known": 0, "majority": 1.0, "texts": 9,
    }  # fmt: skip
    assert tree["attributions"]["correlation"]["lower"] == "NaN"
    assert (tree["refits"]["features"], tree["refits"]["sign_flips"]) == ("NaN", None)
    assert tree["slices"] == {"few": None, "lower": None, "value": None}
    assert tree["disagreements"]["deleted"] == "NaN"


def test_a_migrated_region_decides_as_it_did():
    first, second = SAMPLES["router"].vetoes
    assert first.where == "contains 'late fee', has no 2 or more words of debt, at most 20 words"
    assert first.holds("a late fee, a loan")
    assert not first.holds("a late fee, a loan that is past due")
    assert second.where == "over 9 words"
    assert first.worst[0].text == "late fee & loan"
    monitor = SAMPLES["router"].monitor
    assert (monitor.n, monitor.agreed, monitor.starts[-1]) == (137, 81, (100, 60))
    assert monitor == SAMPLES["monitor"]


def test_reading_a_core_record_imports_no_room_above():
    code = (
        "import sys, whence.core.store as store; store.RECORDS['attribution'];"
        "sys.exit(any(name.startswith(('whence.students', 'torch')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
