"""The four verdicts on a student, and what each takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from whence.core.record import Number, Value
from whence.core.statistics.proportions import Interval, Proportion, below, least_certified
from whence.students.certificate.fidelity import Flips

__all__ = ["VERDICTS", "Lift", "Verdict", "verdict"]

Verdict = Literal[
    "faithful enough to replace",
    "usable with fallback",
    "a description of tendencies only",
    "refused",
]
VERDICTS: tuple[Verdict, ...] = (
    "faithful enough to replace",
    "usable with fallback",
    "a description of tendencies only",
    "refused",
)
"""The only wordings there are, from best to worst."""

LEAST_KAPPA, LEAST_RECALL = 0.4, 0.3
"""Below either, a student describes tendencies and no more."""

LEAST_FLIPS = 30
"""Edits that must have changed the teacher's decision before flip-recall decides anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Lift(Value):
    """Agreement of a control, and how far the student's is above it.

    ``chance`` is that of a student no better than the control doing so well (one-sided).
    """

    control: Proportion
    above: Interval
    chance: Number


def verdict(
    agreement: Proportion,
    beyond: float,
    lifts: Mapping[str, Lift],
    flips: Mapping[str, Flips],
    target: float,
    level: float,
    coverage: float | None = None,
) -> tuple[Verdict, str]:
    """The verdict of what was measured, and the number that decided it.

    Args:
        agreement: with the teacher's decisions.
        beyond: kappa.
        lifts: over each control, by name.
        flips: under edits, by family.
        target: agreement that replacing takes.
        level: of the bounds.
        coverage: share of texts that the student is certified to answer alone; ``None`` where that
            was not looked into.
    """
    for name, lift in lifts.items():
        # Where the teacher is near to the truth, so is one that learnt the truth: a student that
        # agrees as often as is due is not refused for that.
        if name == "gold" and agreement.lower >= target:
            continue
        if lift.chance > 1 - level:
            return "refused", (
                f"agreement {agreement.value:.3f} is not above that of the control {name} "
                f"({lift.control.value:.3f}; chance {lift.chance:.2f})"
            )
    if not beyond >= LEAST_KAPPA:
        return "a description of tendencies only", f"kappa {beyond:.2f} is below {LEAST_KAPPA}"
    moved = sum(found.recall.n for found in flips.values())
    followed = sum(found.recall.hits for found in flips.values())
    if moved >= LEAST_FLIPS and followed / moved < LEAST_RECALL:
        return "a description of tendencies only", (
            f"of {moved} edits that changed the teacher's decision the student followed "
            f"{followed / moved:.2f}, below {LEAST_RECALL}"
        )
    least = below(agreement.lower)
    bound = f"the agreement is at least {least} (level {level}, n={agreement.n})"
    if moved < LEAST_FLIPS:
        bound += f"; {moved} edits changed the teacher's decision, too few to judge flip-recall by"
    if agreement.lower >= target:
        return "faithful enough to replace", f"{bound}; {target} is due"
    if coverage == 0:
        return "a description of tendencies only", (
            f"{bound}, and there is no certainty from which on it is certified to agree in {target}"
        )
    needed = least_certified(target, level=level)
    short = f"; {needed} texts without a disagreement is the least" if agreement.n < needed else ""
    return "usable with fallback", f"{bound}; replacing takes {target}{short}"
