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
        name: name of the measure.
        value: number, or the reason why there is none.
        bound: lower bound, or interval.
        n: number of texts.
        part: part of the texts it was measured on.
        note: meaning of the number; empty where the name says it.
        place: share and its bounds, for a picture; ``None`` for other numbers.
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


def shared(name: str, proportion: Proportion | None, part: str, note: str = "") -> Row:
    """A row of a share, or of why there is none."""
    if proportion is None or proportion.n == 0:
        why = "too few texts" if proportion is None else "not measured"
        few = f"under {FEWEST}" if proportion is None else "0"
        return Row(name=visible(name), value=why, bound="\u2013", n=few, part=part, note=note)
    return Row(
        name=visible(name),
        value=share(proportion.value),
        bound=f"at least {bound(proportion.lower)}",
        n=f"{proportion.n:,}",
        part=part,
        note=note,
        place=place_of(proportion),
    )


def between(name: str, interval: Interval, note: str) -> Row:
    """A row of a number with its interval."""
    return Row(
        name=name,
        value=decimal(interval.value),
        bound=f"{decimal(interval.lower)} to {decimal(interval.upper)}",
        n=f"{interval.n:,}",
        part="certify",
        note=note,
    )


def place_of(proportion: Proportion) -> tuple[float, float, float] | None:
    """A share and its bounds, for a picture."""
    return (proportion.value, proportion.lower, proportion.upper) if proportion.n else None


def flip_rows(result: Mapping[str, Flips]) -> list[FlipRow]:
    """The edit families, those that changed the teacher's decision most often first."""
    ranked = sorted(result, key=lambda name: -result[name].recall.n)
    return [_flip_row(FAMILIES.get(name, visible(name)), result[name]) for name in ranked]


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
