"""A sum of a few small trees once it is fitted: what it adds up, says and stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from whence.students.families.base import Evidence, Fitted, ReadingCost, Reasons
from whence.students.features.vectorizer import Features
from whence.students.fitting.sparse import dense

__all__ = ["Branch", "FittedTreeSum", "onto_simplex"]


@dataclass(slots=True, eq=False)
class Branch:
    """A question of one of the trees, or a leaf where ``column`` is ``None``.

    Attributes:
        adds: to the sum, on average over the texts here; 0 at every root.
        texts: weight of the texts it was learnt from.
        column: the feature asked for.
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
    ordered = -np.sort(-sums, axis=1)
    over = (np.cumsum(ordered, axis=1) - 1.0) / np.arange(1, sums.shape[1] + 1)
    kept = (ordered > over).sum(axis=1)
    return np.maximum(sums - over[np.arange(len(sums)), kept - 1, None], 0.0)


class FittedTreeSum(Fitted):
    """Trees with what each leaf adds, and the base that all texts begin with."""

    kind = "tree-sum"

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
        found = np.tile(self.base, (len(has), 1))
        for branches in self.trees:
            found += np.stack([branch.adds for branch in branches])[_leaf_of(branches, has)]
        return found

    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """The probabilities nearest to the sums."""
        return onto_simplex(self.sums(table))

    @property
    def reading_cost(self) -> ReadingCost:
        """The questions; the base and what each leaf adds (all labels but one)."""
        branches = [branch for tree in self.trees for branch in tree]
        asked = [branch.column for branch in branches if branch.column is not None]
        leaves = len(branches) - len(asked)
        words = sum(self.features.cost([column]) for column in asked)
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
                says = ("" if places else "no ") + self.features.describe(column)
                evidence.append(Evidence(says, places, branch.adds - before))
        sums = self.sums(self.features.table([text]))
        cut = (onto_simplex(sums) - sums)[0]
        if np.abs(cut).max() > 1e-12:
            evidence.append(Evidence("the sum brought back between 0 and 1", (), cut))
        return self._reasons(text, self.base, evidence, "probability")

    def to_text(self) -> str:
        """The base, then each tree as indented questions with what every leaf adds."""
        lines = ["always: " + self._said(self.base, "")]

        def write(branches: Sequence[Branch], place: int, depth: int, lead: str) -> None:
            branch = branches[place]
            pad = "  " * depth + lead
            if branch.column is None:
                lines.append(f"{pad}{self._said(branch.adds, '+')} ({branch.texts:.0f} texts)")
                return
            lines.append(f"{pad}{self.features.describe(branch.column)}?")
            write(branches, branch.there, depth + 1, "yes: ")
            write(branches, branch.absent, depth + 1, "no: ")

        for branches in self.trees:
            write(branches, 0, 0, "")
        return "\n".join(lines)

    def _said(self, values: np.ndarray, sign: str) -> str:
        """Of two labels the second speaks for both."""
        first = 1 if len(self.labels) == 2 else 0
        named = zip(self.labels[first:], values[first:], strict=True)
        return ", ".join(f"{label} {value:{sign}.2f}" for label, value in named)

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
    found: Int[np.ndarray, " texts"] = np.zeros(len(has), dtype=np.int64)
    for place, branch in enumerate(branches):
        if branch.column is not None:
            here = found == place
            answer = has[:, branch.column]
            found[here & answer], found[here & ~answer] = branch.there, branch.absent
    return found
