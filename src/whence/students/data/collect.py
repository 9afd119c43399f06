"""The lesson: what the teacher is asked before a student learns, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from whence.core.errors import InputError, TextTooLongError
from whence.students.data.augmentation import EDITS, Edit, edited, frequent_ngrams
from whence.students.data.query_budget import Plan
from whence.students.data.split import Split
from whence.students.data.training_set import Asked, Lesson, joined
from whence.students.features.word_groups import WordGroups, word_groups
from whence.students.teacher.teacher import Answers, Teacher

__all__ = ["Told", "asked_of", "asked_where_read", "lesson_of", "refuse_one_label"]

Told = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and of how much."""


def asked_of(teacher: Teacher, texts: Sequence[str], what: str, progress: Told | None) -> Answers:
    """The teacher's answers, the caller being told how far it is."""

    def told(done: int, of: int) -> None:
        if progress is not None:
            progress(what, done, of)

    return teacher.ask(texts, progress=told)


def asked_where_read(
    teacher: Teacher, texts: Sequence[str], what: str = "edits", progress: Told | None = None
) -> tuple[list[int], Answers]:
    """Rows of the texts that the teacher can read, with its answers to them.

    An edit may make a text longer than the teacher reads; such a one is left out.
    """
    if not texts:
        none = np.zeros(0, dtype=np.int64)
        empty = np.zeros((0, len(teacher.labels)))
        return [], Answers(labels=teacher.labels, gives=teacher.gives, values=empty, read_to=none)
    rows = list(range(len(texts)))
    try:
        return rows, asked_of(teacher, texts, what, progress)
    except TextTooLongError:
        rows = [row for row in rows if _reads(teacher, texts[row])]
    return rows, asked_of(teacher, [texts[row] for row in rows], what, progress)


def _reads(teacher: Teacher, text: str) -> bool:
    try:
        teacher.ask([text])
    except TextTooLongError:
        return False
    return True


def refuse_one_label(pool: Answers) -> None:
    """Refuse a teacher that tells no text from any other.

    Raises:
        InputError: all answers are the same label.
    """
    only = np.unique(pool.top)
    if len(only) == 1:
        raise InputError(
            f"the teacher answers {pool.labels[int(only[0])]!r} to all {len(pool)} texts, so there "
            f"is nothing to tell apart; add texts that get the other labels "
            f"({', '.join(pool.labels)}). Its answers stay in its cache."
        )


def lesson_of(
    teacher: Teacher,
    texts: Sequence[str],
    pool: Answers,
    parts: Split,
    planned: Plan,
    seed: int,
    progress: Told | None,
) -> tuple[Lesson, WordGroups | None]:
    """The texts of ``fit`` with edits of some, family after family, and their n-grams alone.

    Edits that are longer than the teacher reads are left out, and so is what is held out. Beside it
    stand the groups of words that the answers to the n-grams show.
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
    asked = [*(edit.text for edit in made), *alone]
    read, answers = asked_where_read(teacher, asked, "edits and n-grams", progress)
    cut = sum(row < len(made) for row in read)
    made = [made[row] for row in read[:cut]]
    alone = [asked[row] for row in read[cut:]]
    rows = np.arange(len(answers))
    said = answers.part(rows[cut:])
    first = max(group) + 1
    lesson = joined(
        whole,
        Asked("edit", [e.text for e in made], answers.part(rows[:cut]),
              [group[e.parent] for e in made]),
        Asked("ngram", alone, said, range(first, first + len(alone))),
    )  # fmt: skip
    return lesson, word_groups(alone, said, own, seed=seed) if alone else None
