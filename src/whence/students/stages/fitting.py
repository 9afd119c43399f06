"""The third stage: features and a student chosen on ``select``, and what they are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from whence.students.data.model_selection import Choice, choose_features, choose_student
from whence.students.data.training_set import Candidate, HoldOut, TrainingTable
from whence.students.families.base import Fitted
from whence.students.families.baselines import gold_only, majority, opaque_ceiling, permuted_teacher
from whence.students.families.sparse_linear import SparseLinear
from whence.students.families.transformer import FittedTransformer
from whence.students.stages.plan import Plan
from whence.students.stages.training import Training

__all__ = ["FittedStudents", "fit_students"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FittedStudents:
    """Students by name, the chosen one, and their controls.

    Attributes:
        training: second stage.
        table: training set with the features that were chosen.
        holdout: parts held out, with these features.
        students: students by name.
        chosen: name of the student that is certified.
        controls: students of less or other knowledge, which the chosen one must beat.
        references: students that nobody can read; shown and never certified.
        compact: small transformer; ``None`` where none was asked for.
        choices: choices on ``select``, in this stage and before.
    """

    training: Training
    table: TrainingTable
    holdout: HoldOut
    students: dict[str, Fitted]
    chosen: str
    controls: dict[str, Fitted]
    references: dict[str, Fitted]
    compact: FittedTransformer | None
    choices: tuple[Choice, ...]

    @property
    def plan(self) -> Plan:
        """The first stage."""
        return self.training.plan

    @property
    def best(self) -> Candidate:
        """The chosen student, with its hyper-parameters."""
        student = next(spec for spec in self.plan.students if spec.name == self.chosen)
        return Candidate(student, self.students[self.chosen])


def fit_students(training: Training) -> FittedStudents:
    """Choose features, fit every student and control, and choose a student.

    Cost: no pass of the teacher, but for a small transformer that matches its layers.
    """
    plan = training.plan
    table, choices = training.trial.table, list(training.choices)
    if plan.chooses_features:
        groups = None if training.groups is None else training.groups.lexicons
        table, more = choose_features(training.trial, training.select, groups)
        choices += more
    holdout = HoldOut(plan.texts, training.answers, plan.split, table.features)
    students: dict[str, Fitted] = {}
    for place, student in enumerate(plan.students):
        students[student.name] = table.fit_counted(student)
        plan.run.tell("students", place + 1, len(plan.students))
    chosen, others = choose_student(students, holdout)
    # A weight for every feature is a sum, but nobody reads it.
    references: dict[str, Fitted] = {
        "full linear": table.fit_counted(SparseLinear(features=None)),
        "opaque": opaque_ceiling(
            table.examples.texts, table.examples.targets, labels=table.examples.labels
        ),
    }
    compact = _compact(plan, table, holdout)
    if compact is not None:
        references["compact"] = compact
    return FittedStudents(
        training=training,
        table=table,
        holdout=holdout,
        students=students,
        chosen=chosen,
        controls=_controls(plan, table),
        references=references,
        compact=compact,
        choices=(*choices, *others),
    )


def _controls(plan: Plan, table: TrainingTable) -> dict[str, Fitted]:
    """What a student must beat: one label, random labels, and the true ones where there are any."""
    examples = table.examples
    rows, labels, features = examples.whole(), examples.labels, table.features
    # Controls learn from whole texts alone: edits and n-grams have no true label, and other shares
    # of labels than texts have.
    whole, targets = table.table[rows], examples.targets[rows]
    controls: dict[str, Fitted] = {
        "majority": majority(targets, labels),
        "permuted": permuted_teacher(
            whole, targets, features=features, labels=labels, seed=plan.run.terms.seed
        ),
    }
    if plan.gold is not None:
        gold = plan.gold[plan.split.fit]
        controls["gold"] = gold_only(whole, gold, features=features, labels=labels)
    return controls


def _compact(plan: Plan, table: TrainingTable, holdout: HoldOut) -> FittedTransformer | None:
    student, examples = plan.compact, table.examples
    if student is None:
        return None
    plan.run.tell("compact", 0, 1)
    matches_layers = student.hidden_weight or student.attention_weight
    fitted = student.fit(
        table.table, examples.targets, features=table.features, labels=examples.labels,
        weights=examples.weights, texts=examples.texts,
        # When to stop is decided on select, as all that is chosen.
        select=(holdout.texts("select"), holdout.answers("select").probabilities),
        teacher=plan.run.teacher.model if matches_layers else None,
    )  # fmt: skip
    plan.run.tell("compact", 1, 1)
    return fitted
