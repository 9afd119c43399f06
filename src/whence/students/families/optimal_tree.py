"""The best small tree there is, not the one that greed finds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from whence.core.errors import OptionError
from whence.students.families.base import Student, feature_subset, training_weights
from whence.students.families.decision_tree import FittedDecisionTree, Node
from whence.students.families.sparse_linear import chosen_columns
from whence.students.features.vectorizer import Features
from whence.students.fitting.sparse import dense, size
from whence.students.fitting.splits import floor_of, sums_of

__all__ = ["OptimalTree"]

# For two labels the sums of all triples of 60 features take 5 MB and those of quadruples 310 MB,
# which is why a tree of depth 4 is searched one root at a time; those of five take 19 GB.
DEEPEST, WIDEST = 4, 60
"""Beyond these the search takes minutes and gigabytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimalTree(Student):
    """The tree of at most ``depth`` questions in a row with the least squared error of all.

    Minimises, exactly and over all trees on the columns it is given, the weighted squared error to
    the teacher's probabilities (all labels) plus ``least_gain`` of the whole squared error for
    every question asked. Unlike a greedy tree it sees features that only tell together, such as an
    exclusive or. It searches over sums of all pairs, triples and (one root at a time) quadruples of
    features, from which every leaf's sums follow by subtraction, so the cost of the search grows
    with ``columns ** depth`` and hardly with the number of texts.

    Only ``columns`` features are looked at: all, where there are no more; else those of the path
    of the lasso, filled up with those that split the texts most evenly. A feature that tells
    nothing by itself can be lost in that choice. On n-grams an optimal tree is still a small tree:
    sparse linear students agree far better with most teachers.

    Demirovic et al. (2022), MurTree, jmlr.org/papers/v23/20-520.html, for subtrees of two
    questions from the sums of pairs; van der Linden et al. (2023), arXiv:2305.19706, for the
    additive objectives to which it applies.

    Args:
        depth: questions in a row at most, 1 to 4.
        columns: features looked at, at most 60.
        least_texts: texts a leaf must hold.
        least_gain: share of the whole squared error that each question must be worth.

    Example:
        >>> from whence.students.features.vectorizer import ReadableFeatures
        >>> texts = ["late", "owed", "late owed", "paid"] * 10
        >>> features = ReadableFeatures(longest=1).learn(texts)
        >>> one = [("late" in t) != ("owed" in t) for t in texts]
        >>> targets = np.array([[1.0 - o, float(o)] for o in one])
        >>> tree = OptimalTree(depth=2).fit(
        ...     features.table(texts), targets, features=features, labels=("both or none", "one"))
        >>> print(tree.to_text())
        'late'?
          yes: 'owed'?
            yes: both or none (1.00, 10 texts)
            no: one (1.00, 10 texts)
          no: 'owed'?
            yes: one (1.00, 10 texts)
            no: both or none (1.00, 10 texts)
    """

    size_field = "depth"

    depth: int = 3
    columns: int = 60
    least_texts: int = 10
    least_gain: float = 1e-4

    def check(self, labels: Sequence[str]) -> None:
        """Refuse settings that cannot be fitted; see :meth:`Student.check`."""
        if not 1 <= self.depth <= DEEPEST or not 1 <= self.columns <= WIDEST:
            raise OptionError(
                f"expected depth 1 to {DEEPEST} and columns 1 to {WIDEST}, got depth={self.depth}, "
                f"columns={self.columns}. A greedy DecisionTree has no such limits."
            )
        if self.least_texts < 1 or self.least_gain < 0:
            raise OptionError(
                f"least_texts={self.least_texts}, least_gain={self.least_gain}: "
                "at least 1 text, and a share of 0 or more"
            )

    def fit(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
    ) -> FittedDecisionTree:
        """Search; of equally good roots the first column is taken."""
        self.check(labels)
        share = training_weights(table, targets, features, labels, weights)
        chosen = _columns(table, targets, share, self.columns)
        whole = sums_of(table, targets, share, np.arange(len(share)))
        search = _Search(
            has=dense(sparse.csr_array(table[:, chosen])) > 0,
            parts=np.column_stack([share, share[:, None] * targets]),
            least=float(self.least_texts),
            # What rounding gains is never worth a question.
            cost=floor_of(whole, targets, share, self.least_gain),
        )
        nodes: list[Node] = []
        search.grow(nodes, np.arange(len(share)), self.depth)
        used = np.unique([node.column for node in nodes if node.column is not None])
        used = used.astype(np.int64)
        place = {column: new for new, column in enumerate(used.tolist())}
        for node in nodes:
            if node.column is not None:
                node.column = place[node.column]
        return FittedDecisionTree(labels, feature_subset(features, chosen[used]), nodes)


def _columns(
    table: sparse.csr_array, targets: np.ndarray, share: np.ndarray, most: int
) -> Int[np.ndarray, " columns"]:
    rows, count = size(table)
    if count <= most:
        return np.arange(count)
    result = chosen_columns(table, targets, share, most=most)
    rate = np.asarray(table.T @ share) / rows
    spread = rate * (1 - rate)
    # Below every variance, so that what the path chose does not fill the room a second time.
    spread[result] = -1.0
    filling = np.argsort(-spread, kind="stable")[: most - len(result)]
    return np.sort(np.concatenate([result, filling])).astype(np.int64)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Search:
    """All trees over the columns of ``has``.

    A group of texts is a list of its sums: of all its texts, of those with feature ``a``, with
    ``a`` and ``b``, ...; the first axis holds the weight and the weighted targets.
    """

    has: np.ndarray
    parts: np.ndarray
    least: float
    cost: float

    def grow(self, nodes: list[Node], rows: np.ndarray, depth: int) -> int:
        """Append the best tree of some texts; its root's place."""
        total = self.parts[rows].sum(axis=0)
        node, place = Node(total[1:] / total[0], float(total[0])), len(nodes)
        nodes.append(node)
        if depth == 0 or self.has.shape[1] == 0:
            return place
        result = self.at_root(rows, depth)
        column = int(result.argmax())
        # The price of the question is already off the result, so a tie goes to the leaf.
        if result[column] > _leaf(total):
            inside = self.has[rows, column]
            node.column = column
            node.there = self.grow(nodes, rows[inside], depth - 1)
            node.absent = self.grow(nodes, rows[~inside], depth - 1)
        return place

    def at_root(self, rows: np.ndarray, depth: int) -> Float[np.ndarray, " columns"]:
        """What the best tree with each column at its root takes off the squared error."""
        if depth < DEEPEST:
            return self.scores(self.sums(rows, depth))
        whole = self.sums(rows, DEEPEST - 1)
        inside = (self.sums(rows[has], DEEPEST - 1) for has in self.has[rows].T)
        return np.array([self.rooted(whole, part) for part in inside])

    def rooted(self, whole: Sequence[np.ndarray], inside: Sequence[np.ndarray]) -> float:
        """The same, of one group and the part of it that has the feature at the root."""
        # Texts without the root's feature are never summed: they are all less those with it.
        outside = [a - b for a, b in zip(whole, inside, strict=False)]
        if min(inside[0][0], outside[0][0]) < self.least:
            return -np.inf
        return float(self.best(inside) + self.best(outside)) - self.cost

    def sums(self, rows: np.ndarray, order: int) -> list[np.ndarray]:
        """The sums of a group, up to those of ``order`` features together."""
        has, parts = self.has[rows].astype(np.float64), self.parts[rows]
        count, outputs = has.shape[1], parts.shape[1]
        result = [parts.sum(axis=0), parts.T @ has]
        if order >= 2:
            result.append(_pairs(has, parts))
        if order >= 3:
            triples = np.zeros((outputs, count, count, count))
            for column in range(count):
                inside = self.has[rows, column]
                # Only the texts that have the first feature: the sums of triples are those of pairs
                # in them.
                triples[:, column] = _pairs(has[inside], parts[inside])
            result.append(triples)
        return result[: order + 1]

    def scores(self, group: Sequence[np.ndarray]) -> np.ndarray:
        """For groups and a feature asked first: what the best tree takes off the squared error."""
        if len(group) > 3:
            # One root at a time: pairs of features fit into the processor's cache, triples do not.
            roots = range(self.has.shape[1])
            return np.array([self.rooted(group, [sums[:, a] for sums in group[1:]]) for a in roots])
        # The first axis behind those of the group is the root a. One order up, S(a, b) is the sum
        # over texts with a and b; so S(b) - S(a, b), with a new axis for a, is that over texts with
        # b and without a.
        axis = group[0].ndim
        inside = group[1:]
        outside = [
            np.expand_dims(sums, axis) - with_it for sums, with_it in itertools.pairwise(group)
        ]
        result = self.best(inside) + self.best(outside) - self.cost
        return np.where(np.minimum(inside[0][0], outside[0][0]) >= self.least, result, -np.inf)

    def best(self, group: Sequence[np.ndarray]) -> np.ndarray:
        """For groups: what the best tree takes off the squared error; a leaf is a tree."""
        leaf = _leaf(group[0])
        if len(group) == 1:
            return leaf
        return np.asarray(np.maximum(leaf, self.scores(group).max(axis=-1)))


def _pairs(has: np.ndarray, parts: np.ndarray) -> np.ndarray:
    return np.stack([(has * part[:, None]).T @ has for part in parts.T])


def _leaf(sums: np.ndarray) -> np.ndarray:
    """``|sum|^2 / weight``, as in :mod:`whence.students.fitting.splits`, of groups on other axes."""
    # Label by label: the squares of all at once would be a second table of the largest size.
    squares = sums[1] * sums[1]
    for total in sums[2:]:
        squares += total * total
    # A group without texts has sums of 0 and takes nothing off.
    return np.asarray(squares / np.maximum(sums[0], 1e-12))
