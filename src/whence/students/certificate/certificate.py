"""The certificate: how far a student may stand in for its teacher, in one of four verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.core.errors import InputError, OptionError
from whence.core.record import Migration, Number, Record, Tree
from whence.core.statistics.proportions import (
    Interval,
    Proportion,
    bootstrap,
    check_shares,
    proportion,
)
from whence.students.certificate.attribution_agreement import AttributionAgreement
from whence.students.certificate.distribution_shift import Shift
from whence.students.certificate.fidelity import (
    Flips,
    calibration_gap,
    expected_calibration_error,
    kappa,
    macro_f1,
    sign_test,
    teacher_brier,
    teacher_kl,
)
from whence.students.certificate.minimal_disagreement import DisagreementSearch
from whence.students.certificate.refit_stability import Refits
from whence.students.certificate.verdict import VERDICTS, Lift, Verdict, verdict
from whence.students.data.split import FEWEST
from whence.students.teacher.teacher import Answers

__all__ = ["VERDICTS", "Certificate", "Lift", "Verdict", "certify"]

UNDEFINED = (
    "calibration_to_teacher", "chance", "chance_of_overlap", "deleted", "features", "groups",
    "kappa", "length", "lower", "majority", "overlap_at_random", "upper", "value",
)  # fmt: skip
"""Fields of version 1 in which null stood for NaN; in every other field it stands for nothing."""

NAMED = ("classes", "slices")
"""Fields of version 1 whose entries are null where too few texts were in them."""


def _nan_for_null(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_nan_for_null(item) for item in cast("list[Any]", tree)]
    if not isinstance(tree, dict):
        return tree
    return {
        name: "NaN" if value is None and name in UNDEFINED else _nan_for_null(value)
        for name, value in cast("Tree", tree).items()
    }


def _version_2(tree: Tree) -> Tree:
    """Version 1 wrote NaN as null, and called the search for disagreements ``parting``."""
    counted = {name: tree[name] for name in NAMED if name in tree}
    names = {"parting": "disagreements"}
    values: Tree = _nan_for_null(tree)
    renamed = {names.get(name, name): value for name, value in values.items()}
    return {**renamed, **counted, "schema_version": 2}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Certificate(Record):
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
        calibration_to_teacher: gap between the student's certainty and how often it agrees.
        lifts: over each control, by name.
        on_mistakes: agreement where the teacher is wrong; ``None`` without gold labels.
        on_hits: where it is right.
        classes: agreement where the teacher said each label.
        slices: by name; ``None`` where too few texts are in it. Classes and slices share one
            error rate (Bonferroni), so that all lower bounds hold at once, and all upper ones.
        flips: under edits, by family.
        ceiling: how often the teacher agrees with itself, where it was asked again.
        calibration_gap: of the student and the teacher, each against the gold labels; ``None``
            without them, or of bare labels.
        brier: mean squared distance from the teacher's probabilities.
        refits: stability over other samples.
        attributions: agreement with the teacher's leave-one-out effects.
        shift: agreement on other topics and corpora.
        disagreements: the smallest edits that make student and teacher disagree.
    """

    verdict: Verdict
    because: str
    target: float
    level: float
    agreement: Proportion
    kappa: Interval
    macro_f1: Interval
    kl: Interval | None
    calibration_to_teacher: Number
    lifts: dict[str, Lift]
    on_mistakes: Proportion | None
    on_hits: Proportion | None
    classes: dict[str, Proportion | None]
    slices: dict[str, Proportion | None]
    flips: dict[str, Flips] = field(default_factory=dict[str, Flips])
    ceiling: Proportion | None = None
    calibration_gap: Interval | None = None
    brier: Interval | None = None
    refits: Refits | None = None
    attributions: AttributionAgreement | None = None
    shift: Shift | None = None
    disagreements: DisagreementSearch | None = None
    kind: Literal["certificate"] = "certificate"
    schema_version: Literal[2] = 2
    migrations: ClassVar[Mapping[int, Migration]] = {1: _version_2}
    unmarked: ClassVar[tuple[str, ...]] = ("kind",)

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.because}", f"agreement {self.agreement}"]
        lines += [f"kappa {self.kappa}", f"macro-F1 {self.macro_f1}"]
        if self.kl is not None:
            lines.append(f"KL {self.kl} nats")
        if self.brier is not None:
            lines.append(f"Brier {self.brier}")
        lines.append(f"certainty against agreement {self.calibration_to_teacher:.3f}")
        if self.calibration_gap is not None:
            lines.append(f"calibration gap to the teacher's {self.calibration_gap}")
        lines += [f"above {name} by {lift.above}" for name, lift in self.lifts.items()]
        for family, found in self.flips.items():
            lines.append(f"{family}: flip-recall {found.recall}, precision {found.precision}")
        for name, found in {**self.classes, **self.slices}.items():
            lines.append(f"{name}: {'n too small' if found is None else found}")
        more = (self.refits, self.attributions, self.shift, self.disagreements)
        return "\n".join([*lines, *(str(found) for found in more if found is not None)])


def certify(
    teacher: Answers,
    student: Float[np.ndarray, "texts labels"],
    *,
    controls: Mapping[str, Float[np.ndarray, "texts labels"]],
    gold: Int[np.ndarray, " texts"] | None = None,
    slices: Mapping[str, Bool[np.ndarray, " texts"]] | None = None,
    flips: Mapping[str, Flips] | None = None,
    ceiling: Proportion | None = None,
    refits: Refits | None = None,
    attributions: AttributionAgreement | None = None,
    shift: Shift | None = None,
    disagreements: DisagreementSearch | None = None,
    coverage: float | None = None,
    target: float = 0.95,
    level: float = 0.95,
    seed: int = 0,
) -> Certificate:
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
        teacher: its answers on the texts held out.
        student: the student's probabilities on them.
        controls: the controls' probabilities, by name; ``majority`` at least.
        gold: indices of the true labels.
        slices: which texts belong to each slice.
        flips: under edits, by family; see :func:`whence.students.certificate.fidelity.flips`.
        ceiling: see :func:`whence.students.data.split.noise_ceiling`.
        refits: see :func:`whence.students.certificate.refit_stability.refits`.
        attributions: see :func:`whence.students.certificate.attribution_agreement.attribution_agreement`.
        shift: see :mod:`whence.students.certificate.distribution_shift`.
        disagreements: see :func:`whence.students.certificate.minimal_disagreement.search_disagreements`.
        coverage: share of texts that the student is certified to answer alone, see
            :mod:`whence.students.routing.selective_prediction`; without any it is of no use with a fallback.
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
    lengths = {**{f"control {k}": len(v) for k, v in controls.items()}}
    lengths |= {f"slice {k}": len(v) for k, v in (slices or {}).items()}
    if gold is not None:
        lengths["gold"] = len(gold)
    for name, length in lengths.items():
        if length != n:
            raise InputError(f"{name} is of {length} texts, and {n} were answered; one each is due")
    if "majority" not in controls:
        raise OptionError("agreement is nothing without its controls; give 'majority' at least")
    check_shares(target, level)
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
    squares = teacher_brier(teacher.probabilities, student)
    taught = teacher.probabilities
    # A bare label is always certain, so its calibration is its error rate and no more.
    gap = (
        resampled(lambda rows: calibration_gap(student[rows], taught[rows], gold[rows]))
        if gold is not None and teacher.soft
        else None
    )
    groups = {f"teacher says {label}": t == i for i, label in enumerate(teacher.labels)}
    named = dict(slices or {})
    joint = 1 - (1 - level) / (len(groups) + len(named))
    wrong = None if gold is None else gold != t
    beyond = resampled(lambda rows: kappa(t[rows], s[rows]))
    given, because = verdict(agreement, beyond.value, lifts, flips or {}, target, level, coverage)
    silent = [label for i, label in enumerate(teacher.labels) if int((t == i).sum()) < FEWEST]
    if silent and given in VERDICTS[:2]:
        because += (
            f"; too few texts ({FEWEST} are due) to say anything of where the teacher says "
            f"{' or '.join(silent)}"
        )
    return Certificate(
        verdict=given,
        because=because,
        target=target,
        level=level,
        agreement=agreement,
        kappa=beyond,
        macro_f1=resampled(lambda rows: macro_f1(t[rows], s[rows])),
        kl=None if divergence is None else resampled(lambda rows: float(divergence[rows].mean())),
        calibration_to_teacher=expected_calibration_error(student, same),
        lifts=lifts,
        on_mistakes=None if wrong is None else _within(same, wrong, level),
        on_hits=None if wrong is None else _within(same, ~wrong, level),
        classes={name: _within(same, inside, joint) for name, inside in groups.items()},
        slices={name: _within(same, inside, joint) for name, inside in named.items()},
        flips=dict(flips or {}),
        ceiling=ceiling,
        calibration_gap=gap,
        brier=resampled(lambda rows: float(squares[rows].mean())),
        refits=refits,
        attributions=attributions,
        shift=shift,
        disagreements=disagreements,
    )


def _within(
    same: Bool[np.ndarray, " texts"], inside: Bool[np.ndarray, " texts"], level: float
) -> Proportion | None:
    n = int(inside.sum())
    return proportion(int(same[inside].sum()), n, level=level) if n >= FEWEST else None
