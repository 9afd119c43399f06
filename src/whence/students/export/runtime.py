"""A student that runs with NumPy alone, one text at a time.

Nothing here imports SciPy, pydantic or a model library, so that it starts fast and fits beside
whatever calls it; jaxtyping, whose import takes as long as NumPy's, is left out too, so shapes are
said in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whence.students.export.model_file import read_tree, refuse
from whence.students.features.word_features import WordFeatures

__all__ = ["SCORERS", "Decision", "Runtime"]

Score = Callable[[Sequence[int]], np.ndarray]
"""Probabilities of all labels from the columns of the features a text has, ascending."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decision:
    """What a student decided of one text.

    Attributes:
        label: the most probable; the first of equals.
        probabilities: of all labels, in their order; one row, of 64-bit numbers.
        found: the student's features that the text has, as a reader sees them.
    """

    label: str
    probabilities: np.ndarray
    found: tuple[str, ...]


class Runtime:
    """A stored student that decides as it did when it was fitted.

    The label is the same, and so are the probabilities, up to 1e-12. Cost: finding the words of
    the text, and one addition or question for each feature found; no model is called.

    Args:
        tree: what ``to_json`` of a student gives.

    Raises:
        RecordError: no valid student, or of a kind that has no runtime.

    Example:
        >>> rules = {"kind": "rules", "labels": ["accept", "reject"],
        ...          "features": {"longest": 1, "negation": False, "position": False,
        ...                       "lexicons": {}, "features": [["ngram", "late", 1]]},
        ...          "rules": [[[[0, True]], [0.1, 0.9], 12.0], [[], [0.8, 0.2], 40.0]]}
        >>> decision = Runtime(rules).decide("Paid LATE.")
        >>> decision.label, decision.probabilities.tolist(), decision.found
        ('reject', [0.1, 0.9], ("'late'",))
    """

    def __init__(self, tree: Mapping[str, Any]) -> None:
        kind = tree.get("kind")
        if not isinstance(kind, str) or kind not in SCORERS:
            refuse(f"a student of kind {kind!r} has no runtime; these have: {', '.join(SCORERS)}")
        self.kind = kind
        try:
            self.labels = tuple(str(label) for label in tree["labels"])
            self.features = WordFeatures.from_json(tree["features"])
            self._score = SCORERS[kind](tree, self.features, len(self.labels))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            from whence.core.errors import RecordError

            if isinstance(error, RecordError):
                raise
            raise RecordError(
                f"no valid student of kind {kind!r}: {type(error).__name__} {error}"
            ) from error

    @classmethod
    def load(cls, folder: str | Path) -> Runtime:
        """The student in a folder that :func:`whence.students.export.store.save_student` wrote.

        Raises:
            RecordError: missing, damaged, or not valid.
            NewerVersionError: written by a newer whence.
        """
        return cls(read_tree(folder))

    def decide(self, text: str) -> Decision:
        """The student's label and probabilities of one text."""
        columns = self.features.of(text)
        chances = self._score(columns)
        found = tuple(self.features.describe(column) for column in columns)
        return Decision(
            label=self.labels[int(chances.argmax())], probabilities=chances, found=found
        )

    def __repr__(self) -> str:
        return f"Runtime({self.kind!r}, {len(self.features)} features)"


def _array(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.array(values, dtype=np.float64)
    if array.size == 0 and 0 in shape:
        return np.zeros(shape)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"finite numbers of shape {shape} are due; shape {array.shape} found")
    return array


def _column(value: Any, features: WordFeatures) -> int:
    if type(value) is not int or not 0 <= value < len(features):
        raise ValueError(f"there is no feature {value!r}")
    return value


def _added(rows: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """Rows added one after the other, as the sparse product does: then ties stay ties."""
    return np.add.accumulate(rows[chosen])[-1] if chosen else np.zeros(rows.shape[1])


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max())
    return shifted / shifted.sum()


def _linear(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    weights = _array(tree["weights"], (len(features), labels))
    intercept = _array(tree["intercept"], (labels,))

    return lambda columns: _softmax(_added(weights, columns) + intercept)


def _additive(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    pairs = [(_column(a, features), _column(b, features)) for a, b in tree["pairs"]]
    adds = _array(tree["adds"], (len(features) + len(pairs), labels))
    base = _array(tree["base"], (labels,))

    def score(columns: Sequence[int]) -> np.ndarray:
        has = set(columns)
        both = [j for j, (a, b) in enumerate(pairs, len(features)) if a in has and b in has]
        return _softmax(_added(adds, [*columns, *both]) + base)

    return score


def _scorecard(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    if labels != 2:
        raise ValueError(f"a scorecard is for two labels, not {labels}")
    points = _array(tree["points"], (len(features),)).astype(np.int64).tolist()
    sums = _array(tree["sums"], (len(tree["chances"]),))
    chances = _array(tree["chances"], (len(sums),))
    if not len(sums) or (np.diff(sums) <= 0).any():
        raise ValueError("a table of rising sums is due")

    def score(columns: Sequence[int]) -> np.ndarray:
        total = sum(points[column] for column in columns)
        entry = int(np.searchsorted(sums, total, side="right")) - 1
        second = chances[max(entry, 0)]
        return np.array([1 - second, second])

    return score


def _rules(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    rules = [
        ([(_column(c, features), bool(there)) for c, there in literals], _array(chances, (labels,)))
        for literals, chances, _ in tree["rules"]
    ]
    if not rules:
        raise ValueError("a rule list holds one rule at least")
    *conditional, (_, otherwise) = rules

    def score(columns: Sequence[int]) -> np.ndarray:
        has = set(columns)
        for literals, chances in conditional:
            if all((column in has) == there for column, there in literals):
                return chances.copy()
        return otherwise.copy()

    return score


Question = tuple[np.ndarray, int | None, int, int]
"""What a node gives; the feature it asks for, ``None`` at a leaf; its children without and with."""


def _questions(nodes: Any, features: WordFeatures, labels: int) -> list[Question]:
    found: list[Question] = []
    for place, (gives, _, column, absent, there) in enumerate(nodes):
        if column is not None:
            _column(column, features)
            # Children stand after their parent, so that every way down ends.
            if not all(place < child < len(nodes) for child in (absent, there)):
                raise ValueError(f"node {place} has no children {absent!r} and {there!r}")
        found.append((_array(gives, (labels,)), column, absent, there))
    if not found:
        raise ValueError("a tree holds one node at least")
    return found


def _leaf(nodes: list[Question], has: set[int]) -> np.ndarray:
    gives, column, absent, there = nodes[0]
    while column is not None:
        gives, column, absent, there = nodes[there if column in has else absent]
    return gives


def _tree(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    nodes = _questions(tree["nodes"], features, labels)
    return lambda columns: _leaf(nodes, set(columns)).copy()


def _tree_sum(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    base = _array(tree["base"], (labels,))
    trees = [_questions(nodes, features, labels) for nodes in tree["trees"]]
    ranks = np.arange(1, labels + 1)

    def score(columns: Sequence[int]) -> np.ndarray:
        has = set(columns)
        sums = base.copy()
        for nodes in trees:
            sums += _leaf(nodes, has)
        # The nearest probabilities, as in tree_sum.onto_simplex, which needs SciPy.
        ordered = -np.sort(-sums)
        over = (np.cumsum(ordered) - 1.0) / ranks
        return np.maximum(sums - over[int((ordered > over).sum()) - 1], 0.0)

    return score


def _prototypes(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    rarity = _array(tree["rarity"], (len(features),))
    base = _array(tree["base"], (labels,))
    answers = [_array(chances, (labels,)) for _, chances, _ in tree["cases"]]
    # What each case gets of each feature; rounded as when the student was fitted, so that cases
    # that were equally near still are.
    pulls = np.zeros((len(features), len(answers)))
    for place, (text, _, _) in enumerate(tree["cases"]):
        columns = features.of(text)
        own = rarity[columns]
        length = np.sqrt(np.bincount(np.zeros(len(own), dtype=np.int64), own * own, 1))
        pulls[columns, place] = (own / length).astype(np.float32) * own

    def score(columns: Sequence[int]) -> np.ndarray:
        if not columns or not answers:
            return base.copy()
        near = _added(pulls, columns)
        nearest = int(near.argmax())
        return (answers[nearest] if near[nearest] > 0 else base).copy()

    return score


SCORERS: dict[str, Callable[[Mapping[str, Any], WordFeatures, int], Score]] = {
    "additive": _additive,
    "linear": _linear,
    "prototypes": _prototypes,
    "rules": _rules,
    "scorecard": _scorecard,
    "tree": _tree,
    "tree-sum": _tree_sum,
}
"""How each kind of student decides; a new kind is one function and one line."""
