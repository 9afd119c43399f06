"""The four verdicts on a student, and the rule that chooses one."""

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
"""Below either, a student describes tendencies and no more. Chosen by hand from two tasks; not
calibrated: readable students of ChatGPT on statements of the Federal Reserve had a kappa of .36 where
a constant label agreed nearly as often, and a student that agrees in .86 of sentiments followed .12
to .49 of the edits that changed its teacher's decision."""

LEAST_FLIPS = 30
"""Edits that must have changed the teacher's decision before flip-recall decides anything: with fewer
its 95 % bound is more than .13 away from a share of .3."""


@dataclass(frozen=True, slots=True, eq=False)
class Lift(Value):
    """Agreement of a control, and how far the student's is above it.

    Attributes:
        control: agreement of the control with the teacher.
        above: agreement of the student less that of the control.
        chance: one-sided p-value of the sign test against a student no better than the control.
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
    """The verdict on what was measured, and the number that decided it.

    Args:
        agreement: agreement with the teacher's decisions.
        beyond: Cohen's kappa.
        lifts: lift over each control, by name.
        flips: flip-recall and precision of each family of edits.
        target: agreement that a replacement of the teacher needs.
        level: level of the bounds.
        coverage: share of texts that the student is certified to answer alone; ``None`` where that
            was not measured.
    """
    # Controls come first: kappa, flips and bounds of a student that one label would match describe
    # that label.
    for name, lift in lifts.items():
        # Where the teacher is nearly always right, a student of the true labels agrees with it too:
        # a student that reaches the target is not refused for being no better than that one.
        if name == "gold" and agreement.lower >= target:
            continue
        if lift.chance > 1 - level:
            return "refused", (
                f"agreement {agreement.value:.3f} is not above that of the control {name} "
                f"({lift.control.value:.3f}; chance {lift.chance:.2f})"
            )
    # Written so that NaN is refused too: kappa is none where both always say the same label.
    if not beyond >= LEAST_KAPPA:
        return "a description of tendencies only", f"kappa {beyond:.2f} is below {LEAST_KAPPA}"
    # All families together: one alone may change too few decisions to be judged by.
    moved = sum(family.recall.n for family in flips.values())
    followed = sum(family.recall.hits for family in flips.values())
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
        return "faithful enough to replace", f"{bound}; the target is {target}"
    if coverage == 0:
        return "a description of tendencies only", (
            f"{bound}, and no threshold of certainty is certified for an agreement of {target}"
        )
    needed = least_certified(target, level=level)
    short = f"; that takes {needed} texts at least" if agreement.n < needed else ""
    return "usable with fallback", f"{bound}; a replacement needs {target}{short}"
