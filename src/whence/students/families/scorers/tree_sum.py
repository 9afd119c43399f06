"""How a sum of trees decides, with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whence.students.families.scorers.common import Score, leaf, numbers, questions
from whence.students.features.word_features import WordFeatures

__all__ = ["scorer"]


def scorer(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    """The function from the columns a text has to the probabilities of all labels.

    Args:
        tree: stored form of the student.
        features: features of the student.
        labels: number of labels.
    """
    base = numbers(tree["base"], (labels,))
    trees = [questions(nodes, features, labels) for nodes in tree["trees"]]
    ranks = np.arange(1, labels + 1)

    def score(columns: Sequence[int]) -> np.ndarray:
        has = set(columns)
        # A copy: the trees are added in place, and the base is that of all texts.
        sums = base.copy()
        for nodes in trees:
            sums += leaf(nodes, has)
        # The nearest probabilities, as in tree_sum.onto_simplex, which needs SciPy.
        ordered = -np.sort(-sums)
        over = (np.cumsum(ordered) - 1.0) / ranks
        return np.maximum(sums - over[int((ordered > over).sum()) - 1], 0.0)

    return score
