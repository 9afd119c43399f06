"""The frontier: what reading more buys, and the price of transparency and of brevity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import OptionError
from whence.students.agreement import kappa
from whence.students.bounds import Interval, Proportion, bootstrap, proportion

__all__ = ["Frontier", "Rung", "frontier", "price"]


@dataclass(frozen=True, slots=True)
class Rung:
    """A student or a control: what must be read, and how it agrees with the teacher.

    ``best``: no student that costs less or as much to read agrees more.
    """

    name: str
    reading: int
    agreement: Proportion
    kappa: Interval
    readable: bool
    control: bool
    best: bool


@dataclass(frozen=True, slots=True)
class Frontier:
    """Rungs by reading cost, controls last, and two prices in points of agreement.

    ``transparency``: opaque ceiling less the readable student that agrees most. ``brevity``: the
    sum over all features less the same student. ``None`` without that control. The student is
    chosen after the fact on the same texts, so both are a little too small.
    """

    rungs: tuple[Rung, ...]
    transparency: Interval | None
    brevity: Interval | None

    def __str__(self) -> str:
        lines = [f"{'student':>20} {'to read':>8}  agreement with the teacher"]
        for rung in self.rungs:
            mark = "control" if rung.control else "*" if rung.best else ""
            reading = f"{rung.reading:,}" if rung.readable else "-"
            lines.append(f"{rung.name:>20} {reading:>8}  {rung.agreement} {mark}".rstrip())
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


def frontier(
    teacher: Int[np.ndarray, " texts"],
    students: Mapping[str, tuple[int, Float[np.ndarray, "texts labels"]]],
    controls: Mapping[str, Float[np.ndarray, "texts labels"]],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Frontier:
    """Reading cost against agreement, on texts no student was fitted on.

    Args:
        teacher: its decisions.
        students: reading cost and probabilities of the readable students, by name.
        controls: probabilities of the controls; ``opaque`` is the ceiling, ``full linear`` the
            sum over all features.
        level: of the bounds and intervals.
        seed: of the resampling.
    """
    if not students or len(teacher) == 0:
        raise OptionError("a frontier needs one readable student and one text at least")
    ranked = sorted(students, key=lambda name: (students[name][0], name))
    rungs: list[Rung] = []
    highest = -1
    for name in ranked:
        reading, chances = students[name]
        found = _rung(name, reading, chances, teacher, level, seed)
        best = found.agreement.hits > highest
        highest = max(highest, found.agreement.hits)
        rungs.append(_marked(found, control=False, best=best))
    top = max(rungs, key=lambda rung: rung.agreement.hits)
    for name, chances in controls.items():
        found = _rung(name, 0, chances, teacher, level, seed)
        rungs.append(_marked(found, control=True, best=False))
    best = students[top.name][1]
    transparency, brevity = (
        price(teacher, controls[name], best, level=level, seed=seed) if name in controls else None
        for name in ("opaque", "full linear")
    )
    return Frontier(tuple(rungs), transparency, brevity)


def _rung(
    name: str,
    reading: int,
    chances: Float[np.ndarray, "texts labels"],
    teacher: Int[np.ndarray, " texts"],
    level: float,
    seed: int,
) -> Rung:
    said = chances.argmax(axis=1).astype(np.int64)
    agreement = proportion(int((said == teacher).sum()), len(teacher), level=level)
    beyond = bootstrap(
        lambda rows: kappa(teacher[rows], said[rows]),
        len(teacher), draws=400, level=level, seed=seed,
    )  # fmt: skip
    return Rung(name, reading, agreement, beyond, True, False, False)


def _marked(rung: Rung, *, control: bool, best: bool) -> Rung:
    return Rung(rung.name, rung.reading, rung.agreement, rung.kappa, not control, control, best)
