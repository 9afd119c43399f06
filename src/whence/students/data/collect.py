"""What the teacher is asked before a student learns: texts, edits and n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from whence.core.errors import InputError, TextTooLongError
from whence.students.data.augmentation import EDITS, Edit, edited, frequent_ngrams
from whence.students.data.query_budget import QueryPlan
from whence.students.data.run import Run
from whence.students.data.split import Split
from whence.students.data.training_set import AnsweredTexts, TrainingSet
from whence.students.features.word_groups import WordGroups, word_groups
from whence.students.teacher.teacher import Answers, Teacher

__all__ = ["ask_readable", "ask_teacher", "build_training_set", "refuse_one_label"]


def ask_teacher(run: Run, texts: Sequence[str], what: str = "texts") -> Answers:
    """The teacher's answers, the caller being told how far it is."""
    return run.teacher.ask(texts, what=what, progress=run.progress)


def ask_readable(run: Run, texts: Sequence[str], what: str = "edits") -> tuple[list[int], Answers]:
    """Rows of the texts that the teacher can read, with its answers to them.

    An edit may make a text longer than the teacher reads; such a one is left out.
    """
    teacher = run.teacher
    if not texts:
        none = np.zeros(0, dtype=np.int64)
        empty = np.zeros((0, len(teacher.labels)))
        return [], Answers(labels=teacher.labels, gives=teacher.gives, values=empty, read_to=none)
    rows = list(range(len(texts)))
    try:
        return rows, ask_teacher(run, texts, what)
    except TextTooLongError:
        # One by one only after a refusal: what is answered on the way is in the cache, and the
        # whole is then asked without a new pass.
        rows = [row for row in rows if _reads(teacher, texts[row])]
    return rows, ask_teacher(run, [texts[row] for row in rows], what)


def _reads(teacher: Teacher, text: str) -> bool:
    try:
        teacher.ask([text])
    except TextTooLongError:
        return False
    return True


def refuse_one_label(answers: Answers) -> None:
    """Refuse a teacher that decides the same for all texts.

    Raises:
        InputError: all answers are the same label.
    """
    labels = np.unique(answers.top)
    if len(labels) == 1:
        raise InputError(
            "expected texts that get different labels, but the teacher answers "
            f"{answers.labels[int(labels[0])]!r} to all {len(answers)} texts; add texts that get "
            f"the other labels ({', '.join(answers.labels)}). Its answers stay in its cache."
        )


def build_training_set(
    run: Run, texts: Sequence[str], answers: Answers, parts: Split, queries: QueryPlan
) -> tuple[TrainingSet, WordGroups | None]:
    """The texts of ``fit`` with edits of some, family after family, and their n-grams alone.

    Edits that are longer than the teacher reads are left out, and so is what is held out. Beside
    the training set stand the groups of words that the answers to the n-grams show; ``None``
    without n-grams.

    Cost: one pass of the teacher for each edit and n-gram.

    Args:
        run: teacher, seed and progress.
        texts: all texts.
        answers: answers of the teacher to them.
        parts: split of the texts.
        queries: numbers of edits and n-grams.
    """
    rows: list[int] = parts.fit.tolist()
    fit_texts = [texts[row] for row in rows]
    # A short text that is held out may be an edit or an n-gram of another.
    learnt = set(rows)
    held_out = {text for row, text in enumerate(texts) if row not in learnt}
    edits = _edits(texts, parts, queries.edits, run.terms.seed, held_out)
    ngrams = [n for n in frequent_ngrams(fit_texts, queries.ngrams) if n not in held_out]
    groups: list[int] = parts.groups.tolist()
    whole = AnsweredTexts("text", fit_texts, answers.part(parts.fit), [groups[row] for row in rows])
    if not edits and not ngrams:
        return TrainingSet.of(whole), None
    questions = [*(edit.text for edit in edits), *ngrams]
    readable, replies = ask_readable(run, questions, "edits and n-grams")
    # Readable rows are ascending and edits stand first, so that the first ones are edits.
    count = sum(row < len(edits) for row in readable)
    edits = [edits[row] for row in readable[:count]]
    ngrams = [questions[row] for row in readable[count:]]
    places = np.arange(len(replies))
    to_edits, to_ngrams = replies.part(places[:count]), replies.part(places[count:])
    # An n-gram alone is of no document: each is a document of its own.
    first = max(groups) + 1
    training = TrainingSet.of(
        whole,
        AnsweredTexts("edit", [e.text for e in edits], to_edits, [groups[e.parent] for e in edits]),
        AnsweredTexts("ngram", ngrams, to_ngrams, range(first, first + len(ngrams))),
    )
    return training, word_groups(
        ngrams, to_ngrams, fit_texts, seed=run.terms.seed
    ) if ngrams else None


def _edits(
    texts: Sequence[str], parts: Split, count: int, seed: int, held_out: AbstractSet[str]
) -> list[Edit]:
    """So many edits of ``fit`` texts at most, the families in equal numbers."""
    result: list[Edit] = []
    for place, family in enumerate(EDITS):
        # The remainder goes to the first families, one each, so that the count is met exactly.
        share = count // len(EDITS) + (place < count % len(EDITS))
        order = np.random.default_rng([seed, place]).permutation(parts.fit)
        parents: list[int] = np.sort(order[:share]).tolist()
        result += edited(texts, parents, family=family, seed=seed)
    return [edit for edit in result if edit.text not in held_out]
