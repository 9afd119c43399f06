"""How a decision tree decides, with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whence.students.families.scorers.common import Score, leaf, questions
from whence.students.features.word_features import WordFeatures

__all__ = ["scorer"]


def scorer(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    """The function from the columns a text has to the probabilities of all labels.

    Args:
        tree: stored form of the student.
        features: features of the student.
        labels: number of labels.
    """
    nodes = questions(tree["nodes"], features, labels)
    return lambda columns: leaf(nodes, set(columns)).copy()
