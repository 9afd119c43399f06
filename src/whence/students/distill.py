"""``whence.distill``: students of a teacher, chosen, certified and set beside their controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from whence.core.errors import InputError, OptionError
from whence.models.adapters.callable import CallableModel
from whence.models.protocols import TokenModel
from whence.students.certificate.certificate import certify
from whence.students.certificate.check_options import Checks
from whence.students.certificate.frontier import frontier
from whence.students.certificate.held_out import (
    answering_of,
    pace_of,
    regions_of,
    shift_of,
    shown_of,
)
from whence.students.certificate.learning_curve import learning_curve
from whence.students.certificate.refit_stability import refits
from whence.students.certificate.teacher_queries import (
    attributions_within,
    flips_of,
    parting_within,
)
from whence.students.data.applicability_domain import Reach
from whence.students.data.augmentation import EDITS
from whence.students.data.collect import Told, asked_of, lesson_of, refuse_one_label
from whence.students.data.inputs import as_teacher, gold_indices, named
from whence.students.data.model_selection import choose_lesson, choose_student
from whence.students.data.query_budget import Budget, plan
from whence.students.data.slices import own_slices, slices_of
from whence.students.data.split import PARTS, noise_ceiling, split
from whence.students.data.training_set import Held
from whence.students.families.base import Fitted, Student
from whence.students.families.baselines import gold_only, majority, opaque_ceiling, permuted_teacher
from whence.students.families.registry import students_for
from whence.students.families.sparse_linear import SparseLinear
from whence.students.families.transformer import Transformer
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.result import Distilled
from whence.students.teacher.teacher import Teacher, checked_texts

__all__ = ["Distilled", "distill"]


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
    target: float = 0.95,
    level: float = 0.95,
    seed: int = 0,
    progress: Told | None = None,
) -> Distilled:
    """Fit readable students to a teacher's answers, and certify the chosen one.

    Texts are split before any question. ``fit`` trains, with edits of its texts and bare n-grams
    beside them; ``select`` chooses; ``certify`` is opened once, for the chosen student;
    ``report`` shows all of them beside the controls.

    Cost: what :func:`whence.students.data.query_budget.plan` says for the budget, which no kind of question
    exceeds.

    Args:
        teacher: what is distilled; a loaded classifier may be given as it is.
        texts: at least 300 that differ.
        gold: the true label of each text, for a control and for the teacher's mistakes.
        students: those to fit, or their names such as ``"rule-list-10"``; see :func:`whence.students.families.registry.students_for`.
        features: which features they may use; where not given, words and pairs of words, and what
            denials reach and groups of words where they help on ``select``.
        budget: what may be asked; see :class:`whence.students.data.query_budget.Budget`.
        checks: what is looked into beside; see :class:`whence.students.certificate.check_options.Checks`.
        compact: a small transformer, trained on the same answers and shown beside the students;
            some minutes for a few thousand texts.
        shifted: texts of other sources or times, by name, on which agreement is measured too; they
            come on top of the budget.
        slices: marks of the texts, by name, on which agreement is told apart.
        target: agreement that replacing the teacher takes.
        level: of all bounds.
        seed: of the split and everything drawn.
        progress: told what is being done, how far it is, and of how much.

    Raises:
        InputError: too few distinct texts, gold labels that do not fit, or a teacher that gives
            all texts the same label.
        ModelOutputError: the teacher failed; its answers so far stay in its cache.

    Example:
        >>> import numpy as np, whence
        >>> from whence.students.families.rule_list import RuleList
        >>> rule = lambda ts: [[0.1, 0.9] if "late" in t else [0.9, 0.1] for t in ts]
        >>> model = whence.load(rule, labels=["accept", "reject"])
        >>> rng = np.random.default_rng(0)
        >>> words = np.array(["late", *(f"word{i}" for i in range(40))])
        >>> texts = [" ".join(rng.choice(words, 30)) for _ in range(600)]
        >>> found = distill(Teacher.of(model, gives="probability"), texts,
        ...                 students=[RuleList(rules=3)])
        >>> found.certificate.verdict
        'faithful enough to replace'
        >>> print(found.student.to_text().splitlines()[0][:14])
        if 'late': rej
    """
    # What can be refused is refused before the teacher is asked, and perhaps paid.
    teacher = as_teacher(teacher)
    labels = teacher.labels
    texts = checked_texts(texts)
    if not 0 < target < 1 or not 0.5 < level < 1 or seed < 0:
        raise OptionError(
            f"target={target}, level={level}, seed={seed}: a target and a level below 1, the level "
            "above .5, and a seed of 0 or more are due"
        )
    truth = None if gold is None else gold_indices(gold, labels, len(texts))
    wanted = students_for(len(labels)) if students is None else named(students)
    for student in wanted:
        student.check(labels)
    if features is not None:
        features.check()
    if compact is not None:
        compact.check(labels)
        if (compact.hidden_weight or compact.attention_weight) and teacher.model is None:
            raise OptionError(
                f"{compact.name} matches the teacher's layers, and {teacher.ref} shows none; leave "
                "hidden_weight and attention_weight at 0"
            )
    for name, given in (shifted or {}).items():
        if not checked_texts(given):
            raise InputError(f"corpus {name!r} of shifted= holds no text")
    allowed = Budget() if budget is None else budget
    looked = Checks() if checks is None else checks
    planned = plan(len(texts), allowed)
    rows = np.arange(len(texts))
    if planned.texts < len(texts):
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[: planned.texts])
    taken: list[int] = rows.tolist()
    own = [texts[row] for row in taken]
    gold_of = None if truth is None else truth[rows]
    own_slices(slices or {}, [], len(texts))
    before = (teacher.asked, teacher.seconds)
    try:
        parts = split(own, seed=seed)
    except InputError as error:
        if planned.texts == len(texts):
            raise
        raise OptionError(
            f"queries={allowed.queries} leave room for {planned.texts} of {len(texts)} texts, and "
            f"too few of these differ: {error} Or allow more queries."
        ) from error
    # Texts without a feature in common are refused here.
    (ReadableFeatures() if features is None else features).learn(
        [own[row] for row in parts.fit.tolist()]
    )
    pool = asked_of(teacher, own, "texts", progress)
    refuse_one_label(pool)

    def told(what: str, done: int, of: int) -> None:
        if progress is not None:
            progress(what, done, of)

    lesson, groups = lesson_of(teacher, own, pool, parts, planned, seed, progress)
    select = parts.select
    selected = [own[row] for row in select.tolist()]
    taught, choices = choose_lesson(
        lesson,
        (selected, pool.part(select)),
        features=features,
        concepts=None if groups is None else groups.lexicons,
    )
    lesson, known, table = taught.lesson, taught.known, taught.table
    held = Held(own, pool, parts, known)
    fitted: dict[str, Fitted] = {}
    for place, student in enumerate(wanted):
        fitted[student.name] = lesson.fit(student, known, table)
        told("students", place + 1, len(wanted))
    chosen, others = choose_student(fitted, held)
    best = fitted[chosen]
    spec = next(student for student in wanted if student.name == chosen)

    whole = lesson.whole()
    controls: dict[str, Fitted] = {
        "majority": majority(lesson.targets[whole], labels),
        "permuted": permuted_teacher(
            table[whole], lesson.targets[whole], features=known, labels=labels, seed=seed
        ),
    }
    if gold_of is not None:
        controls["gold"] = gold_only(
            table[whole], gold_of[parts.fit], features=known, labels=labels
        )
    # Shown and never certified: a weight for every feature is a sum, but nobody reads it.
    beside: dict[str, Fitted] = {
        "full linear": lesson.fit(SparseLinear(features=None), known, table),
        "opaque": opaque_ceiling(lesson.texts, lesson.targets, labels=labels),
    }
    small = None
    if compact is not None:
        told("compact", 0, 1)
        small = compact.fit(
            table, lesson.targets, features=known, labels=labels, weights=lesson.weights,
            texts=lesson.texts,
            select=(held.texts("select"), held.answers("select").probabilities),
            teacher=teacher.model if compact.hidden_weight or compact.attention_weight else None,
        )  # fmt: skip
        beside["compact"] = small
        told("compact", 1, 1)
    told("evidence", 0, 4)
    found = regions_of(best, held, known, looked.permutations, level, seed)
    cut = [len(t) for t, end in zip(own, pool.read_to.tolist(), strict=True) if end < len(t)]
    reach = Reach.learn(
        [lesson.texts[row] for row in whole.tolist()],
        held.texts("select"),
        cut_from=min(cut, default=None),
    )
    answering = answering_of(best, held, found, reach, target, level)
    told("evidence", 1, 4)
    fit: list[int] = parts.fit.tolist()
    certified = held.texts("certify")
    certificate = certify(
        held.answers("certify"),
        held.of(best, "certify"),
        controls={name: held.of(control, "certify") for name, control in controls.items()},
        gold=None if gold_of is None else gold_of[parts.certify],
        slices={
            **slices_of(certified, held.answers("certify"), reach.vocabulary),
            # Marked, so that none can take the place of one above.
            **{
                f"{name} (given)": marks
                for name, marks in own_slices(
                    slices or {}, rows[parts.certify].tolist(), len(texts)
                ).items()
            },
        },
        flips=(
            flips_of(best, teacher, own, held, learnt=frozenset(lesson.texts),
                most=planned.flips // len(EDITS), level=level, seed=seed,
            )
            if planned.flips
            else {}
        ),
        ceiling=(
            noise_ceiling(
                teacher, [own[row] for row in fit], most=planned.again, seed=seed, level=level
            )
            if planned.again
            else None
        ),
        refits=(
            refits(
                spec, table, lesson.targets, features=known, labels=labels,
                held=held.tables["certify"], fitted=best, groups=lesson.groups,
                weights=lesson.weights_for(spec), texts=lesson.texts, draws=looked.refits, level=level,
                seed=seed,
            )
            if looked.refits
            else None
        ),
        attributions=attributions_within(
            best, teacher, certified, queries=planned.attributions, level=level, seed=seed
        ),
        shift=shift_of(spec, best, teacher, lesson, known, table, looked.topics, shifted, level, seed),
        parting=parting_within(
            best, teacher, certified, queries=planned.parting, level=level, seed=seed
        ),
        coverage=0.0 if answering.threshold is None else answering.coverage.value,
        target=target,
        level=level,
        seed=seed,
    )  # fmt: skip
    told("evidence", 2, 4)
    curve = None
    if looked.curve:
        curve = learning_curve(
            lambda taken: held.of(lesson.fit(spec, known, table, taken), "select"),
            len(lesson.texts), held.answers("select").top, draws=looked.curve, level=level,
            seed=seed,
        )  # fmt: skip
    told("evidence", 3, 4)
    reported = held.texts("report")
    shown = frontier(
        held.answers("report").top,
        {name: shown_of(student, held, reported) for name, student in fitted.items()},
        {
            name: shown_of(control, held, reported, control=True)
            for name, control in {**controls, **beside}.items()
        },
        chosen=chosen,
        gold=None if gold_of is None else gold_of[parts.report],
        teacher_microseconds=pace_of(teacher, before),
        level=level,
        seed=seed,
    )
    told("evidence", 4, 4)
    return Distilled(
        students=fitted,
        chosen=chosen,
        certificate=certificate,
        frontier=shown,
        regions=found,
        searched=looked.permutations > 0,
        answering=answering,
        curve=curve,
        compact=small,
        choices=(*choices, *others),
        groups=groups,
        split=parts,
        rows=tuple(taken),
        digests={part: parts.digest(own, part) for part in PARTS},
        plan=planned,
        asked=teacher.asked - before[0],
        reach=reach,
        teacher=teacher.ref,
        fingerprint=teacher.fingerprint,
        seed=seed,
        reported=tuple(reported),
    )
