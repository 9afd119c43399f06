"""Records read back bit for bit; what is damaged, foreign or newer is refused by name."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.samples import attribution

from whence.core import (
    Attribution,
    Interval,
    Measurement,
    MethodSpec,
    NewerVersionError,
    OptionError,
    RecordError,
    read_record,
)
from whence.core.arrays import frozen_array
from whence.core.errors import DigestError
from whence.core.record import Number, Value, canonical_json
from whence.core.store import RECORDS, read_record_json
from whence.students.routing.state import Counts, GeneratorState, RouterState

anything = st.floats(allow_nan=True, allow_infinity=True)


@given(
    scores=st.lists(st.lists(anything, min_size=2, max_size=2), min_size=3, max_size=3),
    ends=st.lists(anything, min_size=2, max_size=2),
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=5, max_size=20),
)
def test_what_is_saved_reads_back_bit_for_bit(scores, ends, text):
    first = attribution(scores=scores, values=ends, text=text)
    second = Attribution.from_json(first.to_json())
    assert second == first
    assert hash(second) == hash(first)
    assert second.to_json() == first.to_json()
    for name in ("scores", "values", "base_values"):
        mine, theirs = getattr(first, name), getattr(second, name)
        both_nan = np.isnan(mine) & np.isnan(theirs)
        assert np.array_equal(mine.view(np.int64)[~both_nan], theirs.view(np.int64)[~both_nan])
        assert np.array_equal(np.isnan(mine), np.isnan(theirs))


def test_file_round_trip_and_reading_by_kind(tmp_path):
    record = attribution()
    path = record.save(tmp_path / "e.json")
    assert Attribution.load(path) == record
    assert read_record(path) == record
    assert len(record.digest) == 64


def test_lone_surrogates_are_refused_when_written_and_when_read():
    with pytest.raises(RecordError, match="character 2"):
        attribution(text="a \ud800 b c").to_json()
    text = attribution().to_json().replace(b"pain denied today", b"\\ud800 denied today!")
    with pytest.raises(RecordError):
        Attribution.from_json(text)


def test_special_floats_are_written_out():
    text = attribution(scores=[[math.nan, math.inf]] * 3, values=[-math.inf, -0.0]).to_json()
    assert b'"NaN","Infinity"' in text
    assert b'"-Infinity",-0.0' in text


def _tree():
    return json.loads(attribution().to_json())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.update(kind="banana"), "banana"),
        (lambda t: t.update(schema_version=0), "positive integer"),
        (lambda t: t.update(schema_version=True), "positive integer"),
        (lambda t: t.update(seed=1), "seed"),
        (lambda t: t.pop("quantity"), "quantity"),
        (lambda t: t.update(quantity=3), "quantity"),
        (lambda t: t["scores"].update(dtype="float32"), "float32"),
        (lambda t: t["scores"].update(shape=[6]), "dimensions"),
        (lambda t: t["scores"].update(shape=[3, -2]), "shape"),
        (lambda t: t["scores"].update(shape=[3, 3]), "fill"),
        (lambda t: t["scores"].update(data=["x"] * 6), "not a number"),
        (lambda t: t["scores"].update(data=[True] * 6), "not a number"),
        (lambda t: t.update(scores=[1, 2]), "dtype, shape"),
        (lambda t: t["segmentation"].update(unit=None), "unit"),
    ],
)
def test_damaged_records_are_refused_by_name(change, says):
    tree = _tree()
    change(tree)
    with pytest.raises(RecordError, match=says):
        Attribution.from_json(json.dumps(tree))


def test_scores_of_another_shape_are_refused():
    tree = _tree()
    tree["scores"] = {"dtype": "float64", "shape": [1, 2], "data": [1.0, 2.0]}
    with pytest.raises(RecordError, match="features x outputs"):
        Attribution.from_json(json.dumps(tree))
    tree = _tree()
    tree["values"] = {"dtype": "float64", "shape": [1], "data": [1.0]}
    with pytest.raises(RecordError, match="one number for each"):
        Attribution.from_json(json.dumps(tree))


def test_newer_versions_are_refused_by_name():
    tree = _tree()
    tree["schema_version"] = 99
    with pytest.raises(NewerVersionError, match="99"):
        read_record_json(json.dumps(tree))


def test_older_versions_are_migrated(monkeypatch):
    tree = _tree()

    class Later(Attribution):
        pass

    steps = {4: lambda old: {**old, "quantity": "migrated"}}
    monkeypatch.setattr(Attribution, "migrations", steps)
    monkeypatch.setattr(
        "whence.core.record._default",
        lambda cls, name: {"kind": "attribution", "schema_version": 5}[name],
    )
    assert Attribution.from_json(json.dumps(tree)).quantity == "migrated"


def test_version_1_had_only_scores_in_the_targets_unit():
    tree = _tree()
    tree["schema_version"] = 1
    del tree["unit"], tree["trust"], tree["digest"]
    assert Attribution.from_json(json.dumps(tree)) == attribution()


def test_a_record_that_was_changed_is_refused_and_one_without_digest_is_read():
    tree = _tree()
    assert tree["digest"] == attribution().digest
    tree["quantity"] = "other"
    with pytest.raises(DigestError, match="was changed after it was written"):
        Attribution.from_json(json.dumps(tree))
    del tree["digest"]
    assert Attribution.from_json(json.dumps(tree)).quantity == "other"


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"3", b'{"kind": 3}', b"[" * 100_000])
def test_what_is_no_record_is_refused(data):
    with pytest.raises(RecordError):
        read_record_json(data)
    with pytest.raises(RecordError):
        Attribution.from_json(data)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(RecordError, match="nowhere"):
        read_record(tmp_path / "nowhere.json")
    with pytest.raises(RecordError, match="nowhere"):
        Attribution.load(tmp_path / "nowhere.json")


def test_a_record_holds_no_objects():
    with pytest.raises(RecordError, match="set"):
        canonical_json({"a": {1, 2}})


def test_canonical_json_of_bool_arrays_and_ints():
    assert canonical_json(np.array([[True]])) == b'{"data":[true],"dtype":"bool","shape":[1,1]}'
    assert canonical_json({"b": 1, "a": [None, True]}) == b'{"a":[null,true],"b":1}'


def test_ranking_and_outputs():
    record = attribution(scores=[[1.0, 0.0], [-3.0, 0.0], [1.0, 0.0]])
    assert [row.index for row in record.top(3)] == [1, 0, 2]
    assert record.top(1)[0].std_error is None
    assert record.output_index("two") == 1
    with pytest.raises(OptionError, match="did you mean"):
        record.output_index("tow")
    with pytest.raises(OptionError, match="there are 2"):
        record.output_index(2)
    with pytest.raises(OptionError, match="k must be"):
        record.top(-1)


def test_records_of_other_kinds_differ():
    record = attribution()
    assert record != "text"
    assert record != attribution(text="other words here")


def test_frozen_arrays_cannot_be_written():
    array = frozen_array([[1.0]])
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 2.0


def _measurement(**options):
    return Measurement(
        name="aopc",
        value=0.5,
        unit="nat",
        n=10,
        direction="higher",
        interval=Interval(low=0.4, high=0.6, level=0.95, how="bootstrap"),
        specification=MethodSpec(name="Aopc", options=options),
    )


def test_measurements_compare_only_where_they_were_made_alike():
    assert _measurement(bins=5).difference(_measurement(bins=5)) == 0.0
    with pytest.raises(OptionError, match="bins: 5 and 10"):
        _measurement(bins=5).difference(_measurement(bins=10))
    other = Measurement.from_json(_measurement(bins=5).to_json().replace(b'"nat"', b'"logit"'))
    with pytest.raises(OptionError, match="logit"):
        _measurement(bins=5).difference(other)


def test_method_spec_of_a_dataclass():
    from whence.attribution import IntegratedGradients
    from whence.games import Spans

    spec = MethodSpec.of(IntegratedGradients())
    assert str(spec) == "IntegratedGradients(baseline='mean', tolerance=0.01)"
    assert MethodSpec.of(Spans(spans=((0, 1),))).options == {"spans": "((0, 1),)"}


def test_every_kind_of_record_is_counted_and_has_a_class():
    assert len(RECORDS) == len(list(RECORDS)) > 10
    assert RECORDS["measurement"] is Measurement


@pytest.mark.parametrize("deep", [False, True])
def test_a_tree_that_no_json_holds_is_refused(deep):
    tree = attribution().to_tree()
    tree["notes"] = {1, 2}
    if deep:
        tree["notes"] = []
        for _ in range(100_000):
            tree["notes"] = [tree["notes"]]
    with pytest.raises(RecordError, match="the data is not a valid 'attribution'"):
        Attribution.from_tree(tree)


@dataclass(frozen=True, slots=True, eq=False)
class _Scalars(Value):
    count: int
    whole: bool
    share: float
    bound: Number | None


@pytest.mark.parametrize(
    "share",
    [1, 1.0, np.int64(1), np.float32(1), np.float64(1)],
    ids=lambda share: type(share).__name__,
)
def test_numbers_of_numpy_and_whole_floats_read_back_equal(share):
    plain = _Scalars(count=3, whole=True, share=1.0, bound=0.0)
    # As a caller without a type checker fills the fields.
    mixed = replace(plain)
    for name, value in {
        "count": np.int64(3),
        "whole": np.bool_(True),
        "share": share,
        "bound": 0,
    }.items():
        object.__setattr__(mixed, name, value)
    assert mixed == plain
    assert hash(mixed) == hash(plain)
    assert mixed.to_json() == b'{"bound":0.0,"count":3,"share":1.0,"whole":true}'
    assert _Scalars.from_json(mixed.to_json()) == mixed
    assert _Scalars.from_json(replace(plain, bound=None).to_json()).bound is None


def test_a_router_with_whole_numbers_reads_back_equal():
    state = RouterState(
        certified="rule 1",
        labels=("no", "yes"),
        threshold=1.0,
        vetoes=(),
        applicability_domain=None,
        audit_rate=0.0,
        unreachable="abstain",
        monitor=None,
        counts=Counts(3),
        random_state=GeneratorState.of(np.random.default_rng(0)),
    )
    object.__setattr__(state, "threshold", 1)
    object.__setattr__(state, "audit_rate", 0)
    assert RouterState.from_json(state.to_json()) == state
