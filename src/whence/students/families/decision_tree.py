"""A small tree of questions whose leaves answer with probabilities."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

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
from whence.students.families.views import NodeView, TreeView
from whence.students.features.vectorizer import Features
from whence.students.fitting.sparse import dense, size
from whence.students.fitting.splits import Sums, floor_of, gains, sums_of
from whence.students.formats.onnx_graph import Graph
from whence.students.formats.sql_query import SqlQuery

__all__ = ["DecisionTree", "FittedDecisionTree", "Node"]


@dataclass(slots=True, eq=False)
class Node:
    """A question, or a leaf where ``column`` is ``None``.

    Attributes:
        chances: mean of the teacher's probabilities here.
        texts: weight of the texts it was learnt from.
        column: column of the feature asked for.
        absent: node where the text lacks it.
        there: node where it has it.
    """

    chances: Float[np.ndarray, " labels"]
    texts: float
    column: int | None = None
    absent: int = -1
    there: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionTree(Student):
    """Questions "does the text have ...?", the most telling first, up to some leaves.

    The leaf whose split takes most off the squared error to the teacher's probabilities is split
    next. On sparse words most branches are long chains of "no"; a rule list says the same with
    less. Greedy: two features that only tell together (an exclusive or) are missed.

    Args:
        leaves: most leaves.
        least_texts: texts a leaf must hold.
        least_gain: share of the whole squared error that a split must take off.
    """

    size_field = "leaves"
    aliases = ("tree",)
    default_sizes = (16,)
    rank = 4

    leaves: int = 16
    least_texts: int = 10
    least_gain: float = 1e-4

    def check(self, labels: Sequence[str]) -> None:
        """Refuse settings that cannot be fitted; see :meth:`Student.check`."""
        if self.leaves < 1 or self.least_texts < 1 or self.least_gain < 0:
            raise OptionError(
                f"leaves={self.leaves}, least_texts={self.least_texts}, "
                f"least_gain={self.least_gain}: out of range"
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
        """Learn, best split first; sums are taken over the smaller child alone."""
        self.check(labels)
        share = training_weights(table, targets, features, labels, weights)
        rows = np.arange(size(table)[0])
        columns = sparse.csc_array(table)
        sums = sums_of(table, targets, share, rows)
        floor = floor_of(sums, targets, share, self.least_gain)
        nodes = [Node(sums.total / sums.weight, sums.weight)]
        queue: list[tuple[float, int, int, np.ndarray, Sums]] = []

        def offer(node: int, rows: np.ndarray, sums: Sums) -> None:
            result = gains(sums, float(self.least_texts))
            best = int(result.argmax()) if len(result) else -1
            if best >= 0 and result[best] > floor:
                # The number of the node stands before the arrays and is never twice the same: of
                # equal gains the older node is taken, and no arrays are compared, which would
                # raise.
                heapq.heappush(queue, (-float(result[best]), node, best, rows, sums))

        offer(0, rows, sums)
        leaves = 1
        while queue and leaves < self.leaves:
            _, node, column, rows, sums = heapq.heappop(queue)
            has = columns.indices[columns.indptr[column] : columns.indptr[column + 1]]
            inside = np.isin(rows, has, assume_unique=True)
            there, absent = rows[inside], rows[~inside]
            # The larger child is the parent less the smaller: on sparse words the "no" holds nearly
            # all texts. What the subtraction loses to rounding, floor_of keeps from being a gain.
            small = sums_of(table, targets, share, min(there, absent, key=len))
            large = sums.less(small)
            pair = (small, large) if len(there) <= len(absent) else (large, small)
            nodes[node].column = column
            # Children stand after their parent. The stored form relies on it: so every way down
            # ends.
            nodes[node].there, nodes[node].absent = len(nodes), len(nodes) + 1
            for members, child in zip((there, absent), pair, strict=True):
                nodes.append(Node(child.total / child.weight, child.weight))
                offer(len(nodes) - 1, members, child)
            leaves += 1
        used = np.unique([node.column for node in nodes if node.column is not None])
        # Of a tree without a question the list is empty, of which NumPy makes floats, no indices.
        used = used.astype(np.int64)
        place = {column: new for new, column in enumerate(used.tolist())}
        for node in nodes:
            if node.column is not None:
                node.column = place[node.column]
        return FittedDecisionTree(labels, feature_subset(features, used), nodes)


class FittedDecisionTree(Fitted):
    """Nodes, the first of which is the root."""

    def __init__(self, labels: Sequence[str], features: Features, nodes: Sequence[Node]) -> None:
        super().__init__(labels, features)
        self.nodes = tuple(nodes)

    def reached(self, table: sparse.csr_array) -> list[Int[np.ndarray, " _"]]:
        """The texts that come to each node."""
        answers = dense(table) > 0
        result: list[Int[np.ndarray, " _"]] = [np.arange(size(table)[0])] * len(self.nodes)
        queue = [(0, result[0])]
        while queue:
            index, rows = queue.pop()
            node, result[index] = self.nodes[index], rows
            if node.column is not None:
                has = answers[rows, node.column]
                queue += [(node.there, rows[has]), (node.absent, rows[~has])]
        return result

    def counted(self, table: sparse.csr_array) -> FittedDecisionTree:
        """The same tree, with the number of texts that come to each node."""
        nodes = [
            replace(node, texts=float(len(rows)))
            for node, rows in zip(self.nodes, self.reached(table), strict=True)
        ]
        return FittedDecisionTree(self.labels, self.features, nodes)

    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """The leaf of each text."""
        result = np.empty((size(table)[0], len(self.labels)))
        for node, rows in zip(self.nodes, self.reached(table), strict=True):
            if node.column is None:
                result[rows] = node.chances
        return result

    @property
    def reading_cost(self) -> ReadingCost:
        """The questions, and the probabilities of the leaves (all labels but one)."""
        columns = [node.column for node in self.nodes if node.column is not None]
        leaves = len(self.nodes) - len(columns)
        words = sum(self.features.cost([column]) for column in columns)
        return ReadingCost(words, leaves * (len(self.labels) - 1))

    def explain(self, text: str) -> Reasons:
        """The questions on the way to the leaf, each with what its answer changed."""
        spans = self.features.spans(text)
        node = self.nodes[0]
        evidence: list[Evidence] = []
        while node.column is not None:
            column, before = node.column, node.chances
            places = tuple(spans.get(column, ()))
            node = self.nodes[node.there if places else node.absent]
            says = self.features.describe(column, there=bool(places))
            # The differences telescope: the root and all of them add up to the leaf.
            evidence.append(Evidence(says, places, node.chances - before))
        return self._reasons(text, self.nodes[0].chances, evidence, "probability")

    def to_text(self) -> str:
        """Indented questions and answers."""
        lines: list[str] = []

        def write(index: int, depth: int, lead: str) -> None:
            node = self.nodes[index]
            pad = "  " * depth
            if node.column is None:
                top = int(node.chances.argmax())
                chance = f"{self.labels[top]} ({node.chances[top]:.2f}, {node.texts:.0f} texts)"
                lines.append(f"{pad}{lead}{chance}")
                return
            lines.append(f"{pad}{lead}{self.features.describe(node.column)}?")
            write(node.there, depth + 1, "yes: ")
            write(node.absent, depth + 1, "no: ")

        write(0, 0, "")
        return "\n".join(lines)

    def view(self) -> TreeView:
        """The nodes with their questions in words."""
        return TreeView(
            tuple(
                NodeView(
                    None if n.column is None else self.features.describe(n.column),
                    n.chances, n.texts, n.there, n.absent,
                )
                for n in self.nodes
            )
        )  # fmt: skip

    def to_sql(self, query: SqlQuery) -> str:
        """The tree."""
        return query.tree(self.nodes, [node.chances for node in self.nodes])

    def to_onnx(self, graph: Graph, presence: str) -> str:
        """The path to a leaf that holds; one always does."""
        leaves = graph.leaves(self.nodes)
        answers = np.stack([self.nodes[leaf].chances for leaf, _ in leaves])
        return graph.first_that_holds(presence, [path for _, path in leaves], answers)

    def to_json(self) -> dict[str, Any]:
        """Features and nodes."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "features": self.features.to_json(),
            "nodes": [
                [n.chances.tolist(), n.texts, n.column, n.absent, n.there] for n in self.nodes
            ],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> FittedDecisionTree:
        """What :meth:`to_json` wrote."""
        nodes = [Node(np.array(entry[0]), *entry[1:]) for entry in tree["nodes"]]
        return cls(tree["labels"], Features.from_json(tree["features"]), nodes)
