"""Reading any stored record back, whatever its kind."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, cast

from whence.core.errors import RecordError
from whence.core.record import Record, parse_json, read_file

__all__ = ["RECORDS", "read_record", "read_record_json"]

_HOMES = {
    "attention": "whence.core.attention_record.AttentionRecord",
    "attribution": "whence.core.explanations.Attribution",
    "certificate": "whence.students.certificate.certificate.Certificate",
    "counterfactual": "whence.core.other_explanations.Counterfactual",
    "head-patching": "whence.core.depth_records.HeadPatching",
    "interactions": "whence.core.other_explanations.Interactions",
    "logit-lens": "whence.core.depth_records.LogitLens",
    "measurement": "whence.core.measurements.Measurement",
    "monitor": "whence.students.routing.monitor.MonitorState",
    "routed": "whence.students.routing.decision.Routed",
    "router": "whence.students.routing.state.RouterState",
    "rule": "whence.core.other_explanations.Rule",
    "selection": "whence.core.selection.Selection",
    "selective-prediction": "whence.students.routing.selective_prediction.SelectivePrediction",
    "specification-curve": "whence.core.specification_curve.SpecificationCurve",
    "student-card": "whence.students.export.student_card.StudentCard",
    "trust-label": "whence.core.trust.TrustLabel",
}
"""Where the class of each kind is defined. Rooms above this one are imported when a file of their
kind is read, so that this room needs none of them."""

_UNMARKED = {
    "certificate": {"schema_version", "verdict", "agreement", "lifts"},
    "monitor": {"schema_version", "target", "alarmed_at", "starts"},
    "router": {"schema_version", "certified", "vetoes", "labels"},
    "selective-prediction": {"threshold", "coverage", "curve"},
    "student-card": {"schema_version", "name", "teacher", "parts"},
}
"""Fields by which a file of version 1 is recognised whose kind was not written into it yet. The
first kind whose fields all stand in the file is taken; files of version 2 and later name theirs."""


class _Records(Mapping[str, type[Record]]):
    """Every kind of record this whence reads, by the name it carries in its JSON."""

    def __getitem__(self, kind: str) -> type[Record]:
        module, _, name = _HOMES[kind].rpartition(".")
        return getattr(import_module(module), name)

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)


RECORDS: Mapping[str, type[Record]] = _Records()
"""Every kind of record this whence reads, by the name it carries in its JSON."""


def read_record(path: str | os.PathLike[str]) -> Record:
    """The record stored at ``path``.

    Raises:
        RecordError: missing, not JSON, of a kind this whence does not know, or not valid.
        NewerVersionError: written by a newer whence.
    """
    return read_record_json(read_file(path), origin=str(path))


def read_record_json(data: bytes | str, *, origin: str = "the data") -> Record:
    """The record in a JSON text; see :func:`read_record`."""
    tree = parse_json(data, origin)
    kind = _kind(tree)
    if not isinstance(kind, str) or kind not in RECORDS:
        raise RecordError(
            f"{origin} holds a record of kind {kind!r}; this whence knows: {', '.join(RECORDS)}"
        )
    return RECORDS[kind].from_tree(tree, origin=origin)


def _kind(tree: Any) -> Any:
    """The kind that a tree names, or that a tree of version 1 has by its fields."""
    if not isinstance(tree, dict):
        return None
    fields = cast("dict[str, Any]", tree)
    if "kind" in fields:
        return fields["kind"]
    return next((kind for kind, shape in _UNMARKED.items() if shape <= fields.keys()), None)
