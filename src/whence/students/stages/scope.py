"""Where the chosen student may answer: regions of distrust, applicability domain, and a certain enough answer."""

from __future__ import annotations

from collections.abc import Sequence

from whence.students.data.applicability_domain import ApplicabilityDomain
from whence.students.data.split import Part
from whence.students.regions.region import Region, in_regions
from whence.students.regions.search import Judged, regions
from whence.students.routing.selective_prediction import (
    Scored,
    SelectivePrediction,
    selective_prediction,
)
from whence.students.stages.fitting import FittedStudents

__all__ = ["answering_of", "domain_of", "regions_of"]


def regions_of(fitted: FittedStudents) -> tuple[Region, ...]:
    """Regions of distrust, searched on ``select`` and bounded on ``report``.

    None are searched for with no permutation.
    """
    permutations, terms = fitted.plan.checks.permutations, fitted.plan.run.terms
    if not permutations:
        return ()
    holdout, student = fitted.holdout, fitted.best.fitted
    select, report = (
        Judged(
            holdout.texts(part), holdout.tables[part], holdout.answers(part),
            holdout.of(student, part),
        )
        for part in ("select", "report")
    )  # fmt: skip
    return regions(
        select, report, features=holdout.features, permutations=permutations, level=terms.level,
        seed=terms.seed,
    )  # fmt: skip


def domain_of(fitted: FittedStudents) -> ApplicabilityDomain:
    """How long and how strange a text may be: the words of ``fit``, the limits of ``select``."""
    plan, examples = fitted.plan, fitted.table.examples
    # Of all texts that were asked, whichever part: the shortest text that was cut says from where
    # on the teacher may read less than the student.
    ends: list[int] = fitted.training.answers.read_to.tolist()
    cut = [len(text) for text, end in zip(plan.texts, ends, strict=True) if end < len(text)]
    return ApplicabilityDomain.learn(
        examples.texts_of(examples.whole()),
        fitted.holdout.texts("select"),
        cut_from=min(cut, default=None),
    )


def answering_of(
    fitted: FittedStudents, all_regions: Sequence[Region], domain: ApplicabilityDomain
) -> SelectivePrediction:
    """Certified on the texts that the router would let the student answer."""
    holdout, student, terms = fitted.holdout, fitted.best.fitted, fitted.plan.run.terms
    vetoes = [region for region in all_regions if region.veto]

    def scored(part: Part) -> Scored:
        # Regions are of what the teacher read, as they were found; the domain must see whole
        # texts, since whether the teacher reads all of one is what it asks.
        asked = in_regions(vetoes, holdout.texts(part)) | domain.outside(holdout.whole(part))
        answers = holdout.answers(part)
        return Scored.of(answers.probabilities, holdout.of(student, part), asked)

    return selective_prediction(
        scored("select"), scored("certify"), scored("report"),
        target=terms.target, level=terms.level,
    )  # fmt: skip
