"""The fourth stage: where the chosen student may answer, and its certificate on ``certify``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from whence.core.statistics.proportions import Proportion
from whence.students.certificate.attribution_agreement import (
    affordable_attributions,
    attribution_agreement,
)
from whence.students.certificate.certificate import Certificate
from whence.students.certificate.certify import Decided, Probes, certify
from whence.students.certificate.distribution_shift import Shift, other_corpora, other_topics
from whence.students.certificate.edit_flips import flips_on_edits
from whence.students.certificate.fidelity import Flips
from whence.students.certificate.minimal_disagreement import (
    affordable_searches,
    search_disagreements,
)
from whence.students.certificate.refit_stability import refits
from whence.students.data.applicability_domain import ApplicabilityDomain
from whence.students.data.augmentation import EDITS
from whence.students.data.run import Usage
from whence.students.data.slices import text_slices
from whence.students.data.split import noise_ceiling
from whence.students.regions.region import Region
from whence.students.routing.selective_prediction import SelectivePrediction
from whence.students.stages.fitting import FittedStudents
from whence.students.stages.scope import answering_of, domain_of, regions_of

__all__ = ["Certification", "certify_student"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Certification:
    """The chosen student's certificate, and where it may answer in its teacher's place.

    Attributes:
        fitted: third stage.
        regions: regions in which the student must not be trusted; empty where there is none.
        applicability_domain: lengths and words of the texts that the certificate covers.
        answering: certainty from which on the student may answer alone.
        certificate: certificate of the student, on ``certify``, opened once.
        usage: questions of this stage.
    """

    fitted: FittedStudents
    regions: tuple[Region, ...]
    applicability_domain: ApplicabilityDomain
    answering: SelectivePrediction
    certificate: Certificate
    usage: Usage


def certify_student(fitted: FittedStudents) -> Certification:
    """Find where the chosen student may answer, ask the teacher what is left, and certify.

    Cost: the passes of the teacher that the plan says, less what its cache holds, and one for each
    text of another corpus; the refits of :class:`whence.students.certificate.check_options.Checks`.
    """
    run = fitted.plan.run
    before = run.used()
    run.tell("evidence", 0, 4)
    # In this order: regions and domain come from select and report, and must stand before the
    # threshold is tested on certify, whose guarantee allows for nothing chosen there.
    regions = regions_of(fitted)
    domain = domain_of(fitted)
    answering = answering_of(fitted, regions, domain)
    run.tell("evidence", 1, 4)
    certificate = _certificate(fitted, domain, answering)
    run.tell("evidence", 2, 4)
    return Certification(
        fitted=fitted,
        regions=regions,
        applicability_domain=domain,
        answering=answering,
        certificate=certificate,
        usage=run.used(before),
    )


def _certificate(
    fitted: FittedStudents, domain: ApplicabilityDomain, answering: SelectivePrediction
) -> Certificate:
    plan, holdout, best = fitted.plan, fitted.holdout, fitted.best
    terms, queries, checks = plan.run.terms, plan.queries, plan.checks
    texts = holdout.texts("certify")
    pieces = affordable_attributions(best.fitted, texts, queries.attributions)
    searches = affordable_searches(queries.parting)
    probes = Probes(
        flips=_flips(fitted),
        ceiling=_ceiling(fitted),
        refits=(
            refits(best, fitted.table, holdout.tables["certify"], terms, draws=checks.refits)
            if checks.refits
            else None
        ),
        attributions=(
            attribution_agreement(best.fitted, texts, plan.run, most=pieces) if pieces else None
        ),
        shift=_shift(fitted),
        disagreements=(
            search_disagreements(
                best.fitted, texts, plan.run, most=searches, queries=queries.parting
            )
            if searches
            else None
        ),
        # 0 and not None: it was measured, and a verdict depends on it.
        coverage=0.0 if answering.threshold is None else answering.coverage.value,
    )
    decided = Decided(
        teacher=holdout.answers("certify"),
        student=holdout.of(best.fitted, "certify"),
        controls={
            name: holdout.of(control, "certify") for name, control in fitted.controls.items()
        },
        gold=None if plan.gold is None else plan.gold[plan.split.certify],
        slices=_slices(fitted, domain),
    )
    return certify(decided, probes, terms)


def _flips(fitted: FittedStudents) -> dict[str, Flips]:
    plan = fitted.plan
    if not plan.queries.flips:
        return {}
    learnt = frozenset(fitted.table.examples.texts)
    # The plan counts edits, and each text has one of every family.
    most = plan.queries.flips // len(EDITS)
    return flips_on_edits(fitted.best.fitted, fitted.holdout, plan.run, learnt=learnt, most=most)


def _slices(
    fitted: FittedStudents, domain: ApplicabilityDomain
) -> dict[str, Bool[np.ndarray, " texts"]]:
    """The slices of every certificate, and the caller's, marked so that none is overwritten."""
    holdout, plan = fitted.holdout, fitted.plan
    result = text_slices(holdout.texts("certify"), holdout.answers("certify"), domain.known)
    for name, marks in plan.slices.items():
        result[f"{name} (given)"] = marks[plan.split.certify]
    return result


def _ceiling(fitted: FittedStudents) -> Proportion | None:
    plan = fitted.plan
    # Texts of fit: how often the teacher agrees with itself needs no holdout, and certify stays
    # asked once.
    rows: list[int] = plan.split.fit.tolist()
    if not plan.queries.again:
        return None
    return noise_ceiling(plan.run, [plan.texts[row] for row in rows], most=plan.queries.again)


def _shift(fitted: FittedStudents) -> Shift | None:
    """Agreement on topics left out of the fit, and on other corpora; ``None`` where neither was asked for."""
    plan, best = fitted.plan, fitted.best
    result: Shift | None = None
    if plan.checks.topics:
        result = other_topics(
            best.student, fitted.table, plan.run.terms, clusters=plan.checks.topics
        )
    if plan.shifted:
        learnt = fitted.table.examples.texts
        corpora = other_corpora(best.fitted, plan.shifted, plan.run, learnt=learnt)
        result = corpora if result is None else result | corpora
    return result
