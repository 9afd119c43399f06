"""Stability: what stays of a student when it is fitted again on other samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from whence.core.errors import InputError, OptionError
from whence.core.record import Number, Value
from whence.core.statistics.imagined_row import mean_interval
from whence.core.statistics.proportions import Interval
from whence.students.data.run import Terms
from whence.students.data.training_set import Candidate, TrainingTable
from whence.students.families.base import Fitted, Student
from whence.students.features.vectorizer import Features
from whence.students.fitting.clustering import alike
from whence.students.fitting.sparse import size

__all__ = ["Refits", "WeightRange", "refits"]

SHOWN = 15
"""Weights that are printed, as many as fit beside a screen of text; all are stored."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WeightRange(Value):
    """The weight of a feature, and where it lies in refits; it is 0 where a refit leaves it out.

    Attributes:
        feature: feature in words.
        label: label that the weight speaks for.
        value: weight of the student itself.
        lower: lower quantile of the weight over all refits.
        upper: upper quantile of it.
        used: share of the refits that use the feature.
    """

    feature: str
    label: str
    value: Number
    lower: Number
    upper: Number
    used: float

    def __str__(self) -> str:
        return (
            f"{self.feature} for {self.label}: {self.value:+.2f} "
            f"[{self.lower:+.2f}, {self.upper:+.2f}], in {100 * self.used:.0f} % of the refits"
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Refits(Value):
    """How alike students are that were fitted on bootstrap samples.

    Attributes:
        draws: number of refits.
        level: level of the intervals of the weights; that of ``agreement`` is 95 %.
        agreement: mean over pairs of refits of how often both decide alike on texts held out.
        features: mean over pairs of the Jaccard similarity of the features they use.
        groups: mean similarity where features that stand together count as one.
        grouped: correlation from which on two features are of one group.
        sign_flips: share of the features that two refits or more use whose weight is above 0 in
            one and below 0 in another; ``None`` where the student has no weights.
        weights: weights of the features that the student itself uses, the weightiest first.
    """

    draws: int
    level: float
    agreement: Interval
    features: Number
    groups: Number
    grouped: float
    sign_flips: float | None
    weights: tuple[WeightRange, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.draws} refits: they agree with each other {self.agreement}; "
            f"share of features in common {self.features:.2f}, of groups {self.groups:.2f}"
        ]
        if self.sign_flips is not None:
            lines.append(f"weights that change their sign: {100 * self.sign_flips:.1f} %")
        lines += [str(weight) for weight in self.weights[:SHOWN]]
        if len(self.weights) > SHOWN:
            lines.append(f"and {len(self.weights) - SHOWN} more weights")
        return "\n".join(lines)


def refits(
    candidate: Candidate,
    training: TrainingTable,
    held_out: sparse.csr_array,
    terms: Terms,
    *,
    draws: int = 20,
    grouped: float = 0.7,
) -> Refits:
    """Stability of a student over bootstrap samples of its training texts.

    Each sample draws as many document groups as there are, with replacement, and takes all rows
    of each; the student is fitted on it from nothing, choice of features included. Two features
    are of one group where their correlation over the training texts is ``grouped`` or more, or
    where such features join them: correlated n-grams stand in for each other, so the features
    vary far more than what is predicted. A weight's interval holds the quantiles over all refits;
    with 20 of them its ends are rough. It is the range of the procedure on such samples, and no
    statement about causes. The student's own weight may lie outside: then it was chosen by the
    luck of its sample. Bootstrap samples repeat texts, so refits differ a little more than
    students of fresh samples of the same size would.

    Cost: no pass of the teacher; ``draws`` fits.
    Turney (1995), doi:10.1007/BF00993473, for agreement over samples; Efron (1979),
    doi:10.1214/aos/1176344552.

    Args:
        candidate: hyper-parameters, and the student fitted on the whole training set.
        training: training set, edits and n-grams included.
        held_out: table of texts held out, in the same columns.
        terms: level of the intervals and seed of the samples.
        draws: samples, at least 2.
        grouped: correlation above 0, at most 1, from which on two features are of one group; .7
            was chosen by hand and is not calibrated.

    Raises:
        InputError: no text held out, or other columns.
        OptionError: fewer than 2 draws, or a correlation out of its range.

    Example:
        >>> from whence.students.data.training_set import AnsweredTexts, TrainingSet
        >>> from whence.students.families.sparse_linear import SparseLinear
        >>> from whence.students.features.vectorizer import ReadableFeatures
        >>> from whence.students.teacher.teacher import Teacher
        >>> lines = ["paid late", "in time", "late again", "paid again", "no debt"] * 10
        >>> teacher = Teacher.of_labels(lambda ts: ["yes" if "late" in t else "no" for t in ts],
        ...                             labels=["no", "yes"])
        >>> training = TrainingTable.learn(
        ...     TrainingSet.of(AnsweredTexts("text", lines, teacher.ask(lines), range(50))),
        ...     ReadableFeatures(longest=1),
        ... )
        >>> student = SparseLinear(features=1)
        >>> candidate = Candidate(student, training.fit(student))
        >>> result = refits(candidate, training, training.table[:4], Terms(), draws=5)
        >>> result.agreement.value, result.groups, result.sign_flips
        (1.0, 1.0, 0.0)
    """
    columns = size(training.table)[1]
    if draws < 2 or not 0 < grouped <= 1:
        raise OptionError(
            f"expected 2 draws or more and 0 < grouped <= 1, got draws={draws}, grouped={grouped}"
        )
    if size(held_out)[0] == 0 or size(held_out)[1] != columns:
        raise InputError(
            f"expected a held-out table of one text or more and {columns} columns, got shape "
            f"{size(held_out)}"
        )
    students = _refitted(candidate.student, training, draws, terms.seed)
    used = np.zeros((draws, columns), dtype=np.bool_)
    decisions = np.empty((draws, size(held_out)[0]), dtype=np.int64)
    for draw, student in enumerate(students):
        places = student.features.columns_in(training.features)
        used[draw, places] = True
        chances = student.probabilities(sparse.csr_array(held_out[:, places]))
        decisions[draw] = chances.argmax(axis=1)
    ever = np.flatnonzero(used.any(axis=0))
    group = alike(sparse.csr_array(training.table[:, ever]), grouped)
    in_group = np.zeros((draws, int(group.max(initial=-1)) + 1), dtype=np.bool_)
    for draw in range(draws):
        in_group[draw, group[used[draw, ever]]] = True
    flips, ranges = _weights(candidate.fitted, students, training.features, terms.level)
    same = _pairs_alike(decisions, len(training.examples.labels))
    return Refits(
        draws=draws,
        level=terms.level,
        # Over texts and not over pairs, which share refits and so are not independent.
        agreement=mean_interval(same, (0.0, 1.0), seed=terms.seed),
        features=_jaccard(used[:, ever]),
        groups=_jaccard(in_group),
        grouped=grouped,
        sign_flips=flips,
        weights=ranges,
    )


def _refitted(student: Student, training: TrainingTable, draws: int, seed: int) -> list[Fitted]:
    """The student fitted on bootstrap samples of the documents."""
    rng = np.random.default_rng(seed)
    owner = training.examples.groups
    # By document and not by row: an edit in one sample and its text in another would make refits
    # look more alike than students of other texts are.
    order = np.argsort(owner, kind="stable")
    documents = np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)
    result: list[Fitted] = []
    for _ in range(draws):
        sample = rng.integers(len(documents), size=len(documents))
        rows = np.sort(np.concatenate([documents[document] for document in sample]))
        result.append(training.fit(student, rows))
    return result


def _pairs_alike(
    decisions: Int[np.ndarray, "draws texts"], labels: int
) -> Float[np.ndarray, " texts"]:
    """Share of the pairs of draws that decide alike, of each text."""
    draws = len(decisions)
    # Where c of d refits say a label, c (c - 1) ordered pairs agree on it: no need to compare d^2
    # pairs text by text.
    counts = np.stack([(decisions == label).sum(axis=0) for label in range(labels)])
    pairs: np.ndarray = (counts * (counts - 1)).sum(axis=0)
    return pairs / (draws * (draws - 1))


def _jaccard(sets: Bool[np.ndarray, "draws members"]) -> float:
    """Mean over pairs of what they share of what either has; 1 of two empty ones."""
    members = sets.astype(np.float64)
    shared = members @ members.T
    sizes = members.sum(axis=1)
    # Members as 0 and 1: one product counts what every pair shares.
    either = sizes[:, None] + sizes - shared
    pairs = np.triu_indices(len(sets), k=1)
    share = np.where(either > 0, shared / np.maximum(either, 1), 1.0)
    return float(share[pairs].mean())


def _weights(
    fitted: Fitted, refitted: Sequence[Fitted], features: Features, level: float
) -> tuple[float | None, tuple[WeightRange, ...]]:
    """Share of the weights that change their sign, and the range of each weight of the student."""
    weights = fitted.weights_by_feature()
    if weights is None:
        return None, ()
    drawn = np.zeros((len(refitted), len(features), len(fitted.labels)))
    used = np.zeros((len(refitted), len(features)), dtype=np.bool_)
    for draw, student in enumerate(refitted):
        of_draw = student.weights_by_feature()
        if of_draw is not None:
            places = student.features.columns_in(features)
            drawn[draw, places], used[draw, places] = of_draw, True
    # A feature of one refit alone has no second weight whose sign could differ.
    often = np.flatnonzero(used.sum(axis=0) >= 2)
    # A feature is judged where it weighs most: elsewhere it is near 0 and its sign means nothing.
    label = np.abs(drawn).mean(axis=0).argmax(axis=1)
    at = drawn[:, often, label[often]]
    flipped = (at.min(axis=0) < 0) & (at.max(axis=0) > 0) if len(often) else np.zeros(0)
    flips = float(flipped.mean()) if len(often) else 0.0
    places = fitted.features.columns_in(features)
    order = np.argsort(-np.abs(weights).max(axis=1), kind="stable").tolist() if len(places) else []
    # Of two labels the weights are the same with opposite signs, so the second's say it all.
    shown = range(1, 2) if len(fitted.labels) == 2 else range(len(fitted.labels))
    ranges: list[WeightRange] = []
    for place in order:
        column = int(places[place])
        for spoken in shown:
            lower, upper = np.quantile(
                drawn[:, column, spoken], [(1 - level) / 2, (1 + level) / 2]
            ).tolist()
            ranges.append(
                WeightRange(
                    feature=features.describe(column),
                    label=fitted.labels[spoken],
                    value=float(weights[place, spoken]),
                    lower=lower,
                    upper=upper,
                    used=float(used[:, column].mean()),
                )
            )
    return flips, tuple(ranges)
