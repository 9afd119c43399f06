"""``whence.distill``: students of a teacher, chosen, certified and set beside their controls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Int
from scipy import sparse

from whence.core.errors import InputError, OptionError
from whence.students.answer_or_ask import AnswerOrAsk, Scored, certified_answering
from whence.students.budget import Budget, Plan, plan
from whence.students.catalogue import students_for
from whence.students.certificate import certify
from whence.students.checks import Checks
from whence.students.choosing import choose_lesson, choose_student
from whence.students.compact import SmallTransformer
from whence.students.concepts import Concepts, concepts
from whence.students.controls import gold_only, majority, opaque_ceiling, permuted_teacher
from whence.students.distilled import Distilled
from whence.students.distrust import Judged, regions
from whence.students.features import Features, ReadableFeatures
from whence.students.frontier import Shown, frontier, median_microseconds
from whence.students.learning_curve import learning_curve
from whence.students.material import Asked, Held, Lesson, joined
from whence.students.probing import attributions_within, flips_of, parting_within
from whence.students.protocol import PARTS, Part, Split, noise_ceiling, split
from whence.students.queries import EDITS, Edit, edited, frequent_ngrams
from whence.students.reach import Reach
from whence.students.refits import refits
from whence.students.region import Region
from whence.students.region import held as in_any
from whence.students.shift import Shift, other_corpora, other_topics
from whence.students.slicing import own_slices, slices_of
from whence.students.sparse_linear import SparseLinear
from whence.students.student import Fitted, Student
from whence.students.teacher import Answers, Teacher, checked_texts

__all__ = ["Distilled", "distill"]

_Told = Callable[[str, int, int], None]


def distill(
    teacher: Teacher,
    texts: Sequence[str],
    *,
    gold: Sequence[str] | None = None,
    students: Sequence[Student] | None = None,
    features: ReadableFeatures | None = None,
    budget: Budget | None = None,
    checks: Checks | None = None,
    compact: SmallTransformer | None = None,
    shifted: Mapping[str, Sequence[str]] | None = None,
    slices: Mapping[str, Sequence[bool]] | None = None,
    target: float = 0.95,
    level: float = 0.95,
    seed: int = 0,
    progress: _Told | None = None,
) -> Distilled:
    """Fit readable students to a teacher's answers, and certify the chosen one.

    Texts are split before any question. ``fit`` trains, with edits of its texts and bare n-grams
    beside them; ``select`` chooses; ``certify`` is opened once, for the chosen student;
    ``report`` shows all of them beside the controls.

    Cost: what :func:`whence.students.budget.plan` says for the budget, which no kind of question
    exceeds.

    Args:
        teacher: what is distilled.
        texts: at least 300 that differ.
        gold: the true label of each text, for a control and for the teacher's mistakes.
        students: hyper-parameters of those to fit; see :func:`whence.students.catalogue.students_for`.
        features: which features they may use; where not given, words and pairs of words, and what
            denials reach and groups of words where they help on ``select``.
        budget: what may be asked; see :class:`whence.students.budget.Budget`.
        checks: what is looked into beside; see :class:`whence.students.checks.Checks`.
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
        >>> from whence.students.rules import RuleList
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
    labels = teacher.labels
    # What can be refused is refused before the teacher is asked, and perhaps paid.
    checked_texts(texts)
    if not 0 < target < 1 or not 0.5 < level < 1:
        raise OptionError(f"target={target}, level={level}: shares below 1 are due")
    truth = None if gold is None else _indices(gold, labels, len(texts))
    wanted = tuple(students_for(len(labels)) if students is None else students)
    if not wanted or len({s.name for s in wanted}) != len(wanted):
        raise OptionError("students must be one at least, and of different names")
    for student in wanted:
        student.check(labels)
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
    parts = split(own, seed=seed)
    pool = _ask(teacher, own, "texts", progress)
    _refuse_one_label(pool)

    def told(what: str, done: int, of: int) -> None:
        if progress is not None:
            progress(what, done, of)

    lesson, groups = _lesson(teacher, own, pool, parts, planned, seed, progress)
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
    chosen = choose_student(fitted, held)
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
    found = _regions(best, held, known, looked.permutations, level, seed)
    reach = Reach.learn([lesson.texts[row] for row in whole.tolist()], held.texts("select"))
    answering = _answering(best, held, found, reach, target, level)
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
            **own_slices(slices or {}, rows[parts.certify].tolist(), len(texts)),
        },
        flips=(
            flips_of(best, teacher, own, held, most=allowed.flips, level=level, seed=seed)
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
                weights=lesson.weights, texts=lesson.texts, draws=looked.refits, seed=seed,
            )
            if looked.refits
            else None
        ),
        attributions=attributions_within(
            best, teacher, certified, queries=planned.attributions, seed=seed
        ),
        shift=_shift(spec, best, teacher, lesson, known, table, looked.topics, shifted, level, seed),
        parting=parting_within(best, teacher, certified, queries=planned.parting, seed=seed),
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
        {name: _shown(student, held, reported) for name, student in fitted.items()},
        {
            name: _shown(control, held, reported, control=True)
            for name, control in {**controls, **beside}.items()
        },
        chosen=chosen,
        gold=None if gold_of is None else gold_of[parts.report],
        teacher_microseconds=_pace(teacher, before),
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
        answering=answering,
        curve=curve,
        compact=small,
        choices=tuple(choices),
        groups=groups,
        split=parts,
        rows=tuple(taken),
        digests={part: parts.digest(own, part) for part in PARTS},
        ceiling=certificate.ceiling,
        plan=planned,
        asked=teacher.asked - before[0],
        reach=reach,
        teacher=teacher.ref,
        fingerprint=teacher.fingerprint,
        seed=seed,
        reported=tuple(reported),
    )


def _regions(
    student: Fitted, held: Held, known: Features, permutations: int, level: float, seed: int
) -> tuple[Region, ...]:
    if not permutations:
        return ()
    select, report = (
        Judged(held.texts(part), held.tables[part], held.answers(part), held.of(student, part))
        for part in ("select", "report")
    )
    return regions(
        select, report, features=known, permutations=permutations, level=level, seed=seed
    )


def _answering(
    student: Fitted,
    held: Held,
    found: Sequence[Region],
    reach: Reach,
    target: float,
    level: float,
) -> AnswerOrAsk:
    """Certified on the texts that the router would let the student answer."""
    vetoes = [region for region in found if region.veto]

    def scored(part: Part) -> Scored:
        asked = in_any(vetoes, held.texts(part)) | reach.outside(held.texts(part))
        return Scored.of(held.answers(part).probabilities, held.of(student, part), asked)

    return certified_answering(
        scored("select"), scored("certify"), scored("report"), target=target, level=level
    )


def _shift(
    spec: Student,
    student: Fitted,
    teacher: Teacher,
    lesson: Lesson,
    known: Features,
    table: sparse.csr_array,
    topics: int,
    shifted: Mapping[str, Sequence[str]] | None,
    level: float,
    seed: int,
) -> Shift | None:
    """Agreement on topics left out of the fit, and on other corpora; ``None`` of neither."""
    found: Shift | None = None
    if topics:
        found = other_topics(
            spec, table, lesson.targets, features=known, labels=lesson.labels,
            tested=lesson.kinds == 0, groups=lesson.groups, weights=lesson.weights,
            texts=lesson.texts, clusters=topics, level=level, seed=seed,
        )  # fmt: skip
    if shifted:
        elsewhere = other_corpora(student, teacher, shifted, level=level, seed=seed)
        found = elsewhere if found is None else found | elsewhere
    return found


def _ask(teacher: Teacher, texts: Sequence[str], what: str, progress: _Told | None) -> Answers:
    def told(done: int, of: int) -> None:
        if progress is not None:
            progress(what, done, of)

    return teacher.ask(texts, progress=told)


def _refuse_one_label(pool: Answers) -> None:
    only = np.unique(pool.top)
    if len(only) == 1:
        raise InputError(
            f"the teacher answers {pool.labels[int(only[0])]!r} to all {len(pool)} texts, so there "
            f"is nothing to tell apart; add texts that get the other labels "
            f"({', '.join(pool.labels)}). Its answers stay in its cache."
        )


def _lesson(
    teacher: Teacher,
    texts: Sequence[str],
    pool: Answers,
    parts: Split,
    planned: Plan,
    seed: int,
    progress: _Told | None,
) -> tuple[Lesson, Concepts | None]:
    """The texts of ``fit`` with edits of some, family after family, and their n-grams alone.

    Beside it, the groups of words that the answers to the n-grams show.
    """
    fit: list[int] = parts.fit.tolist()
    own = [texts[row] for row in fit]
    made: list[Edit] = []
    for place, family in enumerate(EDITS):
        count = planned.edits // len(EDITS) + (place < planned.edits % len(EDITS))
        order = np.random.default_rng([seed, place]).permutation(parts.fit)
        parents: list[int] = np.sort(order[:count]).tolist()
        made += edited(texts, parents, family=family, seed=seed)
    alone = frequent_ngrams(own, planned.ngrams)
    # A short text that is held out may be an edit or an n-gram of another.
    learnt = set(fit)
    held = {text for row, text in enumerate(texts) if row not in learnt}
    made = [edit for edit in made if edit.text not in held]
    alone = [ngram for ngram in alone if ngram not in held]
    group: list[int] = parts.groups.tolist()
    whole = Asked("text", own, pool.part(parts.fit), [group[row] for row in fit])
    if not made and not alone:
        return joined(whole), None
    answers = _ask(teacher, [*(e.text for e in made), *alone], "edits and n-grams", progress)
    rows, cut = np.arange(len(answers)), len(made)
    said = answers.part(rows[cut:])
    first = max(group) + 1
    lesson = joined(
        whole,
        Asked("edit", [e.text for e in made], answers.part(rows[:cut]),
              [group[e.parent] for e in made]),
        Asked("ngram", alone, said, range(first, first + len(alone))),
    )  # fmt: skip
    return lesson, concepts(alone, said, own, seed=seed) if alone else None


def _shown(student: Fitted, held: Held, texts: Sequence[str], *, control: bool = False) -> Shown:
    return Shown(
        probabilities=held.of(student, "report"),
        reading=0 if control else student.reading_cost.total,
        microseconds=median_microseconds(student.predict_proba, texts),
        bytes=len(json.dumps(student.to_json()).encode()) if student.readable else None,
    )


def _pace(teacher: Teacher, before: tuple[int, float]) -> float | None:
    """Microseconds of the teacher a text, over what this run asked; ``None`` where it asked none."""
    count = teacher.asked - before[0]
    return 1e6 * (teacher.seconds - before[1]) / count if count else None


def _indices(gold: Sequence[str], labels: Sequence[str], count: int) -> Int[np.ndarray, " texts"]:
    if len(gold) != count:
        raise InputError(f"{len(gold)} gold labels came with {count} texts; one each is due")
    strange = sorted(set(gold) - set(labels))
    if strange:
        raise InputError(f"gold label {strange[0]!r} is none of the teacher's: {', '.join(labels)}")
    return np.array([list(labels).index(label) for label in gold], dtype=np.int64)
