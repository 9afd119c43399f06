"""How an additive student decides, with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whence.students.families.scorers.common import Score, column_of, numbers, row_sum, softmax
from whence.students.features.word_features import WordFeatures

__all__ = ["scorer"]


def scorer(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    """The function from the columns a text has to the probabilities of all labels.

    Args:
        tree: stored form of the student.
        features: features of the student.
        labels: number of labels.
    """
    pairs = [(column_of(a, features), column_of(b, features)) for a, b in tree["pairs"]]
    adds = numbers(tree["adds"], (len(features) + len(pairs), labels))
    base = numbers(tree["base"], (labels,))

    def score(columns: Sequence[int]) -> np.ndarray:
        has = set(columns)
        # Pairs stand behind the features, as in the table of the fitted student, so that the sums
        # are taken in one order and round alike.
        both = [j for j, (a, b) in enumerate(pairs, len(features)) if a in has and b in has]
        return softmax(row_sum(adds, [*columns, *both]) + base)

    return score
