"""The certificate: how far a student may stand in for its teacher, in one of four verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

from whence.core.record import Migration, Number, Tree, without_surrogates
from whence.core.statistics.proportions import Interval, Proportion
from whence.students.certificate.attribution_agreement import AttributionAgreement
from whence.students.certificate.distribution_shift import Shift
from whence.students.certificate.fidelity import Flips
from whence.students.certificate.minimal_disagreement import DisagreementSearch
from whence.students.certificate.refit_stability import Refits
from whence.students.certificate.verdict import VERDICTS, Lift, Verdict
from whence.students.folder_record import FolderRecord

__all__ = ["VERDICTS", "Certificate", "Lift", "Verdict"]

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
    """Version 1 wrote NaN as null, and called the search for disagreements ``parting``.

    It took lone surrogates for names of labels and slices.
    """
    tree = without_surrogates(tree)
    counted = {name: tree[name] for name in NAMED if name in tree}
    names = {"parting": "disagreements"}
    values: Tree = _nan_for_null(tree)
    renamed = {names.get(name, name): value for name, value in values.items()}
    return {**renamed, **counted, "schema_version": 2}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Certificate(FolderRecord):
    """What was measured of a student on texts kept for that alone.

    Attributes:
        verdict: one of :data:`VERDICTS`.
        because: number that decided it, in words.
        target: agreement that a replacement of the teacher needs.
        level: level of every bound.
        agreement: agreement with the teacher's decisions.
        kappa: agreement beyond chance.
        macro_f1: macro-F1 against the teacher's decisions.
        kl: mean divergence from the teacher's probabilities, in nats; ``None`` for bare labels.
        calibration_to_teacher: gap between the student's certainty and how often it agrees.
        lifts: lift over each control, by name.
        on_mistakes: agreement where the teacher is wrong; ``None`` without gold labels.
        on_hits: agreement where it is right.
        classes: agreement where the teacher said each label.
        slices: agreement on each slice, by name; ``None`` where too few texts are in it. Classes
            and slices share one error rate (Bonferroni), so that all lower bounds hold at once, and
            all upper ones.
        flips: flip-recall and precision under edits, by family.
        ceiling: agreement of the teacher with itself, where it was asked again.
        calibration_gap: calibration errors of student and teacher against the gold labels, one less
            the other; ``None`` without them, or for bare labels.
        brier: mean squared distance from the teacher's probabilities.
        refits: stability over other samples.
        attributions: agreement with the teacher's leave-one-out effects.
        shift: agreement on other topics and corpora.
        disagreements: search for the smallest edits that make student and teacher disagree.
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
        for family, flips in self.flips.items():
            lines.append(f"{family}: flip-recall {flips.recall}, precision {flips.precision}")
        for name, share in {**self.classes, **self.slices}.items():
            lines.append(f"{name}: {'n too small' if share is None else share}")
        more = (self.refits, self.attributions, self.shift, self.disagreements)
        return "\n".join([*lines, *(str(part) for part in more if part is not None)])
