"""Reading any stored record back, whatever its kind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

from whence.core.attention_record import AttentionRecord
from whence.core.depth_records import HeadPatching, LogitLens
from whence.core.errors import RecordError
from whence.core.explanations import Attribution
from whence.core.measurements import Measurement
from whence.core.other_explanations import Counterfactual, Interactions, Rule
from whence.core.record import Record
from whence.core.selection import Selection
from whence.core.trust import TrustLabel

__all__ = ["RECORDS", "read_record", "read_record_json"]

RECORDS: dict[str, type[Record]] = {
    "attention": AttentionRecord,
    "attribution": Attribution,
    "counterfactual": Counterfactual,
    "head-patching": HeadPatching,
    "interactions": Interactions,
    "logit-lens": LogitLens,
    "measurement": Measurement,
    "rule": Rule,
    "selection": Selection,
    "trust-label": TrustLabel,
}
"""Every kind of record this whence reads, by the name it carries in its JSON."""


def read_record(path: str | os.PathLike[str]) -> Record:
    """The record stored at ``path``.

    Raises:
        RecordError: missing, not JSON, of a kind this whence does not know, or not valid.
        NewerVersionError: written by a newer whence.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RecordError(f"could not read {path}: {error.strerror or error}") from error
    return read_record_json(data, origin=str(path))


def read_record_json(data: bytes | str, *, origin: str = "the data") -> Record:
    """The record in a JSON text; see :func:`read_record`."""
    try:
        tree: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{origin} is not JSON: {error}") from error
    kind = cast("dict[str, Any]", tree).get("kind") if isinstance(tree, dict) else None
    if not isinstance(kind, str) or kind not in RECORDS:
        raise RecordError(
            f"{origin} holds a record of kind {kind!r}; this whence knows: {', '.join(RECORDS)}"
        )
    return RECORDS[kind].from_tree(tree, origin=origin)
