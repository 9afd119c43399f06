"""Stability: what stays of a student when it is fitted again on other samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from whence.core.errors import InputError, OptionError
from whence.core.statistics.proportions import Interval, bootstrap
from whence.students.families.base import Fitted, Student
from whence.students.features.vectorizer import Features
from whence.students.fitting.clustering import alike
from whence.students.fitting.sparse import size

__all__ = ["Refits", "WeightRange", "refits"]

SHOWN = 15
"""Weights that are printed; all are stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightRange:
    """The weight of a feature, and where it lies in refits; it is 0 where a refit leaves it out.

    Attributes:
        feature: in words.
        label: the label that the weight speaks for.
        value: of the student itself.
        lower: quantile over all refits.
        upper: likewise.
        used: share of the refits that use the feature.
    """

    feature: str
    label: str
    value: float
    lower: float
    upper: float
    used: float

    def __str__(self) -> str:
        return (
            f"{self.feature} for {self.label}: {self.value:+.2f} "
            f"[{self.lower:+.2f}, {self.upper:+.2f}], in {self.used:.0%} of the refits"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Refits:
    """How alike students are that were fitted on bootstrap samples.

    Attributes:
        draws: refits.
        level: of the intervals of the weights; that of ``agreement`` is 95 %.
        agreement: mean over pairs of refits of how often both decide alike on texts held out.
        features: mean over pairs of the Jaccard similarity of the features they use.
        groups: the same, where features that stand together count as one.
        grouped: correlation from which on two features are of one group.
        sign_flips: of the features that two refits or more use, the share whose weight is above
            0 in one and below 0 in another; ``None`` where the student has no weights.
        weights: of the features that the student itself uses, the weightiest first.
    """

    draws: int
    level: float
    agreement: Interval
    features: float
    groups: float
    grouped: float
    sign_flips: float | None
    weights: tuple[WeightRange, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.draws} refits: they agree with each other {self.agreement}; "
            f"share of features in common {self.features:.2f}, of groups {self.groups:.2f}"
        ]
        if self.sign_flips is not None:
            lines.append(f"weights that change their sign: {self.sign_flips:.1%}")
        lines += [str(weight) for weight in self.weights[:SHOWN]]
        if len(self.weights) > SHOWN:
            lines.append(f"and {len(self.weights) - SHOWN} more weights")
        return "\n".join(lines)


def refits(
    student: Student,
    table: sparse.csr_array,
    targets: Float[np.ndarray, "texts labels"],
    *,
    features: Features,
    labels: Sequence[str],
    held: sparse.csr_array,
    fitted: Fitted | None = None,
    groups: Int[np.ndarray, " _"] | None = None,
    weights: Float[np.ndarray, " texts"] | None = None,
    texts: Sequence[str] | None = None,
    draws: int = 20,
    level: float = 0.9,
    grouped: float = 0.7,
    seed: int = 0,
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

    Cost: no pass of the teacher; ``draws`` fits, and one more where ``fitted`` is not given.
    Turney (1995), doi:10.1007/BF00993473, for agreement over samples; Efron (1979),
    doi:10.1214/aos/1176344552.

    Args:
        student: hyper-parameters.
        table: one row a training text, edits and n-grams included.
        targets: the teacher's probabilities of them.
        features: what the columns are.
        labels: what the columns of ``targets`` are.
        held: texts held out, in the same columns.
        fitted: the student as fitted on all rows.
        groups: the document each row stems from; each row its own where not given.
        weights: of the rows, as in the fit.
        texts: of the rows; prototypes need them.
        draws: samples, at least 2.
        level: of the intervals of the weights.
        grouped: correlation above 0.
        seed: of the samples.

    Raises:
        InputError: no text held out, other columns, or other numbers of groups and rows.
        OptionError: fewer than 2 draws, or a level or correlation that is no share.

    Example:
        >>> from whence.students.features.vectorizer import ReadableFeatures
        >>> from whence.students.families.sparse_linear import SparseLinear
        >>> lines = ["paid late", "in time", "late again", "paid again", "no debt"] * 10
        >>> known = ReadableFeatures(longest=1).learn(lines)
        >>> aims = np.array([[0.1, 0.9] if "late" in line else [0.9, 0.1] for line in lines])
        >>> found = refits(SparseLinear(features=1), known.table(lines), aims, features=known,
        ...                labels=["no", "yes"], held=known.table(lines[:4]), draws=5)
        >>> found.agreement.value, found.groups, found.sign_flips
        (1.0, 1.0, 0.0)
    """
    rows, columns = size(table)
    if draws < 2 or not 0 < level < 1 or not 0 < grouped <= 1:
        raise OptionError(
            f"draws={draws}, level={level}, grouped={grouped}: 2 draws or more and shares are due"
        )
    if size(held)[0] == 0 or size(held)[1] != columns:
        raise InputError(
            f"a held-out table of shape {size(held)} came with {columns} columns; one text or "
            "more in the same columns is due"
        )
    owner = np.arange(rows) if groups is None else groups
    if len(owner) != rows or (texts is not None and len(texts) != rows):
        raise InputError(f"{rows} rows came with groups or texts of another number")

    def fit(chosen: Int[np.ndarray, " rows"]) -> Fitted:
        part, aims = sparse.csr_array(table[chosen]), targets[chosen]
        share = None if weights is None else weights[chosen]
        places: list[int] = chosen.tolist()
        seen = None if texts is None else [texts[row] for row in places]
        return student.learn(
            part, aims, features=features, labels=labels, weights=share, texts=seen
        )

    own = fit(np.arange(rows)) if fitted is None else fitted
    rng = np.random.default_rng(seed)
    order = np.argsort(owner, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)
    again = [
        fit(np.sort(np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])))
        for _ in range(draws)
    ]  # fmt: skip
    used = np.zeros((draws, columns), dtype=np.bool_)
    said = np.empty((draws, size(held)[0]), dtype=np.int64)
    for draw, refit in enumerate(again):
        places = refit.features.columns_in(features)
        used[draw, places] = True
        chances = refit.probabilities(sparse.csr_array(held[:, places]))
        said[draw] = chances.argmax(axis=1)
    ever = np.flatnonzero(used.any(axis=0))
    group = alike(sparse.csr_array(table[:, ever]), grouped)
    in_group = np.zeros((draws, int(group.max(initial=-1)) + 1), dtype=np.bool_)
    for draw in range(draws):
        in_group[draw, group[used[draw, ever]]] = True
    flips, ranges = _weights(own, again, features, level)
    same = _pairs_alike(said, len(labels))
    return Refits(
        draws=draws,
        level=level,
        agreement=bootstrap(lambda chosen: float(same[chosen].mean()), len(same), seed=seed),
        features=_jaccard(used[:, ever]),
        groups=_jaccard(in_group),
        grouped=grouped,
        sign_flips=flips,
        weights=ranges,
    )


def _pairs_alike(said: Int[np.ndarray, "draws texts"], labels: int) -> Float[np.ndarray, " texts"]:
    """Share of the pairs of draws that decide alike, of each text."""
    draws = len(said)
    counts = np.stack([(said == label).sum(axis=0) for label in range(labels)])
    pairs: np.ndarray = (counts * (counts - 1)).sum(axis=0)
    return pairs / (draws * (draws - 1))


def _jaccard(sets: Bool[np.ndarray, "draws members"]) -> float:
    """Mean over pairs of what they share of what either has; 1 of two empty ones."""
    held = sets.astype(np.float64)
    shared = held @ held.T
    sizes = held.sum(axis=1)
    either = sizes[:, None] + sizes - shared
    pairs = np.triu_indices(len(sets), k=1)
    share = np.where(either > 0, shared / np.maximum(either, 1), 1.0)
    return float(share[pairs].mean())


def _weights(
    own: Fitted, again: Sequence[Fitted], features: Features, level: float
) -> tuple[float | None, tuple[WeightRange, ...]]:
    of_own = own.weights_by_feature()
    if of_own is None:
        return None, ()
    found = np.zeros((len(again), len(features), len(own.labels)))
    used = np.zeros((len(again), len(features)), dtype=np.bool_)
    for draw, refit in enumerate(again):
        weights = refit.weights_by_feature()
        if weights is not None:
            places = refit.features.columns_in(features)
            found[draw, places], used[draw, places] = weights, True
    often = np.flatnonzero(used.sum(axis=0) >= 2)
    # A feature is judged where it weighs most: elsewhere it is near 0 and its sign means nothing.
    label = np.abs(found).mean(axis=0).argmax(axis=1)
    at = found[:, often, label[often]]
    flipped = (at.min(axis=0) < 0) & (at.max(axis=0) > 0) if len(often) else np.zeros(0)
    flips = float(flipped.mean()) if len(often) else 0.0
    places = own.features.columns_in(features)
    order = np.argsort(-np.abs(of_own).max(axis=1), kind="stable").tolist() if len(places) else []
    shown = range(1, 2) if len(own.labels) == 2 else range(len(own.labels))
    ranges: list[WeightRange] = []
    for place in order:
        column = int(places[place])
        for spoken in shown:
            lower, upper = np.quantile(
                found[:, column, spoken], [(1 - level) / 2, (1 + level) / 2]
            ).tolist()
            ranges.append(
                WeightRange(
                    feature=features.describe(column),
                    label=own.labels[spoken],
                    value=float(of_own[place, spoken]),
                    lower=lower,
                    upper=upper,
                    used=float(used[:, column].mean()),
                )
            )
    return flips, tuple(ranges)
