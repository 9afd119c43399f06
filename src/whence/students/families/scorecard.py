"""Whole points added up and looked up in a table: what a clerk can do on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from whence.core.errors import CapabilityError, OptionError
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
from whence.students.families.views import PointsView
from whence.students.features.vectorizer import Features
from whence.students.fitting.logistic import ridge
from whence.students.fitting.sparse import size
from whence.students.formats.onnx_graph import Graph
from whence.students.formats.sql_query import SqlQuery

__all__ = ["FittedScorecard", "Scorecard", "isotonic"]

# Chosen by hand; not calibrated.
SCALES = 25
"""Multipliers tried when weights are rounded to points."""

# Chosen by hand; it keeps an entry that few texts reached from saying 0 or 1.
SMOOTH = 0.5
"""Texts of the mean answer that each entry of the table is drawn towards."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scorecard(Student):
    """Points from ``-most`` to ``most`` for some features; their sum gives the probability.

    Features come from the path of the elastic net; their weights are scaled, rounded and then
    changed by one point at a time as long as the cross-entropy of the best rising table falls.
    The table is fitted by isotonic regression. For two labels; points speak for the second.
    After FasterRisk, Liu et al. (2022), arXiv:2210.05846, without its beam.

    Args:
        features: most features with points.
        most: points a feature may have, either way.
    """

    size_field = "features"
    default_sizes = (15,)
    rank = 2

    features: int = 15
    most: int = 5

    def check(self, labels: Sequence[str]) -> None:
        """Refuse settings that cannot be fitted; see :meth:`Student.check`."""
        if len(labels) != 2:
            raise CapabilityError(
                f"a scorecard adds up to one sum, for two labels; {len(labels)} given. Sparse "
                "linear students, rules and trees take more."
            )
        if self.features < 1 or self.most < 1:
            raise OptionError(f"features={self.features}, most={self.most}: at least 1 each")

    def fit(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
    ) -> FittedScorecard:
        """Learn.

        Raises:
            CapabilityError: more than two labels.
        """
        self.check(labels)
        share = training_weights(table, targets, features, labels, weights)
        columns = chosen_columns(table, targets, share, most=self.features)
        part = sparse.csc_array(table[:, columns])
        slopes = ridge(sparse.csr_array(part), targets, share, strength=1.0).weights[:, 0]
        search = _Search(part, targets[:, 1], share, size(table)[0])
        best = np.zeros(len(columns), dtype=np.int64)
        loss = search.loss(best)
        top = float(np.abs(slopes).max()) if len(slopes) else 0.0
        # The greatest weight becomes 1 to most points; up to .49 more it still rounds to most,
        # while the smaller ones round otherwise.
        for scale in np.linspace(1.0, self.most + 0.49, SCALES) if top > 0 else ():
            points = np.clip(np.rint(slopes * scale / top), -self.most, self.most).astype(np.int64)
            result = search.loss(points)
            # Scales that round to the same points differ by rounding alone: the first stays.
            if result < loss - 1e-12:
                best, loss = points, result
        best = search.improve(best, loss, self.most)
        nonzero = np.flatnonzero(best)
        sums, chances = search.table(best)
        return FittedScorecard(
            labels, feature_subset(features, columns[nonzero]), best[nonzero], sums, chances
        )


class _Search:
    """The loss of points: cross-entropy of the best rising table over their sums."""

    def __init__(self, part: sparse.csc_array, aims: np.ndarray, share: np.ndarray, n: int) -> None:
        self._part, self._aims, self._share, self._n = part, aims, share, n
        self._mean = float((share * aims).sum() / share.sum())

    def loss(self, points: np.ndarray) -> float:
        weight, hits = self._counted(np.asarray(self._part @ points, dtype=np.int64))[1:]
        return self._entropy(weight, hits)

    def _counted(self, sums: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        # bincount takes no numbers below 0, and sums of points may be.
        low = int(sums.min())
        weight = np.bincount(sums - low, weights=self._share)
        return low, weight, np.bincount(sums - low, weights=self._share * self._aims)

    def _entropy(self, weight: np.ndarray, hits: np.ndarray) -> float:
        there = weight > 0
        p = self._chances(weight[there], hits[there])
        hit, w = hits[there], weight[there]
        return -float((hit * np.log(p) + (w - hit) * np.log(1 - p)).sum()) / self._n

    def _chances(self, weight: np.ndarray, hits: np.ndarray) -> np.ndarray:
        shrunk = isotonic((hits + SMOOTH * self._mean) / (weight + SMOOTH), weight + SMOOTH)
        # A teacher that always answers alike has a mean of 0 or 1, whose logarithm is none.
        return np.clip(shrunk, 1e-6, 1 - 1e-6)

    def improve(self, points: np.ndarray, loss: float, most: int) -> np.ndarray:
        """Points changed by one while that helps, one feature after the other."""
        points = points.copy()
        changed = True
        while changed:
            changed = False
            for j in range(len(points)):
                for change in (-1, 1):
                    candidate = points.copy()
                    candidate[j] += change
                    if abs(int(candidate[j])) > most:
                        continue
                    result = self.loss(candidate)
                    # A change must be worth more than rounding, or two that undo each other never
                    # end.
                    if result < loss - 1e-9:
                        points, loss, changed = candidate, result, True
        return points

    def table(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums that were seen, ascending, and the probability of each."""
        low, weight, hits = self._counted(np.asarray(self._part @ points, dtype=np.int64))
        there = weight > 0
        return np.flatnonzero(there) + low, self._chances(weight[there], hits[there])


def isotonic(
    values: Float[np.ndarray, " entries"], weights: Float[np.ndarray, " entries"]
) -> Float[np.ndarray, " entries"]:
    """The rising sequence nearest to some values in weighted squares, by pooling neighbours.

    Barlow et al. (1972), Statistical Inference under Order Restrictions.

    Example:
        >>> isotonic(np.array([1.0, 3.0, 2.0]), np.ones(3)).tolist()
        [1.0, 2.5, 2.5]
    """
    # Not SciPy's isotonic_regression: it differs in the last bit, and a stored table may not change
    # (decision 11). Equal neighbours are pooled too, so an entry is one step of the table.
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, count = value, weight, 1
        while blocks and blocks[-1][0] >= mean:
            before, mass, many = blocks.pop()
            mean = (before * mass + mean * total) / (mass + total)
            total, count = total + mass, count + many
        blocks.append((mean, total, count))
    return np.repeat([mean for mean, _, _ in blocks], [count for _, _, count in blocks])


class FittedScorecard(Fitted):
    """Points of the features and the table from sums to the probability of the second label.

    A sum that was not seen takes the entry of the greatest sum below it, or of the smallest.
    """

    def __init__(
        self,
        labels: Sequence[str],
        features: Features,
        points: Int[np.ndarray, " features"],
        sums: Int[np.ndarray, " entries"],
        chances: Float[np.ndarray, " entries"],
    ) -> None:
        super().__init__(labels, features)
        self.points = points
        self.sums = sums
        self.chances = chances

    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """The table's entry for the sum of points."""
        total = np.asarray(table @ self.points.astype(np.float64))
        entry = np.searchsorted(self.sums, total, side="right") - 1
        second = self.chances[np.maximum(entry, 0)]
        return np.stack([1 - second, second], axis=1)

    @property
    def reading_cost(self) -> ReadingCost:
        """Features with their points; the table's steps, two numbers each."""
        steps = len(self.steps())
        words = self.features.cost(range(len(self.features)))
        return ReadingCost(words, len(self.points) + 2 * steps)

    def steps(self) -> list[tuple[int, float]]:
        """Where the probability changes: from which sum on, and to what."""
        # Isotonic entries never fall, so whatever does not rise repeats the one before.
        new = np.concatenate([[True], np.diff(self.chances) > 0])
        return list(zip(self.sums[new].tolist(), self.chances[new].tolist(), strict=True))

    def explain(self, text: str) -> Reasons:
        """The points of the features the text has, for the second label and against the first."""
        evidence = [
            Evidence(
                self.features.describe(j),
                tuple(places),
                np.array([-float(self.points[j]), float(self.points[j])]),
            )
            for j, places in self.features.spans(text).items()
        ]
        return self._reasons(text, np.zeros(2), evidence, "point")

    def to_text(self) -> str:
        """The points, then the table."""
        order = np.argsort(-np.abs(self.points), kind="stable").tolist()
        lines = [f"{int(self.points[j]):+d} {self.features.describe(j)}" for j in order]
        lines.append(f"sum: probability of {self.labels[1]}")
        steps = self.steps()
        if len(steps) > 1:
            lines.append(f"below {steps[1][0]}: {steps[0][1]:.2f}")
        lines += [f"{start} or more: {chance:.2f}" for start, chance in steps[1:]]
        if len(steps) == 1:
            lines.append(f"any: {steps[0][1]:.2f}")
        return "\n".join(lines)

    def view(self) -> PointsView:
        """The points, the highest first, and the table."""
        order = np.argsort(-self.points, kind="stable").tolist()
        points = [(self.features.describe(j), int(self.points[j])) for j in order]
        return PointsView(tuple(points), tuple(self.steps()))

    def weights_by_feature(self) -> Float[np.ndarray, "features labels"]:
        """The points: for the second label, and as many against the first."""
        points = self.points.astype(np.float64)
        return np.stack([-points, points], axis=1)

    def to_sql(self, query: SqlQuery) -> str:
        """Points looked up in a table."""
        return query.points(self.points.tolist(), self.sums.tolist(), self.chances.tolist())

    def to_onnx(self, graph: Graph, presence: str) -> str:
        """Points looked up in a table."""
        points = np.zeros((graph.width, 1))
        points[: len(self.points), 0] = self.points
        total = graph.add("MatMul", presence, graph.constant(points))
        # A sum below the smallest takes its entry too, so that one is not counted.
        steps = graph.constant(self.sums[1:].astype(np.float64))
        table = graph.constant(np.stack([1 - self.chances, self.chances], axis=1))
        if len(self.sums) == 1:
            entry = graph.constant(np.array(0, dtype=np.int64))
        else:
            passed = graph.add("GreaterOrEqual", total, steps)
            entry = graph.add("ReduceSum", graph.whole(passed), keepdims=0)
        return graph.add("Gather", table, entry)

    def to_json(self) -> dict[str, Any]:
        """Features, points and the table."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "features": self.features.to_json(),
            "points": self.points.tolist(),
            "sums": self.sums.tolist(),
            "chances": self.chances.tolist(),
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> FittedScorecard:
        """What :meth:`to_json` wrote."""
        return cls(
            tree["labels"],
            Features.from_json(tree["features"]),
            np.array(tree["points"], dtype=np.int64),
            np.array(tree["sums"], dtype=np.int64),
            np.array(tree["chances"], dtype=np.float64),
        )
