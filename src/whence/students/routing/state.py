"""A router's settings and state as a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np

from whence.core.errors import RecordError
from whence.core.record import (
    Migration,
    Number,
    Tree,
    Value,
    raised_to,
    without_surrogates,
)
from whence.students.data.applicability_domain import ApplicabilityDomain
from whence.students.folder_record import FolderRecord
from whence.students.regions.region import Region
from whence.students.routing.decision import Counts, Unreachable
from whence.students.routing.monitor import MonitorState

__all__ = ["PCG64", "GeneratorState", "RouterState"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PCG64(Value):
    """State of NumPy's default bit generator: two numbers of 128 bits."""

    state: int
    inc: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GeneratorState(Value):
    """State of a NumPy random generator, under the names that NumPy gives it."""

    bit_generator: Literal["PCG64"]
    state: PCG64
    has_uint32: int
    uinteger: int

    def __post_init__(self) -> None:
        try:
            # NumPy itself is asked, when the record is read and not when the first audit is drawn:
            # it refuses numbers that are too large for its 128 bits.
            self.generator()
        except OverflowError as error:
            raise ValueError(f"no state of a random generator: {error}") from error

    @classmethod
    def of(cls, generator: np.random.Generator) -> GeneratorState:
        """The state of a generator of :func:`numpy.random.default_rng`."""
        return cls.from_tree(generator.bit_generator.state)

    def generator(self) -> np.random.Generator:
        """A generator that goes on from this state."""
        bits = np.random.PCG64()
        bits.state = cast("Any", self.to_tree())
        return np.random.Generator(bits)


def _fields_by_name(tree: Tree) -> Tree:
    """Version 1 wrote conditions and examples of a region as lists, and its sentence beside them.

    It called the applicability domain ``reach``, and the generator's state ``drawing``. It took lone
    surrogates for names of labels.
    """
    tree = without_surrogates(tree)
    monitor = tree["monitor"]
    names = {"reach": "applicability_domain", "drawing": "random_state"}
    return {
        **{names.get(name, name): value for name, value in tree.items()},
        "schema_version": 2,
        "vetoes": [_region(region) for region in tree["vetoes"]],
        "monitor": None if monitor is None else _marked(monitor),
    }


def _marked(monitor: Tree) -> Tree:
    if monitor["schema_version"] != 1:
        raise RecordError(f"a monitor of schema version {monitor['schema_version']!r}")
    return {**monitor, "kind": "monitor", "schema_version": 2}


def _region(region: Tree) -> Tree:
    names = ("text", "teacher", "teacher_chance", "student", "student_chance")
    return {
        **{name: value for name, value in region.items() if name != "says"},
        "conditions": [_condition(*condition) for condition in region["conditions"]],
        "worst": [dict(zip(names, example, strict=True)) for example in region["worst"]],
    }


def _condition(kind: str, number: int, flag: bool) -> Tree:
    if kind not in ("has", "words"):
        raise RecordError(f"a condition of kind {kind!r}")
    names = ("column", "there") if kind == "has" else ("limit", "over")
    return dict(zip(names, (number, flag), strict=True))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RouterState(FolderRecord):
    """Everything of a router but its student and its teacher.

    Whether numbers are in range is checked by the router.

    Attributes:
        certified: fingerprint of the teacher.
        labels: names of the student's labels.
        threshold: least certainty certified.
        vetoes: regions in which the teacher is asked.
        applicability_domain: texts that the certificate speaks of.
        audit_rate: share of the student's answers that are audited.
        unreachable: policy where the teacher fails.
        monitor: state of the monitor that audits go to.
        counts: counts so far.
        random_state: state of the generator that draws audits.

    Example:
        >>> state = RouterState(
        ...     certified="rule 1", labels=("no", "yes"), threshold=0.9, vetoes=(), applicability_domain=None,
        ...     audit_rate=0.02, unreachable="abstain", monitor=None, counts=Counts(3),
        ...     random_state=GeneratorState.of(np.random.default_rng(0)))
        >>> RouterState.from_json(state.to_json()).counts.student
        3
    """

    certified: str | None
    labels: tuple[str, ...]
    threshold: Number | None
    vetoes: tuple[Region, ...]
    applicability_domain: ApplicabilityDomain | None
    audit_rate: float
    unreachable: Unreachable
    monitor: MonitorState | None
    counts: Counts
    random_state: GeneratorState
    kind: Literal["router"] = "router"
    schema_version: Literal[3] = 3
    migrations: ClassVar[Mapping[int, Migration]] = {1: _fields_by_name, 2: raised_to(3)}
    unmarked: ClassVar[tuple[str, ...]] = ("kind",)
