"""The fifth stage: students beside their controls on ``report``, and what more questions bring."""

from __future__ import annotations

from whence.students.certificate.frontier import Answered, Entry, Frontier, frontier
from whence.students.certificate.learning_curve import LearningCurve, learning_curve
from whence.students.data.run import Usage
from whence.students.data.split import PARTS
from whence.students.result import Distilled
from whence.students.stages.certification import Certification
from whence.students.stages.fitting import FittedStudents

__all__ = ["report"]


def report(certification: Certification) -> Distilled:
    """The result of all stages, with the frontier and the learning curve.

    Cost: no pass of the teacher; the fits of the learning curve.
    """
    fitted = certification.fitted
    training, plan = fitted.training, fitted.plan
    run, usage = plan.run, training.usage + certification.usage
    curve = _curve(fitted)
    run.tell("evidence", 3, 4)
    rungs = _frontier(fitted, usage)
    run.tell("evidence", 4, 4)
    return Distilled(
        students=fitted.students,
        chosen=fitted.chosen,
        certificate=certification.certificate,
        frontier=rungs,
        regions=certification.regions,
        searched=plan.checks.permutations > 0,
        answering=certification.answering,
        curve=curve,
        compact=fitted.compact,
        choices=fitted.choices,
        groups=training.groups,
        split=plan.split,
        rows=plan.rows,
        digests={part: plan.split.digest(plan.texts, part) for part in PARTS},
        plan=plan.queries,
        asked=usage.asked,
        applicability_domain=certification.applicability_domain,
        teacher=run.teacher.ref,
        fingerprint=run.teacher.fingerprint,
        least_texts=plan.spec.least_texts,
        seed=run.terms.seed,
        reported=tuple(fitted.holdout.texts("report")),
    )


def _curve(fitted: FittedStudents) -> LearningCurve | None:
    """Kappa on ``select`` of the chosen student fitted on ever more of the training set."""
    table, holdout, student = fitted.table, fitted.holdout, fitted.best.student
    draws, terms = fitted.plan.checks.curve, fitted.plan.run.terms
    if not draws:
        return None
    # On select: certify speaks of one student, and report shows those that were fitted on all.
    return learning_curve(
        lambda rows: holdout.of(table.fit(student, rows), "select"),
        len(table.examples), holdout.answers("select").top, terms, draws=draws,
    )  # fmt: skip


def _frontier(fitted: FittedStudents, usage: Usage) -> Frontier:
    plan, holdout = fitted.plan, fitted.holdout
    texts = holdout.texts("report")
    others = {**fitted.controls, **fitted.references}
    entries = {
        name: Entry.of(student, holdout.of(student, "report"), texts, control=name in others)
        for name, student in {**fitted.students, **others}.items()
    }
    answered = Answered(
        top=holdout.answers("report").top,
        gold=None if plan.gold is None else plan.gold[plan.split.report],
        microseconds=usage.microseconds,
    )
    return frontier(entries, fitted.chosen, answered, plan.run.terms)
