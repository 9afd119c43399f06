"""``whence.distill``: students of a teacher, chosen, certified and set beside their controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from whence.core.progress import Progress
from whence.models.adapters.callable import CallableModel
from whence.models.protocols import TokenModel
from whence.models.public_call import stoppable
from whence.students.certificate.check_options import Checks
from whence.students.data.inputs import as_teacher
from whence.students.data.near_duplicates import SIMILAR
from whence.students.data.query_budget import Budget
from whence.students.data.run import Run, Terms
from whence.students.families.base import Student
from whence.students.families.transformer import Transformer
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.result import Distilled
from whence.students.stages.certification import certify_student
from whence.students.stages.fitting import fit_students
from whence.students.stages.plan import Inputs, make_plan
from whence.students.stages.report import report
from whence.students.stages.training import collect_training
from whence.students.teacher.teacher import Teacher

__all__ = ["Distilled", "distill"]


@stoppable("distill")
def distill(
    teacher: Teacher | TokenModel | CallableModel,
    texts: Iterable[str],
    *,
    gold: Iterable[str] | None = None,
    students: Sequence[Student | str] | None = None,
    features: ReadableFeatures | None = None,
    budget: Budget | None = None,
    checks: Checks | None = None,
    compact: Transformer | None = None,
    shifted: Mapping[str, Sequence[str]] | None = None,
    slices: Mapping[str, Sequence[bool]] | None = None,
    near_duplicates: float = SIMILAR,
    least_texts: int | None = None,
    target: float = 0.95,
    level: float = 0.95,
    seed: int = 0,
    progress: Progress | None = None,
) -> Distilled:
    """Fit readable students to a teacher's answers, and certify the chosen one.

    Texts are split before any question. ``fit`` trains, with edits of its texts and bare n-grams
    beside them; ``select`` chooses; ``certify`` is opened once, for the chosen student;
    ``report`` shows all of them beside the controls. Each of the five stages is a function in
    :mod:`whence.students.stages` from a frozen value to the next, and can be run again alone.

    Cost: what :func:`whence.students.data.query_budget.plan_queries` says for the budget, which no
    kind of question exceeds.

    Args:
        teacher: model that is distilled; a loaded classifier may be given as it is.
        texts: at least 300 texts that differ.
        gold: true label of each text, for a control and for the teacher's mistakes.
        students: students to fit, or their names such as ``"rule-list-10"``; see
            :func:`whence.students.families.registry.students_for`.
        features: features they may use; where not given, words and pairs of words, and what
            denials reach and groups of words where they help on ``select``.
        budget: questions that may be asked; see :class:`whence.students.data.query_budget.Budget`.
        checks: checks beside agreement that ask the teacher nothing; see
            :class:`whence.students.certificate.check_options.Checks`.
        compact: small transformer, trained on the same answers and shown beside the students;
            some minutes for a few thousand texts.
        shifted: texts of other sources or times, by name, on which agreement is measured too; they
            come on top of the budget.
        slices: marks of the texts, by name, on which agreement is told apart.
        near_duplicates: similarity, of the words that not all texts share, from which two texts stay
            in one part of the split; 1 joins only texts of the same words. See
            :func:`whence.students.data.near_duplicates.near_duplicates`.
        least_texts: texts a word or phrase must stand in to become a feature; 2 where neither this
            nor ``features`` says otherwise. Students hold the words that they decide by: a higher
            number keeps out what few people wrote.
        target: agreement that replacing the teacher takes.
        level: confidence level of all bounds.
        seed: seed of the split and of everything drawn.
        progress: callable of (what, done, total), called after each batch of texts.

    Raises:
        InputError: too few distinct texts, gold labels that do not fit, or a teacher that gives
            all texts the same label.
        OptionError: a setting out of its range, or a budget that is too small.
        ModelOutputError: the teacher failed; its answers so far stay in its cache.
        Interrupted: stopped by the user; likewise.

    Example:
        >>> import numpy as np, whence
        >>> from whence.students.families.rule_list import RuleList
        >>> rule = lambda ts: [[0.1, 0.9] if "late" in t else [0.9, 0.1] for t in ts]
        >>> model = whence.load(rule, labels=["accept", "reject"])
        >>> rng = np.random.default_rng(0)
        >>> words = np.array(["late", *(f"word{i}" for i in range(40))])
        >>> texts = [" ".join(rng.choice(words, 30)) for _ in range(600)]
        >>> result = distill(Teacher.of(model, gives="probability"), texts,
        ...                  students=[RuleList(rules=3)])
        >>> result.certificate.verdict
        'faithful enough to replace'
        >>> print(result.student.to_text().splitlines()[0][:14])
        if 'late': rej
    """
    inputs = Inputs(
        texts=texts,
        gold=gold,
        students=students,
        features=features,
        budget=Budget() if budget is None else budget,
        checks=Checks() if checks is None else checks,
        compact=compact,
        shifted=shifted or {},
        slices=slices or {},
        near_duplicates=near_duplicates,
        least_texts=least_texts,
    )
    terms = Terms(target=target, level=level, seed=seed)
    run = Run(teacher=as_teacher(teacher), terms=terms, progress=progress)
    training = collect_training(make_plan(run, inputs))
    return report(certify_student(fit_students(training)))
