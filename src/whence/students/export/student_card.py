"""Where a stored student comes from, as a record: the numbers of its model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from whence.core.record import Migration, Tree, Value, without_surrogates
from whence.students.data.applicability_domain import ApplicabilityDomain
from whence.students.folder_record import FolderRecord

__all__ = ["DomainLimits", "SplitPart", "StudentCard"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SplitPart(Value):
    """A part of the split.

    Attributes:
        texts: count of texts.
        sha256: digest over the SHA-256 of each text, in order.
    """

    texts: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DomainLimits(Value):
    """The limits of a :class:`ApplicabilityDomain`, without its vocabulary."""

    longest: int
    rarest: float
    cut_from: int | None

    @classmethod
    def of(cls, domain: ApplicabilityDomain) -> DomainLimits:
        """The limits of one."""
        return cls(longest=domain.longest, rarest=domain.rarest, cut_from=domain.cut_from)


def _named_domain(tree: Tree) -> Tree:
    """Version 1 called the applicability domain ``reach``."""
    names = {"reach": "applicability_domain"}
    tree = without_surrogates(tree)
    return {**{names.get(name, name): value for name, value in tree.items()}, "schema_version": 2}


def _with_options(tree: Tree) -> Tree:
    """Version 2 did not say how near-duplicates and features were told."""
    return {**tree, "near_duplicates": None, "least_texts": None, "schema_version": 3}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudentCard(FolderRecord):
    """Where a stored student comes from.

    Attributes:
        name: name of the student, such as ``"rule-list-10"``.
        date: day of the distillation, as ``"2026-01-31"``.
        teacher: name of the teacher.
        fingerprint: fingerprint of the teacher; ``None`` where it has none.
        parts: each part of the split; ``None`` where nothing was told of the texts.
        regions: places where the student must not be trusted, in words.
        applicability_domain: limits of the texts that the certificate speaks of.
        near_duplicates: similarity from which texts stayed in one part; ``None`` where it is not
            known.
        least_texts: texts that a word had to stand in to become a feature; ``None`` likewise.
    """

    name: str
    date: str
    teacher: str
    fingerprint: str | None
    parts: dict[str, SplitPart] | None
    regions: tuple[str, ...]
    applicability_domain: DomainLimits | None
    near_duplicates: float | None = None
    least_texts: int | None = None
    kind: Literal["student-card"] = "student-card"
    schema_version: Literal[3] = 3
    migrations: ClassVar[Mapping[int, Migration]] = {1: _named_domain, 2: _with_options}
    unmarked: ClassVar[tuple[str, ...]] = ("kind",)
