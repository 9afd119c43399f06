"""Rows that every view shows: a number with its bound, its n, and which texts it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from whence.app.distill.wording import FAMILIES, bound, decimal, share
from whence.app.shared.formatting import visible
from whence.core.statistics.proportions import Interval, Proportion
from whence.students.certificate.fidelity import Flips
from whence.students.data.split import FEWEST

__all__ = ["FlipRow", "Group", "Row", "between", "flip_rows", "place_of", "shared"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One number of a certificate.

    Attributes:
        name: what was measured.
        value: the number; why there is none, where there is none.
        bound: what it is at least, or from where to where.
        n: of how many texts.
        part: which texts.
        note: what the number says; empty where the name does.
        place: the share and its bounds, for a picture; ``None`` of anything else.
    """

    name: str
    value: str
    bound: str
    n: str
    part: str
    note: str = ""
    place: tuple[float, float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Rows that belong together, and what their bounds are."""

    title: str
    about: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlipRow:
    """Edits of one family: how often the student followed the teacher, and how often rightly."""

    name: str
    changed: str
    recall: str
    recall_bound: str
    answered: str
    precision: str
    fidelity: str
    n: str
    place: tuple[float, float, float] | None


def shared(name: str, found: Proportion | None, part: str, note: str = "") -> Row:
    """A row of a share, or of why there is none."""
    if found is None or found.n == 0:
        why = "too few texts" if found is None else "not measured"
        few = f"under {FEWEST}" if found is None else "0"
        return Row(name=visible(name), value=why, bound="\u2013", n=few, part=part, note=note)
    return Row(
        name=visible(name),
        value=share(found.value),
        bound=f"at least {bound(found.lower)}",
        n=f"{found.n:,}",
        part=part,
        note=note,
        place=place_of(found),
    )


def between(name: str, found: Interval, note: str) -> Row:
    """A row of a number with its interval."""
    return Row(
        name=name,
        value=decimal(found.value),
        bound=f"{decimal(found.lower)} to {decimal(found.upper)}",
        n=f"{found.n:,}",
        part="certify",
        note=note,
    )


def place_of(found: Proportion) -> tuple[float, float, float] | None:
    """A share and its bounds, for a picture."""
    return (found.value, found.lower, found.upper) if found.n else None


def flip_rows(found: Mapping[str, Flips]) -> list[FlipRow]:
    """The edit families, those that changed the teacher's decision most often first."""
    ranked = sorted(found, key=lambda name: -found[name].recall.n)
    return [_flip_row(FAMILIES.get(name, visible(name)), found[name]) for name in ranked]


def _flip_row(name: str, flips: Flips) -> FlipRow:
    recall, precision, fidelity = flips.recall, flips.precision, flips.fidelity
    return FlipRow(
        name=name,
        changed=f"{recall.n:,}",
        recall=share(recall.value) if recall.n else "not measured",
        recall_bound=f"at least {bound(recall.lower)}" if recall.n else "\u2013",
        answered=f"{precision.n:,}",
        precision=share(precision.value) if precision.n else "not measured",
        fidelity=share(fidelity.value) if fidelity.n else "not measured",
        n=f"{fidelity.n:,}",
        place=place_of(recall),
    )
