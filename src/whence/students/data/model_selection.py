"""What is chosen on ``select``: features, the weight of bare n-grams, and the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy import sparse

from whence.students.data.training_set import Held, Lesson
from whence.students.families.base import Fitted
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.vectorizer import Features, ReadableFeatures
from whence.students.teacher.teacher import Answers

__all__ = ["NGRAM_WEIGHTS", "Choice", "Taught", "choose_lesson", "choose_student", "taught_from"]

NGRAM_WEIGHTS = (0.3, 0.0)
"""Weights of a bare n-gram that are tried in place of 1, that of a whole text."""

JUDGE = SparseLinear(features=None)
"""What features and weights are judged by: a sum over all of them, fitted in seconds."""

LEAST_CHANCE = 1e-3
"""A student's probability counts as this at least, so that one text cannot decide the choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One thing that was decided on ``select``, by the fall of the mean cross-entropy in nats.

    Attributes:
        what: the alternative.
        gain: fall of the mean cross-entropy to the teacher against what it would replace.
        error: its standard error, over the texts of ``select``.
        taken: whether it was: only a gain of more than one standard error is.
    """

    what: str
    gain: float
    error: float
    taken: bool

    def __str__(self) -> str:
        verb = "taken" if self.taken else "left"
        return f"{self.what}: {verb} (gain {self.gain:+.4f} nats, standard error {self.error:.4f})"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Taught:
    """A lesson with the features that were learnt from its texts, and its table."""

    lesson: Lesson
    known: Features
    table: sparse.csr_array


def taught_from(lesson: Lesson, spec: ReadableFeatures) -> Taught:
    """Features of the whole texts of a lesson, and the table of all its texts."""
    whole: list[int] = lesson.whole().tolist()
    known = spec.learn([lesson.texts[row] for row in whole])
    return Taught(lesson=lesson, known=known, table=known.table(lesson.texts))


def losses(
    teacher: Answers, student: Float[np.ndarray, "texts labels"]
) -> Float[np.ndarray, " texts"]:
    """Cross-entropy of a student to the teacher, in nats a text."""
    return -(teacher.probabilities * np.log(np.maximum(student, LEAST_CHANCE))).sum(axis=1)


def choose_lesson(
    lesson: Lesson,
    select: tuple[Sequence[str], Answers],
    *,
    features: ReadableFeatures | None = None,
    concepts: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Taught, list[Choice]]:
    """The features and the weight of bare n-grams that a linear student does best with.

    Starts from words and pairs of words; what denials reach and groups of words are added, and
    bare n-grams weighted down, where that gains more than its standard error on ``select``.

    Args:
        lesson: what is learnt from.
        select: texts held out to choose on, and the teacher's answers.
        features: taken as they are where given.
        concepts: names to words that stand for each other.
    """
    texts, answers = select

    def judged(taught: Taught, judge: SparseLinear = JUDGE) -> np.ndarray:
        fitted = taught.lesson.fit(judge, taught.known, taught.table)
        return losses(answers, fitted.predict_proba(texts, answers.read_to.tolist()))

    spec = ReadableFeatures() if features is None else features
    taught = taught_from(lesson, spec)
    best = judged(taught)
    made: list[Choice] = []

    def offer(what: str, before: np.ndarray, after: np.ndarray) -> bool:
        gains = before - after
        error = _error(gains)
        taken = bool(gains.mean() > error)
        made.append(Choice(what=what, gain=float(gains.mean()), error=error, taken=taken))
        return taken

    if (lesson.kinds == 2).any():
        for weight in NGRAM_WEIGHTS:
            other = lesson.weighing("ngram", weight)
            kept = np.flatnonzero(lesson.kinds < 2) if weight == 0 else np.arange(len(lesson.texts))
            tried = Taught(lesson=other, known=taught.known, table=taught.table[kept])
            found = judged(tried)
            if offer(f"n-grams alone weigh {weight:g} of a text", best, found):
                taught, best = tried, found
    if features is not None:
        return taught, made
    tried = taught_from(taught.lesson, replace(spec, negation=True))
    found = judged(tried)
    if offer("words within reach of a negation", best, found):
        taught, best, spec = tried, found, tried.known.spec
    if concepts:
        short = SparseLinear(features=30)
        tried = taught_from(taught.lesson, replace(spec, lexicons=concepts))
        if offer("groups of words", judged(taught, short), judged(tried, short)):
            taught = tried
    return taught, made


def choose_student(fitted: Mapping[str, Fitted], held: Held) -> tuple[str, list[Choice]]:
    """Within one standard error of the least cross-entropy on ``select``, the least to read.

    Beside its name, what each of the others would have gained in its place.
    """
    answers = held.answers("select")
    found = {name: losses(answers, held.of(s, "select")) for name, s in fitted.items()}
    best = min(found.values(), key=lambda loss: float(loss.mean()))
    near = [name for name, loss in found.items() if (loss - best).mean() <= _error(loss - best)]
    chosen = min(near, key=lambda name: (fitted[name].reading_cost.total, name))
    others = [
        Choice(
            what=f"{name} in place of {chosen}",
            gain=float((found[chosen] - loss).mean()),
            error=_error(found[chosen] - loss),
            taken=False,
        )
        for name, loss in found.items()
        if name != chosen
    ]
    return chosen, others


def _error(differences: Float[np.ndarray, " texts"]) -> float:
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))
