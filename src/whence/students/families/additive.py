"""A sum over features and a few pairs of them: what a word adds, and what two together add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse, stats

from whence.core.errors import OptionError
from whence.students.families.base import (
    Evidence,
    Fitted,
    ReadingCost,
    Reasons,
    Student,
    feature_subset,
    training_weights,
)
from whence.students.families.sparse_linear import chosen_columns
from whence.students.features.vectorizer import Features
from whence.students.fitting.logistic import all_logits, ridge, softmax
from whence.students.fitting.sparse import dense
from whence.students.formats.onnx_graph import Graph
from whence.students.formats.sql_query import SqlQuery

__all__ = ["Additive", "FittedAdditive"]

CHANCE = 0.05
"""Chance that any pair at all is taken at a step where none tells anything."""

# 300 columns of two labels make five tables of 300 x 300 numbers, 3.6 MB. Ten pairs are chosen by
# hand: each is read with both its features.
MOST_PAIRS, WIDEST = 10, 300
"""More pairs are not read; the search holds tables of ``columns`` times ``columns``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Additive(Student):
    """Logits that are sums over few features and fewer pairs of them: a GA2M of binary features.

    ``logit_l = base_l + sum_a w_a,l x_a + sum_(a,b) v_ab,l x_a x_b`` with ``x`` 1 where the text
    has the feature and 0 where not. A generalised additive model fits a shape for each feature and
    a table for each pair. Of a feature that is there or absent a shape is two numbers and a table
    four, so such a model, boosted or not, is this sum: absent features add nothing, and a
    pair's number is what both together add beyond what each adds. It is therefore fitted as the
    sum it is, by soft-label logistic regression with a small ridge.

    Features are those of the lasso's path. Then one pair at a time: the one whose interaction
    contrast stands out most of what the sum so far leaves, as long as it stands out more than the
    best of all pairs would by chance, and all weights are fitted again. The contrast of a label is
    ``c = m_11 - m_10 - m_01 + m_00`` with ``m`` the mean error of the texts that have both, either
    or neither; its variance ``v = sum over the four of sum (s e)^2 / (sum s)^2``, with error ``e``
    and weight ``s`` of each text, allows each group its own spread, as bare labels have. ``c^2 / v``
    is chi-squared with one degree of freedom where a pair tells nothing (Bonferroni over pairs and
    labels). Cost of a step: for each label two products of the columns with each other, and a fit.

    The bound takes texts for independent, which edits of one text are not: with many of them a
    pair is taken too easily.
    Pairs are sought among features chosen for what each tells alone: two that only tell together
    can be lost in that choice. A pair's number is read with those of its features, never alone.
    Lou et al. (2013), Accurate Intelligible Models with Pairwise Interactions,
    doi:10.1145/2487575.2487579.

    Args:
        columns: features at most, 2 to 300.
        pairs: most pairs of features, 1 to 10.
        least_texts: texts that must have both, either alone, and neither of a pair's features.
        strength: strength of the ridge, in texts.

    Example:
        >>> from whence.students.features.vectorizer import ReadableFeatures
        >>> texts = ["late", "waived", "late waived", ""] * 30
        >>> features = ReadableFeatures(longest=1).learn(texts)
        >>> late = [0.9 if "late" in t and "waived" not in t else 0.1 for t in texts]
        >>> student = Additive(pairs=1, strength=1e-6).fit(
        ...     features.table(texts), np.array([[1 - p, p] for p in late]),
        ...     features=features, labels=("accept", "reject"))
        >>> print(student.to_text())
        feature: accept, reject
        (always): +1.10, -1.10
        'late': -2.20, +2.20
        'waived': +0.00, -0.00
        both, beyond what each adds:
        'late' with 'waived': +2.20, -2.20
    """

    size_field = "columns"

    columns: int = 30
    pairs: int = 10
    least_texts: int = 10
    strength: float = 1.0

    def check(self, labels: Sequence[str]) -> None:
        """Refuse settings that cannot be fitted; see :meth:`Student.check`."""
        if self.pairs == 0:
            raise OptionError(
                "expected 1 to 10 pairs, got pairs=0. Every feature is there or absent, and a sum "
                f"over such features is a linear model: SparseLinear(features={self.columns}) is "
                "that student. Ask for 1 to 10 pairs, or for SparseLinear."
            )
        if not 2 <= self.columns <= WIDEST or not 1 <= self.pairs <= MOST_PAIRS:
            raise OptionError(
                f"expected 2 to {WIDEST} columns and 1 to {MOST_PAIRS} pairs, got "
                f"columns={self.columns}, pairs={self.pairs}"
            )
        if self.least_texts < 1 or self.strength <= 0:
            raise OptionError(
                f"least_texts={self.least_texts}, strength={self.strength}: at least 1 text, and "
                "a strength above 0"
            )

    def fit(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
    ) -> FittedAdditive:
        """Learn.

        Raises:
            OptionError: a setting out of its range; no pairs, which would be another student.
        """
        self.check(labels)
        share = training_weights(table, targets, features, labels, weights)
        chosen = chosen_columns(table, targets, share, most=self.columns)
        # Dense: at most 300 columns are left, and the search multiplies each with each.
        has = dense(sparse.csr_array(table[:, chosen])) > 0
        pairs: list[tuple[int, int]] = []
        while True:
            # Fitted before a pair is sought: then the errors of the texts with a feature add up to
            # nearly 0 (the normal equations, but for the ridge), and a contrast holds nothing that
            # a feature alone could still take.
            design = sparse.csr_array(_design(has, pairs))
            result = ridge(design, targets, share, strength=self.strength)
            if len(pairs) == self.pairs:
                break
            error = targets - softmax(all_logits(design @ result.weights + result.intercept))
            pair = _telling(has, error, share, pairs, float(self.least_texts))
            if pair is None:
                break
            pairs.append(pair)
        # Centring is linear: parts that are centred one by one add up to centred logits.
        base, adds = all_logits(result.intercept[None])[0], all_logits(result.weights)
        return FittedAdditive(labels, feature_subset(features, chosen), base, adds, pairs)


def _design(has: np.ndarray, pairs: Sequence[tuple[int, int]]) -> Float[np.ndarray, "texts sums"]:
    both = [has[:, first] & has[:, second] for first, second in pairs]
    return np.column_stack([has, *both]).astype(np.float64)


def _telling(
    has: np.ndarray,
    error: np.ndarray,
    share: np.ndarray,
    pairs_so_far: Sequence[tuple[int, int]],
    least: float,
) -> tuple[int, int] | None:
    """The pair with the largest contrast in its own standard errors, unless chance does as much."""
    count, labels = has.shape[1], error.shape[1]
    if count < 2:
        return None
    presence, weighted = has.astype(np.float64), share[:, None] * error
    # Row 0 the weights, then the weighted errors of each label, then their squares: all that the
    # mean of a cell and the variance of that mean need.
    parts = np.column_stack([share, weighted, weighted**2]).T
    whole = parts.sum(axis=1)
    # Each pair once, and no feature with itself.
    open_ = np.triu(np.ones((count, count), dtype=np.bool_), 1)
    # Sums of the four cells. Only those of "both" take products; the other three follow by
    # inclusion and exclusion, so no table of absent features is ever built.
    both = np.stack([(presence * part[:, None]).T @ presence for part in parts])
    one = parts @ presence
    first, second = one[:, :, None] - both, one[:, None, :] - both
    neither = whole[:, None, None] - both - first - second
    contrast, variance = np.zeros((2, labels, count, count))
    inverse = np.zeros((count, count))
    for sign, cell in ((1, both), (-1, first), (-1, second), (1, neither)):
        open_ &= cell[0] >= least
        # A cell without texts is shut out above; the floor keeps its quotient from being 0 / 0.
        weight = np.maximum(cell[0], 1e-12)
        contrast += sign * cell[1 : labels + 1] / weight
        # A sum of squares that was found by subtraction can come out a little below 0.
        variance += np.maximum(cell[labels + 1 :], 0.0) / weight**2
        inverse += 1 / weight
    # contrast^2 / sum of 1 / weight is what the pair would take off the squared error; 1e-9 of
    # the weight of all texts is rounding, as in splits.floor_of, and no error.
    open_ &= (contrast**2 / inverse).max(axis=0) > 1e-9 * len(share)
    pairs = count * (count - 1) // 2 - len(pairs_so_far)
    for a, b in pairs_so_far:
        open_[a, b] = False
    if not open_.any():
        return None
    # Errors without any spread make the variance 0, and the contrast as clear as can be. A contrast
    # of errors is at most 4, so even 16 / 1e-300 does not overflow.
    score = np.where(open_, (contrast**2 / np.maximum(variance, 1e-300)).max(axis=0), -np.inf)
    a, b = divmod(int(score.argmax()), count)
    # The errors of a text add up to 0 over labels: of L contrasts, L - 1 are free.
    return (a, b) if score[a, b] > stats.chi2.isf(CHANCE / (pairs * (labels - 1)), 1) else None


class FittedAdditive(Fitted):
    """Numbers for features and pairs; what is absent adds nothing.

    Logits are centred: those of a text add up to 0 over labels.

    Args:
        labels: labels of the teacher.
        features: features that it decides by.
        base: logits of a text that has none of them.
        adds: logits that each feature, then each pair, adds.
        pairs: two columns each.
    """

    def __init__(
        self,
        labels: Sequence[str],
        features: Features,
        base: Float[np.ndarray, " labels"],
        adds: Float[np.ndarray, "sums labels"],
        pairs: Sequence[tuple[int, int]],
    ) -> None:
        super().__init__(labels, features)
        self.base = base
        self.adds = adds
        self.pairs = tuple(pairs)

    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """Softmax of the sums."""
        return softmax(_design(dense(table) > 0, self.pairs) @ self.adds + self.base)

    @property
    def reading_cost(self) -> ReadingCost:
        """Every feature, and again in each pair; one number each where there are two labels."""
        each = 1 if len(self.labels) == 2 else len(self.labels)
        words = self.features.cost(range(len(self.features)))
        words += sum(self.features.cost([column]) for pair in self.pairs for column in pair)
        return ReadingCost(words, each * (len(self.adds) + 1))

    def explain(self, text: str) -> Reasons:
        """What the features it has add, and the pairs of which it has both."""
        spans = self.features.spans(text)
        evidence = [
            Evidence(self.features.describe(column), tuple(places), self.adds[column])
            for column, places in spans.items()
        ]
        for place, (first, second) in enumerate(self.pairs, len(self.features)):
            if first in spans and second in spans:
                places = tuple(sorted({*spans[first], *spans[second]}))
                evidence.append(Evidence(self._named(place), places, self.adds[place]))
        return self._reasons(text, self.base, evidence, "logit")

    def _named(self, place: int) -> str:
        """A feature, or both of a pair, in words."""
        count = len(self.features)
        columns = (place,) if place < count else self.pairs[place - count]
        return " with ".join(self.features.describe(column) for column in columns)

    def to_text(self) -> str:
        """One line a feature, the weightiest first; then the pairs likewise."""
        count, weight = len(self.features), np.abs(self.adds).max(axis=1)
        order: list[int] = np.argsort(-weight, kind="stable").tolist()
        lines = ["feature: " + ", ".join(self.labels), _line("(always)", self.base)]
        lines += [_line(self._named(place), self.adds[place]) for place in order if place < count]
        if self.pairs:
            lines.append("both, beyond what each adds:")
        lines += [_line(self._named(place), self.adds[place]) for place in order if place >= count]
        return "\n".join(lines)

    def to_sql(self, query: SqlQuery) -> str:
        """A weighted sum of features and pairs."""
        return query.weighted_sum(self.adds, self.base, self.pairs)

    def to_onnx(self, graph: Graph, presence: str) -> str:
        """A weighted sum of features and pairs."""
        terms = presence
        if self.pairs:
            sides = [np.array(side, dtype=np.int64) for side in zip(*self.pairs, strict=True)]
            pair = [graph.add("Gather", presence, graph.constant(side)) for side in sides]
            terms = graph.add("Concat", presence, graph.add("Mul", *pair), axis=0)
        return graph.softmax(terms, self.adds, self.base)

    def to_json(self) -> dict[str, Any]:
        """Features, pairs and numbers."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "features": self.features.to_json(),
            "base": self.base.tolist(),
            "adds": self.adds.tolist(),
            "pairs": [list(pair) for pair in self.pairs],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> FittedAdditive:
        """What :meth:`to_json` wrote."""
        labels = tree["labels"]
        adds = np.array(tree["adds"], dtype=np.float64).reshape(-1, len(labels))
        base = np.array(tree["base"], dtype=np.float64)
        pairs = [(int(first), int(second)) for first, second in tree["pairs"]]
        return cls(labels, Features.from_json(tree["features"]), base, adds, pairs)


def _line(says: str, row: Float[np.ndarray, " labels"]) -> str:
    return f"{says}: " + ", ".join(f"{value:+.2f}" for value in row)
