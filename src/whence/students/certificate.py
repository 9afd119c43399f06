"""The certificate: how far a student may stand in for its teacher, in one of four verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.core.errors import InputError, OptionError
from whence.students.agreement import (
    Flips,
    calibration_gap,
    kappa,
    macro_f1,
    sign_test,
    teacher_kl,
)
from whence.students.bounds import Interval, Proportion, bootstrap, least_certified, proportion
from whence.students.teacher import Answers

__all__ = ["VERDICTS", "Certificate", "Lift", "Verdict", "answer_or_ask", "certify"]

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

LEAST = 30
"""Texts below which a slice gets no number."""


@dataclass(frozen=True, slots=True)
class Lift:
    """Agreement of a control, and how far the student's is above it.

    ``chance`` is that of a student no better than the control doing so well (one-sided).
    """

    control: Proportion
    above: Interval
    chance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What was measured on texts that no fitting and no choosing has seen.

    Attributes:
        verdict: one of :data:`VERDICTS`.
        because: the number that decided it, in words.
        target: agreement that replacing the teacher takes.
        level: of every bound.
        agreement: with the teacher's decisions.
        kappa: agreement beyond chance.
        macro_f1: against the teacher's decisions.
        kl: mean divergence from the teacher's probabilities, in nats; ``None`` of bare labels.
        calibration: gap between certainty and agreement.
        lifts: over each control, by name.
        on_mistakes: agreement where the teacher is wrong; ``None`` without gold labels.
        on_hits: where it is right.
        classes: agreement where the teacher said each label.
        slices: by name; ``None`` where too few texts are in it. Classes and slices share one
            error rate (Bonferroni), so that all their bounds hold at once.
        flips: under edits, by family.
        ceiling: how often the teacher agrees with itself, where it was asked again.
    """

    verdict: Verdict
    because: str
    target: float
    level: float
    agreement: Proportion
    kappa: Interval
    macro_f1: Interval
    kl: Interval | None
    calibration: float
    lifts: dict[str, Lift]
    on_mistakes: Proportion | None
    on_hits: Proportion | None
    classes: dict[str, Proportion | None]
    slices: dict[str, Proportion | None]
    flips: dict[str, Flips] = field(default_factory=dict[str, Flips])
    ceiling: Proportion | None = None

    def to_json(self) -> dict[str, Any]:
        """All numbers, in plain types."""
        from dataclasses import asdict

        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.because}", f"agreement {self.agreement}"]
        lines += [f"kappa {self.kappa}", f"macro-F1 {self.macro_f1}"]
        if self.kl is not None:
            lines.append(f"KL {self.kl} nats")
        lines += [f"above {name} by {lift.above}" for name, lift in self.lifts.items()]
        for family, found in self.flips.items():
            lines.append(f"{family}: flip-recall {found.recall}, precision {found.precision}")
        for name, found in {**self.classes, **self.slices}.items():
            lines.append(f"{name}: {'n too small' if found is None else found}")
        return "\n".join(lines)


def certify(
    teacher: Answers,
    student: Float[np.ndarray, "texts labels"],
    *,
    controls: Mapping[str, Float[np.ndarray, "texts labels"]],
    gold: Int[np.ndarray, " texts"] | None = None,
    slices: Mapping[str, Bool[np.ndarray, " texts"]] | None = None,
    flips: Mapping[str, Flips] | None = None,
    ceiling: Proportion | None = None,
    target: float = 0.95,
    level: float = 0.95,
    seed: int = 0,
) -> Certificate:
    """Measure a student against its teacher on texts held out, once.

    Verdicts, in this order: *refused* where a student no better than some control would have
    done as well with a probability above ``1 - level`` (each control must be beaten);
    *a description of tendencies only* where kappa is below .4 or the flip-recall of all edit
    families together below .3; *faithful enough to replace* where the exact lower bound of the
    agreement reaches ``target``; otherwise *usable with fallback*. So a student whose true
    agreement is below the target is called faithful with a probability of at most ``1 - level``,
    at any n.

    The bounds are of texts like these; they say nothing of other texts, nor of causes beyond the
    edits that were tried. Opening the same texts for many students spends the error rate: choose
    on others first.

    Args:
        teacher: its answers on the texts held out.
        student: the student's probabilities on them.
        controls: the controls' probabilities, by name; ``majority`` at least.
        gold: indices of the true labels.
        slices: which texts belong to each slice.
        flips: under edits, by family; see :func:`whence.students.agreement.flips`.
        ceiling: see :func:`whence.students.protocol.noise_ceiling`.
        target: agreement that replacing takes.
        level: of every bound.
        seed: of the resampling.

    Raises:
        InputError: no texts, or arrays of other lengths.
        OptionError: no majority control, or a target that is no share.
    """
    n = len(teacher)
    if n == 0 or student.shape != teacher.values.shape:
        raise InputError(
            f"{n} answers of the teacher came with probabilities of shape {student.shape}; the "
            "same texts and labels are due, one at least"
        )
    if "majority" not in controls:
        raise OptionError("agreement is nothing without its controls; give 'majority' at least")
    if not 0 < target < 1 or not 0.5 < level < 1:
        raise OptionError(f"target={target}, level={level}: shares below 1 are due")
    t, s = teacher.top, student.argmax(axis=1).astype(np.int64)
    same = t == s
    agreement = proportion(int(same.sum()), n, level=level)
    chances = {name: control.argmax(axis=1) == t for name, control in controls.items()}

    def resampled(statistic: Callable[[np.ndarray], float]) -> Interval:
        return bootstrap(statistic, n, draws=400, level=level, seed=seed)

    lifts = {
        name: Lift(
            proportion(int(right.sum()), n, level=level),
            resampled(lambda rows, right=right: float(same[rows].mean() - right[rows].mean())),
            sign_test(same, right),
        )
        for name, right in chances.items()
    }
    divergence = teacher_kl(teacher.probabilities, student) if teacher.soft else None
    groups = {f"teacher says {label}": t == i for i, label in enumerate(teacher.labels)}
    named = dict(slices or {})
    joint = 1 - (1 - level) / (len(groups) + len(named))
    wrong = None if gold is None else gold != t
    beyond = resampled(lambda rows: kappa(t[rows], s[rows]))
    verdict, because = _verdict(agreement, beyond.value, lifts, flips or {}, target, level)
    return Certificate(
        verdict=verdict,
        because=because,
        target=target,
        level=level,
        agreement=agreement,
        kappa=beyond,
        macro_f1=resampled(lambda rows: macro_f1(t[rows], s[rows])),
        kl=None if divergence is None else resampled(lambda rows: float(divergence[rows].mean())),
        calibration=calibration_gap(student, same),
        lifts=lifts,
        on_mistakes=None if wrong is None else _within(same, wrong, level),
        on_hits=None if wrong is None else _within(same, ~wrong, level),
        classes={name: _within(same, inside, joint) for name, inside in groups.items()},
        slices={name: _within(same, inside, joint) for name, inside in named.items()},
        flips=dict(flips or {}),
        ceiling=ceiling,
    )


def _within(
    same: Bool[np.ndarray, " texts"], inside: Bool[np.ndarray, " texts"], level: float
) -> Proportion | None:
    n = int(inside.sum())
    return proportion(int(same[inside].sum()), n, level=level) if n >= LEAST else None


def _verdict(
    agreement: Proportion,
    beyond: float,
    lifts: Mapping[str, Lift],
    flips: Mapping[str, Flips],
    target: float,
    level: float,
) -> tuple[Verdict, str]:
    for name, lift in lifts.items():
        if lift.chance > 1 - level:
            return "refused", (
                f"agreement {agreement.value:.3f} is not above that of the control {name} "
                f"({lift.control.value:.3f}; chance {lift.chance:.2f})"
            )
    if not beyond >= LEAST_KAPPA:
        return "a description of tendencies only", f"kappa {beyond:.2f} is below {LEAST_KAPPA}"
    moved = sum(found.recall.n for found in flips.values())
    followed = sum(found.recall.hits for found in flips.values())
    if moved and followed / moved < LEAST_RECALL:
        return "a description of tendencies only", (
            f"of {moved} edits that changed the teacher's decision the student followed "
            f"{followed / moved:.2f}, below {LEAST_RECALL}"
        )
    bound = f"the agreement is at least {agreement.lower:.3f} (level {level}, n={agreement.n})"
    if agreement.lower >= target:
        return "faithful enough to replace", f"{bound}; {target} is due"
    needed = least_certified(target, level=level)
    short = f"; {needed} texts without a disagreement is the least" if agreement.n < needed else ""
    return "usable with fallback", f"{bound}; replacing takes {target}{short}"


def answer_or_ask(
    certainty: Float[np.ndarray, " texts"],
    same: Bool[np.ndarray, " texts"],
    *,
    thresholds: Float[np.ndarray, " steps"],
    target: float = 0.95,
    level: float = 0.95,
) -> float | None:
    """The lowest certainty from which a student may answer alone, else the teacher is asked.

    A fixed sequence of tests: thresholds, set beforehand on other texts, are tried from the
    highest down, and the first that fails ends the search, so no correction is due. A threshold
    whose texts are too few to pass whatever they say is left out, which depends on the certainty
    alone. ``P(certified and true agreement above the threshold < target) <= 1 - level`` at any n.
    ``None``: nothing can be certified; always ask. Angelopoulos et al. (2021), arXiv:2110.01052.

    Args:
        certainty: the student's highest probability, on texts held out.
        same: whether it agrees with the teacher there.
        thresholds: in any order.
        target: agreement above the threshold.
        level: of the guarantee.
    """
    if len(certainty) != len(same):
        raise InputError(f"{len(certainty)} certainties came with {len(same)} agreements")
    needed = least_certified(target, level=level)
    passed: float | None = None
    for threshold in sorted(thresholds.tolist(), reverse=True):
        inside = certainty >= threshold
        n = int(inside.sum())
        if n < needed:
            continue
        if proportion(int(same[inside].sum()), n, level=level).lower < target:
            break
        passed = threshold
    return passed
