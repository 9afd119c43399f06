"""What is chosen on ``select``: the weight of bare n-grams, features, and the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from whence.students.data.training_set import AnsweredTexts, HoldOut, TrainingSet, TrainingTable
from whence.students.families.base import Fitted
from whence.students.families.registry import tie_key
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.teacher.teacher import Answers

__all__ = [
    "NGRAM_WEIGHTS",
    "Choice",
    "Trial",
    "choose_features",
    "choose_ngram_weight",
    "choose_student",
]

NGRAM_WEIGHTS = (0.3, 0.0)
"""Weights of a bare n-gram that are tried in place of 1, that of a whole text. Chosen by hand: a
third and nothing, since a teacher that was trained on whole texts may answer fragments oddly."""

JUDGE = SparseLinear(features=None)
"""What features and weights are judged by: a sum over all of them, fitted in seconds."""

SHORT_JUDGE = SparseLinear(features=30)
"""What groups of words are judged by: they serve students of few features, and a sum over all
words needs no groups. 30 features, as the middle of the students fitted by default."""

LEAST_CHANCE = 1e-3
"""A student's probability counts as this at least, so that one text cannot decide the choice: its
cross-entropy is at most 6.9 nats. Chosen by hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One thing that was decided on ``select``, by the fall of the mean cross-entropy in nats.

    Attributes:
        what: alternative that was tried.
        gain: fall of the mean cross-entropy to the teacher against what it would replace.
        error: standard error of the gain, over the texts of ``select``.
        taken: whether it was; only a gain of more than one standard error is.
    """

    what: str
    gain: float
    error: float
    taken: bool

    def __str__(self) -> str:
        verb = "taken" if self.taken else "left"
        return f"{self.what}: {verb} (gain {self.gain:+.4f} nats, standard error {self.error:.4f})"


class Trial(NamedTuple):
    """A training table, and the cross-entropy on ``select`` of the student that judges it."""

    table: TrainingTable
    losses: Float[np.ndarray, " texts"]

    @classmethod
    def of(cls, table: TrainingTable, select: AnsweredTexts, judge: SparseLinear = JUDGE) -> Trial:
        """A training table, judged by a linear student."""
        chances = table.fit(judge).predict_proba(select.read)
        return cls(table, losses(select.answers, chances))


def losses(
    teacher: Answers, student: Float[np.ndarray, "texts labels"]
) -> Float[np.ndarray, " texts"]:
    """Cross-entropy of a student to the teacher, in nats a text."""
    return -(teacher.probabilities * np.log(np.maximum(student, LEAST_CHANCE))).sum(axis=1)


def choose_ngram_weight(
    training: TrainingSet, select: AnsweredTexts, spec: ReadableFeatures
) -> tuple[Trial, list[Choice]]:
    """The training set with the weight of bare n-grams that a linear student does best with.

    A lower weight is taken where it gains more than its standard error on ``select``.

    Args:
        training: texts, edits and n-grams, all of weight 1.
        select: texts held out to choose on.
        spec: features that are looked for.
    """
    best = Trial.of(TrainingTable.learn(training, spec), select)
    choices: list[Choice] = []
    if (training.kinds == 2).any():
        whole = best.table
        for weight in NGRAM_WEIGHTS:
            trial = Trial.of(whole.reweighted("ngram", weight), select)
            choice = _compared(f"n-grams alone weigh {weight:g} of a text", best, trial)
            choices.append(choice)
            best = trial if choice.taken else best
    return best, choices


def choose_features(
    trial: Trial, select: AnsweredTexts, groups: Mapping[str, Sequence[str]] | None = None
) -> tuple[TrainingTable, list[Choice]]:
    """The features that a linear student does best with.

    What denials reach and groups of words are added to words and pairs of words where that gains
    more than its standard error on ``select``.

    Args:
        trial: training set with the features to start from.
        select: texts held out to choose on.
        groups: words that stand for each other, by the name of the group.
    """
    training = trial.table.examples
    spec = trial.table.features.spec
    denials = Trial.of(TrainingTable.learn(training, replace(spec, negation=True)), select)
    choices = [_compared("words within reach of a negation", trial, denials)]
    table = denials.table if choices[0].taken else trial.table
    if groups:
        # One after the other: groups are tried on whatever the first choice left, so that choices
        # add up and do not multiply.
        spec = replace(table.features.spec, lexicons=groups)
        before = Trial.of(table, select, SHORT_JUDGE)
        after = Trial.of(TrainingTable.learn(training, spec), select, SHORT_JUDGE)
        choices.append(_compared("groups of words", before, after))
        table = after.table if choices[1].taken else table
    return table, choices


def choose_student(students: Mapping[str, Fitted], holdout: HoldOut) -> tuple[str, list[Choice]]:
    """Within one standard error of the least cross-entropy on ``select``, the least to read.

    Beside its name, what each of the others would have gained in its place. The rule of one
    standard error is that of Breiman et al. (1984), Classification and Regression Trees.
    """
    answers = holdout.answers("select")
    loss = {name: losses(answers, holdout.of(s, "select")) for name, s in students.items()}
    best = min(loss.values(), key=lambda values: float(values.mean()))
    # The best compares with itself as 0 <= 0, so there is always one.
    near = [name for name, values in loss.items() if _gain(values, best) <= _error(values, best)]
    chosen = min(near, key=lambda name: (students[name].reading_cost.total, tie_key(name)))
    others = [
        Choice(
            what=f"{name} in place of {chosen}",
            gain=_gain(loss[chosen], values),
            error=_error(loss[chosen], values),
            taken=False,
        )
        for name, values in loss.items()
        if name != chosen
    ]
    return chosen, others


def _compared(what: str, before: Trial, after: Trial) -> Choice:
    gain, error = _gain(before.losses, after.losses), _error(before.losses, after.losses)
    return Choice(what=what, gain=gain, error=error, taken=gain > error)


def _gain(before: Float[np.ndarray, " texts"], after: Float[np.ndarray, " texts"]) -> float:
    """Fall of the mean loss."""
    return float((before - after).mean())


def _error(before: Float[np.ndarray, " texts"], after: Float[np.ndarray, " texts"]) -> float:
    """Standard error of the fall, text by text."""
    # Paired: both losses are of the same texts, and hard texts cancel.
    gains = before - after
    return float(gains.std(ddof=1) / np.sqrt(len(gains)))
