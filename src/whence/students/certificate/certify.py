"""The measurement of a student against its teacher on texts held out, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.core.errors import InputError, OptionError
from whence.core.statistics.imagined_row import mean_interval, table_interval
from whence.core.statistics.proportions import Interval, Proportion, bootstrap, proportion
from whence.students.certificate.attribution_agreement import AttributionAgreement
from whence.students.certificate.certificate import VERDICTS, Certificate, Lift
from whence.students.certificate.distribution_shift import Shift
from whence.students.certificate.fidelity import (
    Flips,
    calibration_gap,
    expected_calibration_error,
    sign_test,
    table_kappa,
    table_macro_f1,
    teacher_brier,
    teacher_kl,
)
from whence.students.certificate.minimal_disagreement import DisagreementSearch
from whence.students.certificate.refit_stability import Refits
from whence.students.certificate.verdict import verdict
from whence.students.data.run import Terms
from whence.students.data.split import FEWEST
from whence.students.teacher.teacher import Answers

__all__ = ["Decided", "Probes", "certify"]

DRAWS = 400
"""Resamples of each interval: the ends of a 95 % interval then rest on ten draws each. Chosen by hand
for speed; not calibrated."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decided:
    """Texts held out, as the teacher, the student and its controls decided them.

    Attributes:
        teacher: answers of the teacher.
        student: probabilities of the student.
        controls: probabilities of the controls, by name; ``majority`` at least.
        gold: indices of the true labels.
        slices: texts that belong to each slice, by name.

    Raises:
        InputError: no texts, or arrays of other lengths.
        OptionError: no majority control.
    """

    teacher: Answers
    student: Float[np.ndarray, "_ _"]
    controls: Mapping[str, Float[np.ndarray, "_ _"]]
    gold: Int[np.ndarray, " _"] | None = None
    slices: Mapping[str, Bool[np.ndarray, " _"]] = field(default_factory=dict[str, np.ndarray])

    def __post_init__(self) -> None:
        n = len(self.teacher)
        if n == 0 or self.student.shape != self.teacher.values.shape:
            raise InputError(
                f"expected probabilities of shape {self.teacher.values.shape} for one text or more, got "
                f"{self.student.shape}; give the student's probabilities of the same texts and labels"
            )
        lengths = {f"control {name}": len(chances) for name, chances in self.controls.items()}
        lengths |= {f"slice {name}": len(marks) for name, marks in self.slices.items()}
        if self.gold is not None:
            lengths["gold"] = len(self.gold)
        for name, length in lengths.items():
            if length != n:
                raise InputError(f"expected {n} entries in {name}, one for each text, got {length}")
        if "majority" not in self.controls:
            raise OptionError(
                f"expected the control 'majority', got {', '.join(self.controls) or 'none'}; agreement "
                "means nothing without it"
            )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Probes:
    """What was measured beside agreement; each may be left out.

    Attributes:
        flips: agreement under edits, by family; see
            :func:`whence.students.certificate.edit_flips.flips_on_edits`.
        ceiling: noise ceiling, see :func:`whence.students.data.split.noise_ceiling`.
        refits: stability, see :func:`whence.students.certificate.refit_stability.refits`.
        attributions: agreement of attributions, see
            :func:`whence.students.certificate.attribution_agreement.attribution_agreement`.
        shift: agreement elsewhere, see :mod:`whence.students.certificate.distribution_shift`.
        disagreements: search for small edits, see
            :func:`whence.students.certificate.minimal_disagreement.search_disagreements`.
        coverage: share of texts that the student is certified to answer alone, see
            :mod:`whence.students.routing.selective_prediction`; at 0 a fallback is of no use.
    """

    flips: dict[str, Flips] = field(default_factory=dict[str, Flips])
    ceiling: Proportion | None = None
    refits: Refits | None = None
    attributions: AttributionAgreement | None = None
    shift: Shift | None = None
    disagreements: DisagreementSearch | None = None
    coverage: float | None = None


def certify(decided: Decided, probes: Probes, terms: Terms) -> Certificate:
    """Measure a student against its teacher on texts held out, once.

    Verdicts, in this order: *refused* where a student no better than some control would have
    done as well with a probability above ``1 - level`` (each control must be beaten; that of the
    true labels only where the agreement does not reach ``target``);
    *a description of tendencies only* where kappa is below .4 or the flip-recall of all edit
    families together below .3; *faithful enough to replace* where the exact lower bound of the
    agreement reaches ``target``; *a description of tendencies only* where there is no certainty
    from which on it may answer alone; otherwise *usable with fallback*. So a student whose true
    agreement is below the target is called faithful with a probability of at most ``1 - level``,
    at any n.

    The bounds are of texts like these; they say nothing of other texts, nor of causes beyond the
    edits that were tried. Opening the same texts for many students spends the error rate: choose
    on others first.

    Args:
        decided: texts held out, as the teacher, the student and its controls decided them.
        probes: measurements beside agreement.
        terms: target, level of every bound, and seed of the resampling.
    """
    teacher, student, level = decided.teacher, decided.student, terms.level
    t, s = teacher.top, student.argmax(axis=1).astype(np.int64)
    same = t == s
    agreement = proportion(int(same.sum()), len(t), level=level)

    lifts = {
        name: _lift(same, control.argmax(axis=1) == t, terms)
        for name, control in decided.controls.items()
    }
    beyond = table_interval(table_kappa, t, s, level=level, seed=terms.seed)
    outcome, because = verdict(
        agreement, beyond.value, lifts, probes.flips, terms.target, level, probes.coverage
    )
    # Only where the student is let answer can a label that was hardly ever seen do harm.
    if outcome in VERDICTS[:2]:
        because += _silent(teacher)
    # Of probabilities that sum to 1 but for their last digits the square may lie as far above 2.
    squares = np.minimum(teacher_brier(teacher.probabilities, student), 2.0)
    # Of bare labels the teacher's certainty is unknown: a divergence from probabilities of 0 and 1
    # would blame the student for every doubt.
    divergence = teacher_kl(teacher.probabilities, student) if teacher.soft else None
    groups = {f"teacher says {label}": t == i for i, label in enumerate(teacher.labels)}
    # Bonferroni over all classes and slices, those too small for a number included: the divisor is
    # then fixed before any agreement is seen, and is at worst too careful.
    joint = 1 - (1 - level) / (len(groups) + len(decided.slices))
    wrong = None if decided.gold is None else decided.gold != t
    return Certificate(
        verdict=outcome,
        because=because,
        target=terms.target,
        level=level,
        agreement=agreement,
        kappa=beyond,
        macro_f1=table_interval(table_macro_f1, t, s, level=level, seed=terms.seed),
        kl=None
        if divergence is None
        else bootstrap(
            lambda rows: float(divergence[rows].mean()),
            len(t),
            draws=DRAWS,
            level=level,
            seed=terms.seed,
        ),
        calibration_to_teacher=expected_calibration_error(student, same),
        lifts=lifts,
        on_mistakes=None if wrong is None else _within(same, wrong, level),
        on_hits=None if wrong is None else _within(same, ~wrong, level),
        classes={name: _within(same, inside, joint) for name, inside in groups.items()},
        slices={name: _within(same, inside, joint) for name, inside in decided.slices.items()},
        flips=probes.flips,
        ceiling=probes.ceiling,
        calibration_gap=_calibration_gap(decided, terms),
        brier=mean_interval(squares, (0.0, 2.0), level=level, seed=terms.seed),
        refits=probes.refits,
        attributions=probes.attributions,
        shift=probes.shift,
        disagreements=probes.disagreements,
    )


def _lift(
    same: Bool[np.ndarray, " texts"], right: Bool[np.ndarray, " texts"], terms: Terms
) -> Lift:
    """Agreement of a control, and that of the student above it, paired over texts."""
    n = len(same)
    # Text by text: what makes a text hard for both cancels in the difference, so the interval is
    # narrower than that of two shares.
    won = same.astype(np.float64) - right
    above = mean_interval(won, (-1.0, 1.0), level=terms.level, seed=terms.seed)
    control = proportion(int(right.sum()), n, level=terms.level)
    return Lift(control, above, sign_test(same, right))


def _calibration_gap(decided: Decided, terms: Terms) -> Interval | None:
    """Calibration of the student less that of the teacher; ``None`` without true labels.

    And for bare labels: these are always certain, so that their calibration is their error rate.
    """
    gold, student, taught = decided.gold, decided.student, decided.teacher.probabilities
    if gold is None or not decided.teacher.soft:
        return None
    return bootstrap(
        lambda rows: calibration_gap(student[rows], taught[rows], gold[rows]),
        len(gold), draws=DRAWS, level=terms.level, seed=terms.seed,
    )  # fmt: skip


def _silent(teacher: Answers) -> str:
    """The labels of which nothing is known, in words; empty where there are none."""
    # minlength: a label that the teacher never gave here is the one most worth naming.
    counts = np.bincount(teacher.top, minlength=len(teacher.labels)).tolist()
    few = [label for label, count in zip(teacher.labels, counts, strict=True) if count < FEWEST]
    if not few:
        return ""
    return (
        f"; fewer than {FEWEST} texts, so nothing is known of where the teacher says "
        f"{' or '.join(few)}"
    )


def _within(
    same: Bool[np.ndarray, " texts"], inside: Bool[np.ndarray, " texts"], level: float
) -> Proportion | None:
    """Agreement on some texts; ``None`` where they are too few."""
    n = int(inside.sum())
    return proportion(int(same[inside].sum()), n, level=level) if n >= FEWEST else None
