"""A sum of a few small trees: what one tree would have to repeat in every branch is said once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
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
from whence.students.families.views import NodeView, TreesView
from whence.students.features.vectorizer import Features
from whence.students.fitting.sparse import dense, size
from whence.students.fitting.splits import Sums, floor_of, gains, sums_of
from whence.students.formats.onnx_graph import Graph

__all__ = ["Branch", "FittedTreeSum", "TreeSum", "onto_simplex"]


@dataclass(slots=True, eq=False)
class Branch:
    """A question of one of the trees, or a leaf where ``column`` is ``None``.

    Attributes:
        adds: amount added to the sum, on average over the texts here; 0 at every root.
        texts: weight of the texts it was learnt from.
        column: column of the feature asked for.
        absent: branch where the text lacks it.
        there: branch where it has it.
    """

    adds: Float[np.ndarray, " labels"]
    texts: float
    column: int | None = None
    absent: int = -1
    there: int = -1


def onto_simplex(sums: Float[np.ndarray, "texts labels"]) -> Float[np.ndarray, "texts labels"]:
    """The nearest probabilities, in squared distance: ``max(s - c, 0)`` with ``c`` for each row.

    One constant is taken off all labels of a text, so their order stays; of two labels whose sums
    add up to 1, each is cut at 0 and 1. Duchi et al. (2008), doi:10.1145/1390156.1390191.

    Example:
        >>> onto_simplex(np.array([[1.25, -0.25], [0.5, 0.5]])).tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    # If the k greatest are the ones left above 0, the constant is (their sum - 1) / k. The k-th
    # exceeds that for every k up to the true number and for none beyond (figure 1 of the paper), so
    # a count gives the number.
    ordered = -np.sort(-sums, axis=1)
    over = (np.cumsum(ordered, axis=1) - 1.0) / np.arange(1, sums.shape[1] + 1)
    count = (ordered > over).sum(axis=1)
    return np.maximum(sums - over[np.arange(len(sums)), count - 1, None], 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeSum(Student):
    """Trees whose leaves add up to the probabilities, with so many questions in all.

    Each step splits the leaf of any tree, or begins a new tree, whichever takes most off the
    squared error to the teacher's probabilities. Then the values of all leaves are fitted again
    together, by least squares, so what is left has mean 0 in every leaf and the gain of a split
    has the closed form of :func:`whence.students.fitting.splits.gains`: one sparse product gives those
    of all columns at a leaf, and nothing is fitted for a candidate. Cost of a step: one product
    with the whole table, and one with the rows of every leaf but the largest of its tree.

    The sum is of probabilities, which adds up to 1 over labels but can leave 0 to 1; it is then
    brought to the nearest probabilities (:func:`onto_simplex`), which changes no decision.
    Greedy like a tree: two features that only tell together (an exclusive or) are missed. Where
    every tree has one question the student is a linear model of probabilities.
    Tan et al. (2022), Fast Interpretable Greedy-Tree Sums, arXiv:2201.11931; there each leaf is
    fitted with the other trees held fast.

    Args:
        splits: questions of all trees together, at most.
        least_texts: texts a leaf must hold.
        least_gain: share of the whole squared error that a split must take off.

    Example:
        >>> from whence.students.features.vectorizer import ReadableFeatures
        >>> texts = ["late", "owed", "late owed", "paid"] * 5
        >>> features = ReadableFeatures(longest=1).learn(texts)
        >>> chance = [0.5 + 0.3 * ("late" in t) - 0.2 * ("owed" in t) for t in texts]
        >>> targets = np.array([[1 - p, p] for p in chance])
        >>> student = TreeSum(splits=2).fit(
        ...     features.table(texts), targets, features=features, labels=("pay", "refuse"))
        >>> print(student.to_text())
        always: refuse 0.55
        'late'?
          yes: refuse +0.15 (10 texts)
          no: refuse -0.15 (10 texts)
        'owed'?
          yes: refuse -0.10 (10 texts)
          no: refuse +0.10 (10 texts)
    """

    size_field = "splits"
    aliases = ("treesum",)
    default_sizes = (12,)
    rank = 5

    splits: int = 12
    least_texts: int = 10
    least_gain: float = 1e-4

    def check(self, labels: Sequence[str]) -> None:
        """Refuse settings that cannot be fitted; see :meth:`Student.check`."""
        if self.splits < 1 or self.least_texts < 1 or self.least_gain < 0:
            raise OptionError(
                f"splits={self.splits}, least_texts={self.least_texts}, "
                f"least_gain={self.least_gain}: splits and least_texts must be 1 or more, "
                "least_gain 0 or more"
            )

    def fit(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
    ) -> FittedTreeSum:
        """Learn, the most telling question first."""
        self.check(labels)
        share = training_weights(table, targets, features, labels, weights)
        return _Growing(table, targets, share).grow(self, features, labels)


class _Growing:
    """Trees as they grow; ``positions[t]`` says at which branch of tree ``t`` each text is."""

    def __init__(self, table: sparse.csr_array, targets: np.ndarray, share: np.ndarray) -> None:
        self.table, self.targets, self.share = table, targets, share
        self.columns = sparse.csc_array(table)
        self.base = (share[:, None] * targets).sum(axis=0) / share.sum()
        self.trees: list[list[Branch]] = []
        self.positions: list[np.ndarray] = []
        self.residual = targets - self.base

    def grow(self, student: TreeSum, features: Features, labels: Sequence[str]) -> FittedTreeSum:
        everyone = np.arange(size(self.table)[0])
        whole = sums_of(self.table, self.targets, self.share, everyone)
        floor = floor_of(whole, self.targets, self.share, student.least_gain)
        for _ in range(student.splits):
            best, tree, branch, column = floor, -1, 0, -1
            for index, place, sums in self._leaves(everyone):
                result = gains(sums, float(student.least_texts))
                top = int(result.argmax()) if len(result) else -1
                if top >= 0 and result[top] > best:
                    best, tree, branch, column = float(result[top]), index, place, top
            if column < 0:
                break
            self._split(tree, branch, column)
            self._fit_again()
        return self._compact(features, labels)

    def _leaves(self, everyone: np.ndarray) -> list[tuple[int, int, Sums]]:
        """Sums of what is left at the root of a new tree and at every leaf of the others."""
        whole = sums_of(self.table, self.residual, self.share, everyone)
        result = [(len(self.trees), 0, whole)]
        for tree, (branches, at) in enumerate(zip(self.trees, self.positions, strict=True)):
            # The largest leaf, which on sparse words is the "no" of all questions, is never summed:
            # it is all texts less those of the other leaves.
            counts = np.bincount(at, minlength=len(branches))
            largest, rest = int(counts.argmax()), whole
            for place, branch in enumerate(branches):
                if branch.column is None and place != largest:
                    rows = np.flatnonzero(at == place)
                    sums = sums_of(self.table, self.residual, self.share, rows)
                    result.append((tree, place, sums))
                    rest = rest.less(sums)
            result.append((tree, largest, rest))
        return result

    def _split(self, tree: int, place: int, column: int) -> None:
        nothing = np.zeros_like(self.base)
        if tree == len(self.trees):
            self.trees.append([Branch(nothing, float(self.share.sum()))])
            self.positions.append(np.zeros(len(self.share), dtype=np.int64))
        branches, at = self.trees[tree], self.positions[tree]
        has = self.columns.indices[self.columns.indptr[column] : self.columns.indptr[column + 1]]
        here = at == place
        there = np.zeros(len(at), dtype=np.bool_)
        there[has] = True
        branch = branches[place]
        branch.column, branch.there, branch.absent = column, len(branches), len(branches) + 1
        for rows in (here & there, here & ~there):
            at[rows] = len(branches)
            branches.append(Branch(nothing, float(self.share[rows].sum())))

    def _fit_again(self) -> None:
        """Least squares over the leaves of all trees; each tree's mean goes to the base."""
        starts = np.cumsum([0, *(len(branches) for branches in self.trees)])
        pairs = zip(self.positions, starts, strict=False)
        places = np.stack([at + start for at, start in pairs], axis=1)
        rows, trees = places.shape
        shape = (rows, int(starts[-1]))
        indptr = np.arange(0, rows * trees + 1, trees)
        inside = sparse.csr_array((np.ones(places.size), places.ravel(), indptr), shape=shape)
        across = sparse.csr_array(inside.T)
        gram = dense(sparse.csr_array(across @ sparse.csr_array(inside * self.share[:, None])))
        base = (self.share[:, None] * self.targets).sum(axis=0) / self.share.sum()
        aims = np.asarray(across @ (self.share[:, None] * (self.targets - base)))
        # The indicators of each tree add up to 1, so only the shortest solution is unique.
        # A branch that was split holds no text: its column is 0, and so is its value until the mean
        # of its children is written over it below.
        # Directions that rounding alone keeps from being null have some 1e-16 of the greatest
        # singular value; 1e-10 is chosen by hand, far above these.
        values = np.linalg.lstsq(gram, aims, rcond=1e-10)[0]
        self.base = base
        for start, branches in zip(starts, self.trees, strict=False):
            # Backwards: children stand after their parent, whose mean is made of theirs.
            for place in range(len(branches) - 1, -1, -1):
                branch = branches[place]
                branch.adds = values[start + place]
                if branch.column is not None:
                    pair = branches[branch.there], branches[branch.absent]
                    whole = pair[0].texts * pair[0].adds + pair[1].texts * pair[1].adds
                    branch.adds = whole / branch.texts
            # With every root at 0 the base is the mean answer, and what a question changed is read
            # as a difference from it.
            mean = branches[0].adds
            self.base = self.base + mean
            for branch in branches:
                branch.adds = branch.adds - mean
        self.residual = self.targets - self.base
        for branches, at in zip(self.trees, self.positions, strict=True):
            self.residual = self.residual - np.stack([branch.adds for branch in branches])[at]

    def _compact(self, features: Features, labels: Sequence[str]) -> FittedTreeSum:
        branches = [branch for tree in self.trees for branch in tree]
        columns = np.unique([b.column for b in branches if b.column is not None]).astype(np.int64)
        place = {column: new for new, column in enumerate(columns.tolist())}
        for branch in branches:
            if branch.column is not None:
                branch.column = place[branch.column]
        return FittedTreeSum(labels, feature_subset(features, columns), self.base, self.trees)


class FittedTreeSum(Fitted):
    """Trees with what each leaf adds, and the base that all texts begin with."""

    def __init__(
        self,
        labels: Sequence[str],
        features: Features,
        base: Float[np.ndarray, " labels"],
        trees: Sequence[Sequence[Branch]],
    ) -> None:
        super().__init__(labels, features)
        self.base = base
        self.trees = tuple(tuple(branches) for branches in trees)

    def sums(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """The base and the leaves added up, before they are brought to probabilities."""
        has = dense(table) > 0
        result = np.tile(self.base, (len(has), 1))
        for branches in self.trees:
            result += np.stack([branch.adds for branch in branches])[_leaf_of(branches, has)]
        return result

    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """The probabilities nearest to the sums."""
        return onto_simplex(self.sums(table))

    @property
    def reading_cost(self) -> ReadingCost:
        """The questions; the base and what each leaf adds (all labels but one)."""
        branches = [branch for tree in self.trees for branch in tree]
        columns = [branch.column for branch in branches if branch.column is not None]
        leaves = len(branches) - len(columns)
        words = sum(self.features.cost([column]) for column in columns)
        return ReadingCost(words, (leaves + 1) * (len(self.labels) - 1))

    def explain(self, text: str) -> Reasons:
        """The questions on the way through every tree, each with what its answer changed.

        Where the sum leaves 0 to 1, a last piece without characters says what was taken off it
        to bring it back, so that base and shares add up to the probabilities.
        """
        spans = self.features.spans(text)
        evidence: list[Evidence] = []
        for branches in self.trees:
            branch = branches[0]
            while branch.column is not None:
                column, before = branch.column, branch.adds
                places = tuple(spans.get(column, ()))
                branch = branches[branch.there if places else branch.absent]
                says = self.features.describe(column, there=bool(places))
                evidence.append(Evidence(says, places, branch.adds - before))
        sums = self.sums(self.features.table([text]))
        cut = (onto_simplex(sums) - sums)[0]
        # Below that it is the rounding of the sum and no cut.
        if np.abs(cut).max() > 1e-12:
            evidence.append(Evidence("the sum brought back between 0 and 1", (), cut))
        return self._reasons(text, self.base, evidence, "probability")

    def to_text(self) -> str:
        """The base, then each tree as indented questions with what every leaf adds."""
        lines = ["always: " + self._in_words(self.base, "")]

        def write(branches: Sequence[Branch], place: int, depth: int, lead: str) -> None:
            branch = branches[place]
            pad = "  " * depth + lead
            if branch.column is None:
                lines.append(f"{pad}{self._in_words(branch.adds, '+')} ({branch.texts:.0f} texts)")
                return
            lines.append(f"{pad}{self.features.describe(branch.column)}?")
            write(branches, branch.there, depth + 1, "yes: ")
            write(branches, branch.absent, depth + 1, "no: ")

        for branches in self.trees:
            write(branches, 0, 0, "")
        return "\n".join(lines)

    def _in_words(self, values: np.ndarray, sign: str) -> str:
        """Of two labels the second speaks for both."""
        first = 1 if len(self.labels) == 2 else 0
        pairs = zip(self.labels[first:], values[first:], strict=True)
        return ", ".join(f"{label} {value:{sign}.2f}" for label, value in pairs)

    def view(self) -> TreesView:
        """The trees with their questions in words."""
        return TreesView(
            self.base,
            tuple(
                tuple(
                    NodeView(
                        None if b.column is None else self.features.describe(b.column),
                        b.adds, b.texts, b.there, b.absent,
                    )
                    for b in branches
                )
                for branches in self.trees
            ),
        )  # fmt: skip

    def to_onnx(self, graph: Graph, presence: str) -> str:
        """The leaves that are reached, added up and brought to the nearest probabilities."""
        leaves = [(nodes[leaf], path) for nodes in self.trees for leaf, path in graph.leaves(nodes)]
        sums = graph.constant(self.base)
        if leaves:
            holds = graph.double(graph.holds(presence, [path for _, path in leaves]))
            adds = graph.constant(np.stack([branch.adds for branch, _ in leaves]))
            sums = graph.add("Add", graph.add("MatMul", holds, adds), sums)
        return graph.onto_simplex(sums, len(self.labels))

    def to_json(self) -> dict[str, Any]:
        """Features, base and trees."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "features": self.features.to_json(),
            "base": self.base.tolist(),
            "trees": [
                [[b.adds.tolist(), b.texts, b.column, b.absent, b.there] for b in branches]
                for branches in self.trees
            ],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> FittedTreeSum:
        """What :meth:`to_json` wrote."""
        trees = [[Branch(np.array(b[0]), *b[1:]) for b in branches] for branches in tree["trees"]]
        return cls(
            tree["labels"], Features.from_json(tree["features"]), np.array(tree["base"]), trees
        )


def _leaf_of(branches: Sequence[Branch], has: Bool[np.ndarray, "texts columns"]) -> np.ndarray:
    """At which leaf each text ends."""
    result: Int[np.ndarray, " texts"] = np.zeros(len(has), dtype=np.int64)
    for place, branch in enumerate(branches):
        if branch.column is not None:
            here = result == place
            answer = has[:, branch.column]
            result[here & answer], result[here & ~answer] = branch.there, branch.absent
    return result
