"""A router's settings and state in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whence.core.errors import NewerVersionError, RecordError
from whence.students.data.applicability_domain import Reach
from whence.students.regions.region import Region
from whence.students.routing.decision import Counts, Unreachable
from whence.students.routing.monitor import Monitor

__all__ = ["RouterState"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RouterState:
    """Everything of a router but its student and its teacher.

    Attributes:
        certified: fingerprint of the teacher.
        labels: of the student.
        threshold: least certainty certified.
        vetoes: regions in which the teacher is asked.
        reach: what was certified.
        audit_rate: share of the student's answers that are audited.
        unreachable: what a failing teacher means.
        monitor: what audits are told to.
        counts: how many so far.
        drawing: state of the audits' generator, as NumPy gives it.

    Example:
        >>> state = RouterState(
        ...     certified="rule 1", labels=("no", "yes"), threshold=0.9, vetoes=(), reach=None,
        ...     audit_rate=0.02, unreachable="abstain", monitor=None, counts=Counts(3), drawing={})
        >>> RouterState.from_json(state.to_json()).counts.student
        3
    """

    certified: str | None
    labels: tuple[str, ...]
    threshold: float | None
    vetoes: tuple[Region, ...]
    reach: Reach | None
    audit_rate: float
    unreachable: Unreachable
    monitor: Monitor | None
    counts: Counts
    drawing: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """All of it, in plain types."""
        return {
            "schema_version": SCHEMA_VERSION,
            "certified": self.certified,
            "labels": list(self.labels),
            "threshold": self.threshold,
            "vetoes": [region.to_json() for region in self.vetoes],
            "reach": None if self.reach is None else self.reach.to_json(),
            "audit_rate": self.audit_rate,
            "unreachable": self.unreachable,
            "monitor": None if self.monitor is None else self.monitor.to_json(),
            "counts": self.counts._asdict(),
            "drawing": self.drawing,
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> RouterState:
        """What :meth:`to_json` wrote; whether numbers are in range is for the router to say.

        Raises:
            RecordError: no valid state.
            NewerVersionError: written by a newer whence.
        """
        version = tree.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise NewerVersionError(
                f"the router has schema_version {version}; this whence reads up to "
                f"{SCHEMA_VERSION}. Read it with the whence that wrote it."
            )
        if version != SCHEMA_VERSION:
            raise RecordError(f"the router has schema_version {version!r}; 1 is due")
        try:
            threshold, reach, monitor = tree["threshold"], tree["reach"], tree["monitor"]
            return cls(
                certified=_name(tree["certified"]),
                labels=tuple(map(str, tree["labels"])),
                threshold=None if threshold is None else _number(threshold),
                vetoes=tuple(Region.from_json(entry) for entry in tree["vetoes"]),
                reach=None if reach is None else Reach.from_json(reach),
                audit_rate=_number(tree["audit_rate"]),
                unreachable=tree["unreachable"],
                monitor=None if monitor is None else Monitor.from_json(monitor),
                counts=Counts(**{name: _count(n) for name, n in tree["counts"].items()}),
                drawing=tree["drawing"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"no valid router: {type(error).__name__} {error}; give what to_json wrote"
            ) from error


def _name(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r} is no fingerprint")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value
