"""The frontier: what reading more buys, and the price of transparency and of brevity."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import OptionError
from whence.core.statistics.imagined_row import mean_interval, table_interval
from whence.core.statistics.proportions import Interval, Proportion, proportion
from whence.students.certificate.fidelity import table_kappa
from whence.students.data.run import Terms
from whence.students.families.base import Fitted
from whence.students.families.registry import tie_key

__all__ = [
    "TIMED",
    "Answered",
    "Entry",
    "Frontier",
    "Rung",
    "frontier",
    "median_microseconds",
    "price",
]

TIMED = 64
"""Texts that are timed, one by one. Chosen by hand."""


class Answered(NamedTuple):
    """What the teacher said of the texts of a frontier.

    Attributes:
        top: decisions of the teacher.
        gold: indices of the true labels; ``None`` where they were not given.
        microseconds: mean time of the teacher for one text; ``None`` where it was not taken.
    """

    top: Int[np.ndarray, " texts"]
    gold: Int[np.ndarray, " texts"] | None = None
    microseconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Entry:
    """A student or a control before it is set on the frontier.

    Attributes:
        probabilities: probabilities on the texts of the frontier.
        reading: words and numbers of the whole student.
        a_text: words and numbers that decide one text, the mean; ``None`` for a control.
        microseconds: median time for one text; ``None`` where it was not timed.
        bytes: size of the student as it is saved.
        control: whether it is there for comparison alone.
    """

    probabilities: Float[np.ndarray, "texts labels"]
    reading: int = 0
    a_text: float | None = None
    microseconds: float | None = None
    bytes: int | None = None
    control: bool = False

    @classmethod
    def of(
        cls,
        student: Fitted,
        probabilities: Float[np.ndarray, "texts labels"],
        texts: Sequence[str],
        *,
        control: bool = False,
    ) -> Entry:
        """The entry of a student, timed on some of the texts."""
        return cls(
            probabilities=probabilities,
            reading=0 if control else student.reading_cost.total,
            a_text=None if control else _read_of_one(student, texts[:TIMED]),
            microseconds=median_microseconds(student.predict_proba, texts),
            bytes=len(json.dumps(student.to_json()).encode()) if student.readable else None,
            control=control,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """A student or a control: what must be read, and how it agrees with the teacher.

    Attributes:
        name: name of the student or control.
        reading: words and numbers of the whole student.
        agreement: agreement with the teacher's decisions.
        kappa: agreement beyond chance.
        readable: whether a person could read it.
        control: whether it is there for comparison alone.
        best: whether no student that costs less or as much to read agrees more.
        accuracy: agreement with the true labels, where they were given.
        a_text: words and numbers that decide one text, the mean.
        microseconds: time for one text on this machine, the median of texts answered one by one.
        bytes: size of the student as it is saved.
    """

    name: str
    reading: int
    agreement: Proportion
    kappa: Interval
    readable: bool
    control: bool
    best: bool
    accuracy: Proportion | None = None
    a_text: float | None = None
    microseconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Frontier:
    """Rungs by reading cost, controls last, and two prices in points of agreement.

    Attributes:
        rungs: students by reading cost, then controls.
        chosen: student that the prices are of; it was chosen on other texts.
        transparency: agreement of the opaque ceiling less that of the student; ``None`` without
            this control.
        brevity: agreement of the sum over all features less that of the student; likewise.
        teacher_accuracy: agreement of the teacher with the true labels, where they were given.
        teacher_microseconds: time of the teacher for one text, the mean of what was asked.
    """

    rungs: tuple[Rung, ...]
    chosen: str
    transparency: Interval | None
    brevity: Interval | None
    teacher_accuracy: Proportion | None = None
    teacher_microseconds: float | None = None

    def __str__(self) -> str:
        lines = [f"{'student':>20} {'to read':>8}  agreement with the teacher"]
        for rung in self.rungs:
            mark = "control" if rung.control else "*" if rung.best else ""
            reading = f"{rung.reading:,}" if rung.readable else "-"
            lines.append(f"{rung.name:>20} {reading:>8}  {rung.agreement} {mark}".rstrip())
        lines.append(f"prices of {self.chosen}, in agreement:")
        if self.transparency is not None:
            lines.append(f"price of transparency {self.transparency}")
        if self.brevity is not None:
            lines.append(f"price of brevity {self.brevity}")
        return "\n".join(lines)


def price(
    teacher: Int[np.ndarray, " texts"],
    ceiling: Float[np.ndarray, "texts labels"],
    chosen: Float[np.ndarray, "texts labels"],
    terms: Terms,
) -> Interval:
    """Agreement lost by taking the second student in place of the first, paired over texts."""
    first, second = ceiling.argmax(axis=1) == teacher, chosen.argmax(axis=1) == teacher
    # Differences text by text, of -1, 0 and 1, keep the pairing of the two, as the difference of two
    # separate intervals would not.
    lost = first.astype(np.float64) - second
    return mean_interval(lost, (-1.0, 1.0), level=terms.level, seed=terms.seed)


def median_microseconds(decide: Callable[[list[str]], object], texts: Sequence[str]) -> float:
    """Time to decide one text, in microseconds: the median over some, decided one by one after a first that is not timed.

    It holds for this machine and its load.
    """
    timed = list(texts[:TIMED])
    if not timed:
        raise OptionError("expected one text or more to take the time of, got none")
    # The first call pays for what later ones find ready: imports, caches, compiled patterns.
    decide(timed[:1])
    seconds: list[float] = []
    for text in timed:
        start = perf_counter()
        decide([text])
        seconds.append(perf_counter() - start)
    # A median, since one pause of the machine moves the mean of 64 times and not their median.
    return float(np.median(seconds) * 1e6)


def frontier(
    entries: Mapping[str, Entry], chosen: str, answered: Answered, terms: Terms
) -> Frontier:
    """Reading cost against agreement, on texts no student was fitted on.

    Args:
        entries: students and controls by name; ``opaque`` is the ceiling, ``full linear`` the sum
            over all features.
        chosen: name of the student whose prices are given; choose it on other texts.
        answered: decisions of the teacher, and the true labels.
        terms: level of the bounds and intervals, and seed of the resampling.

    Raises:
        OptionError: no text, or no student of the chosen name.
    """
    teacher = answered.top
    students = [name for name, entry in entries.items() if not entry.control]
    if chosen not in students or len(teacher) == 0:
        raise OptionError(
            f"expected one text or more and a student {chosen!r}, got {len(teacher)} texts and the "
            f"students {', '.join(students) or 'none'}"
        )
    rungs = [_rung(name, entry, answered, terms) for name, entry in entries.items()]
    controls = [rung for rung in rungs if rung.control]
    # In this order a student is on the frontier where it agrees on more texts than every one
    # before it: whole counts are compared, and of equal cost the better comes first.
    ranked = sorted(
        (rung for rung in rungs if not rung.control),
        key=lambda rung: (rung.reading, -rung.agreement.hits, tie_key(rung.name)),
    )
    highest = -1
    for place, rung in enumerate(ranked):
        ranked[place] = replace(rung, best=rung.agreement.hits > highest)
        highest = max(highest, rung.agreement.hits)
    transparency, brevity = (
        price(teacher, entries[name].probabilities, entries[chosen].probabilities, terms)
        if name in entries
        else None
        for name in ("opaque", "full linear")
    )
    return Frontier(
        rungs=(*ranked, *controls),
        chosen=chosen,
        transparency=transparency,
        brevity=brevity,
        teacher_accuracy=_accuracy(teacher, answered.gold, terms.level),
        teacher_microseconds=answered.microseconds,
    )


def _rung(name: str, entry: Entry, answered: Answered, terms: Terms) -> Rung:
    teacher = answered.top
    decisions = entry.probabilities.argmax(axis=1).astype(np.int64)
    return Rung(
        name=name,
        reading=entry.reading,
        agreement=proportion(int((decisions == teacher).sum()), len(teacher), level=terms.level),
        kappa=table_interval(table_kappa, teacher, decisions, level=terms.level, seed=terms.seed),
        readable=not entry.control,
        control=entry.control,
        best=False,
        accuracy=_accuracy(decisions, answered.gold, terms.level),
        a_text=entry.a_text,
        microseconds=entry.microseconds,
        bytes=entry.bytes,
    )


def _accuracy(
    decisions: Int[np.ndarray, " texts"], gold: Int[np.ndarray, " texts"] | None, level: float
) -> Proportion | None:
    if gold is None:
        return None
    return proportion(int((decisions == gold).sum()), len(gold), level=level)


def _read_of_one(student: Fitted, texts: Sequence[str]) -> float:
    """Words and numbers of the evidence in one text, the mean over some."""
    evidence = [student.explain(text).evidence for text in texts]
    # One more for the number that stands beside the words of each piece.
    return sum(len(e.says.split()) + 1 for pieces in evidence for e in pieces) / len(evidence)
