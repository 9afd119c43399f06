"""The frontier: what reading more buys, and the price of transparency and of brevity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import OptionError
from whence.core.statistics.proportions import Interval, Proportion, bootstrap, proportion
from whence.students.certificate.fidelity import kappa

__all__ = ["TIMED", "Frontier", "Rung", "Shown", "frontier", "median_microseconds", "price"]

TIMED = 64
"""Texts that are timed, one by one."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shown:
    """What is known of a student or a control before it is set on the frontier.

    Attributes:
        probabilities: on the texts of the frontier.
        reading: words and numbers of the whole student.
        a_text: words and numbers that decide one text, the mean; ``None`` of a control.
        microseconds: for one text, the median; ``None`` where it was not timed.
        bytes: of the student as it is saved.
    """

    probabilities: Float[np.ndarray, "texts labels"]
    reading: int = 0
    a_text: float | None = None
    microseconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """A student or a control: what must be read, and how it agrees with the teacher.

    Attributes:
        name: of the student or control.
        reading: words and numbers of the whole student.
        agreement: with the teacher's decisions.
        kappa: agreement beyond chance.
        readable: whether a person could read it.
        control: whether it is there for comparison alone.
        best: no student that costs less or as much to read agrees more.
        accuracy: against the true labels, where they were given.
        a_text: words and numbers that decide one text, the mean.
        microseconds: for one text on this machine, the median of texts answered one by one.
        bytes: of the student as it is saved.
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
        chosen: the student that the prices are of; it was chosen on other texts.
        transparency: opaque ceiling less that student; ``None`` without this control.
        brevity: sum over all features less that student; ``None`` without this control.
        teacher_accuracy: of the teacher against the true labels, where they were given.
        teacher_microseconds: of the teacher for one text, the mean of what was asked.
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
    dear: Float[np.ndarray, "texts labels"],
    cheap: Float[np.ndarray, "texts labels"],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Agreement lost by taking the second student for the first: paired, by resampled texts."""
    first, second = dear.argmax(axis=1) == teacher, cheap.argmax(axis=1) == teacher
    lost = first.astype(np.float64) - second
    return bootstrap(lambda rows: float(lost[rows].mean()), len(lost), level=level, seed=seed)


def median_microseconds(decide: Callable[[list[str]], object], texts: Sequence[str]) -> float:
    """Time to decide one text, in microseconds: the median over some, one by one, after one more.

    What it says holds for this machine and its load.
    """
    timed = list(texts[:TIMED])
    if not timed:
        raise OptionError("no text was given to take the time of")
    decide(timed[:1])
    found: list[float] = []
    for text in timed:
        start = perf_counter()
        decide([text])
        found.append(perf_counter() - start)
    return float(np.median(found) * 1e6)


def frontier(
    teacher: Int[np.ndarray, " texts"],
    students: Mapping[str, Shown],
    controls: Mapping[str, Shown],
    *,
    chosen: str,
    gold: Int[np.ndarray, " texts"] | None = None,
    teacher_microseconds: float | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Frontier:
    """Reading cost against agreement, on texts no student was fitted on.

    Args:
        teacher: its decisions.
        students: the readable students, by name.
        controls: by name; ``opaque`` is the ceiling, ``full linear`` the sum over all features.
        chosen: the student whose prices are told; choose it on other texts.
        gold: indices of the true labels.
        teacher_microseconds: what the teacher takes for one text.
        level: of the bounds and intervals.
        seed: of the resampling.
    """
    if chosen not in students or len(teacher) == 0:
        raise OptionError("a frontier needs one text and the chosen student at least")
    agreed = {
        n: int((s.probabilities.argmax(axis=1) == teacher).sum()) for n, s in students.items()
    }
    ranked = sorted(students, key=lambda name: (students[name].reading, -agreed[name], name))
    rungs: list[Rung] = []
    highest = -1
    for name, shown in [*((n, students[n]) for n in ranked), *controls.items()]:
        control = name in controls
        said = shown.probabilities.argmax(axis=1).astype(np.int64)
        agreement = proportion(int((said == teacher).sum()), len(teacher), level=level)
        beyond = bootstrap(
            lambda rows, said=said: kappa(teacher[rows], said[rows]),
            len(teacher), draws=400, level=level, seed=seed,
        )  # fmt: skip
        rungs.append(
            Rung(
                name=name,
                reading=shown.reading,
                agreement=agreement,
                kappa=beyond,
                readable=not control,
                control=control,
                best=not control and agreement.hits > highest,
                accuracy=_right(said, gold, level),
                a_text=shown.a_text,
                microseconds=shown.microseconds,
                bytes=shown.bytes,
            )
        )
        highest = highest if control else max(highest, agreement.hits)
    own = students[chosen].probabilities
    transparency, brevity = (
        price(teacher, controls[name].probabilities, own, level=level, seed=seed)
        if name in controls
        else None
        for name in ("opaque", "full linear")
    )
    return Frontier(
        rungs=tuple(rungs),
        chosen=chosen,
        transparency=transparency,
        brevity=brevity,
        teacher_accuracy=_right(teacher, gold, level),
        teacher_microseconds=teacher_microseconds,
    )


def _right(
    said: Int[np.ndarray, " texts"], gold: Int[np.ndarray, " texts"] | None, level: float
) -> Proportion | None:
    if gold is None:
        return None
    return proportion(int((said == gold).sum()), len(gold), level=level)
