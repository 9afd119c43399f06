"""Measures of how a student's decisions and probabilities match its teacher's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from whence.core.errors import InputError
from whence.core.record import Value
from whence.core.statistics.proportions import Proportion, proportion

__all__ = [
    "Flips",
    "calibration_gap",
    "expected_calibration_error",
    "flips",
    "kappa",
    "macro_f1",
    "sign_test",
    "table_kappa",
    "table_macro_f1",
    "teacher_brier",
    "teacher_kl",
]


def kappa(a: Int[np.ndarray, " texts"], b: Int[np.ndarray, " texts"]) -> float:
    """Agreement beyond chance: ``(p - e) / (1 - e)``, with ``e`` from both label frequencies.

    1 is always the same; 0 is what two deciders of these frequencies would agree by chance; NaN
    where both always say the same one label. Cohen (1960), doi:10.1177/001316446002000104.

    Example:
        >>> kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]))
        0.5
    """
    return float(table_kappa(*_counts(a, b)))


def table_kappa(
    hits: Float[np.ndarray, "*tables labels"],
    first: Float[np.ndarray, "*tables labels"],
    second: Float[np.ndarray, "*tables labels"],
) -> Float[np.ndarray, "*tables"]:
    """:func:`kappa` of tables: of what both say, of what each of them says, for every label."""
    total = first.sum(axis=-1)
    # Whole counts are multiplied and divided once, so that one label everywhere gives exactly 1,
    # which is asked below.
    expected = (first * second).sum(axis=-1) / np.maximum(total, 1e-300) ** 2
    # The divisor where nothing is left beyond chance is of no use: its result is replaced by NaN.
    beyond = (hits.sum(axis=-1) / np.maximum(total, 1e-300) - expected) / np.where(
        expected >= 1, 1, 1 - expected
    )
    return np.where((expected >= 1) | (total == 0), np.nan, beyond)


def macro_f1(teacher: Int[np.ndarray, " texts"], student: Int[np.ndarray, " texts"]) -> float:
    """Mean over the labels that either gives of the harmonic mean of precision and recall."""
    return float(table_macro_f1(*_counts(teacher, student)))


def table_macro_f1(
    hits: Float[np.ndarray, "*tables labels"],
    first: Float[np.ndarray, "*tables labels"],
    second: Float[np.ndarray, "*tables labels"],
) -> Float[np.ndarray, "*tables"]:
    """:func:`macro_f1` of tables: of what both say, of what each of them says, for every label."""
    # F1 = 2 TP / (2 TP + FP + FN), whose denominator is how often either says the label.
    either = first + second
    given = (either > 0).sum(axis=-1)
    scores = (2 * hits / np.where(either > 0, either, 1)).sum(axis=-1)
    return np.where(given > 0, scores / np.maximum(given, 1), np.nan)


def _counts(
    a: Int[np.ndarray, " texts"], b: Int[np.ndarray, " texts"]
) -> tuple[
    Float[np.ndarray, " labels"], Float[np.ndarray, " labels"], Float[np.ndarray, " labels"]
]:
    """How often both say each label, and how often each of them does."""
    size = int(max(a.max(initial=0), b.max(initial=0))) + 1
    hits, first, second = (
        np.bincount(x, minlength=size).astype(np.float64) for x in (a[a == b], a, b)
    )
    return hits, first, second


def teacher_kl(
    teacher: Float[np.ndarray, "texts labels"], student: Float[np.ndarray, "texts labels"]
) -> Float[np.ndarray, " texts"]:
    """``sum_l t_l log(t_l / s_l)`` of each text, in nats; probabilities below 1e-12 count as that.

    Kullback and Leibler (1951), doi:10.1214/aoms/1177729694.
    """
    # The weight is the raw probability: a label that the teacher rules out counts nothing, as t
    # log t goes to 0 with t. A student that rules out what the teacher is sure of costs 27.6 nats,
    # and not infinity.
    t, s = np.maximum(teacher, 1e-12), np.maximum(student, 1e-12)
    return (teacher * (np.log(t) - np.log(s))).sum(axis=1)


def teacher_brier(
    teacher: Float[np.ndarray, "texts labels"], student: Float[np.ndarray, "texts labels"]
) -> Float[np.ndarray, " texts"]:
    """``sum_l (t_l - s_l)^2`` of each text: 0 is the same, 2 the opposite certainty.

    Unlike the divergence it stays small where the student rules out what the teacher does not.
    Of bare labels, ``t`` is 1 for the label. Brier (1950),
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Example:
        >>> teacher_brier(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])).tolist()
        [0.5]
    """
    return ((teacher - student) ** 2).sum(axis=1)


def expected_calibration_error(
    chances: Float[np.ndarray, "texts labels"], right: Bool[np.ndarray, " texts"], *, bins: int = 10
) -> float:
    """How far certainty is from how often the decision is right, averaged over ten bins.

    What is right is the caller's: the true label, or the teacher's decision. Bins hold equally
    many texts. The expectation is above 0 even for perfect calibration, up to
    about ``.4 / sqrt(n / bins)``: the mean absolute value of a normal of standard deviation
    ``.5 / sqrt(n / bins)``. Naeini et al. (2015), doi:10.1609/aaai.v29i1.9602.
    """
    certain = chances.max(axis=1)
    # Equally many texts a bin (Nixon et al. 2019, arXiv:1904.01685): in bins of equal width nearly
    # all texts of a sure student share one. Stable, since many texts of a short student have the
    # same certainty.
    order = np.argsort(certain, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [len(part) * abs(certain[part].mean() - right[part].mean()) for part in parts]
    return float(sum(gaps) / max(len(right), 1))


def calibration_gap(
    student: Float[np.ndarray, "texts labels"],
    teacher: Float[np.ndarray, "texts labels"],
    gold: Int[np.ndarray, " texts"],
) -> float:
    """``|ECE of the student - ECE of the teacher|``, both against the true labels.

    0 says that both are as far from calibrated, and not that they are so on the same texts or in
    the same direction.

    Example:
        >>> sure, unsure = np.array([[1.0, 0.0]] * 100), np.array([[0.8, 0.2]] * 100)
        >>> gold = np.tile([0] * 8 + [1] * 2, 10)
        >>> round(calibration_gap(unsure, sure, gold), 3)
        0.2
    """
    of_student = expected_calibration_error(student, student.argmax(axis=1) == gold)
    of_teacher = expected_calibration_error(teacher, teacher.argmax(axis=1) == gold)
    return abs(of_student - of_teacher)


def sign_test(student: Bool[np.ndarray, " texts"], control: Bool[np.ndarray, " texts"]) -> float:
    """Chance that a student no better than the control would win so many of the texts they split.

    One-sided exact binomial over texts where exactly one of them is right; 1 where there is none.
    McNemar (1947), doi:10.1007/BF02295996.
    """
    wins, losses = int((student & ~control).sum()), int((control & ~student).sum())
    # sf(k) is P(X > k): with one less it is the chance of so many wins or more.
    return float(stats.binom.sf(wins - 1, wins + losses, 0.5)) if wins + losses else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Flips(Value):
    """Edits that change a decision.

    Attributes:
        fidelity: agreement on the edited texts.
        recall: share of the edits that changed the teacher's decision where the student's went
            from the teacher's old decision to its new one.
        precision: share of the edits that changed the student's decision that changed the
            teacher's to the same.
    """

    fidelity: Proportion
    recall: Proportion
    precision: Proportion


def flips(
    teacher: tuple[Int[np.ndarray, " edits"], Int[np.ndarray, " edits"]],
    student: tuple[Int[np.ndarray, " edits"], Int[np.ndarray, " edits"]],
    *,
    level: float = 0.95,
) -> Flips:
    """Flip-recall and flip-precision of decisions before and after each edit.

    Agreement on texts says nothing of causes: a student may agree everywhere and still not follow
    when a word is changed. The bounds take edits for independent: give one edit a parent text.

    Example:
        >>> before, after = np.array([0, 0, 1]), np.array([1, 1, 1])
        >>> result = flips((before, after), (before, np.array([1, 0, 1])))
        >>> result.recall.value, result.precision.value
        (0.5, 1.0)
    """
    (t0, t1), (s0, s1) = teacher, student
    if not len(t0) == len(t1) == len(s0) == len(s1):
        raise InputError(
            "expected decisions before and after each edit, got "
            f"{len(t0)} and {len(t1)} of the teacher, {len(s0)} and {len(s1)} of the student"
        )
    moved, answered = t0 != t1, s0 != s1
    # Landing on the new decision from anywhere else than the old one follows nothing.
    followed = moved & answered & (s1 == t1) & (s0 == t0)
    # Precision asks only where the student's moves end: from where it came is what recall is
    # about.
    right = moved & answered & (s1 == t1)
    return Flips(
        proportion(int((t1 == s1).sum()), len(t1), level=level),
        proportion(int(followed.sum()), int(moved.sum()), level=level),
        proportion(int(right.sum()), int(answered.sum()), level=level),
    )
