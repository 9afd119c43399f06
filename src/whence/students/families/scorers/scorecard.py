"""How a scorecard decides, with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whence.students.families.scorers.common import Score, numbers
from whence.students.features.word_features import WordFeatures

__all__ = ["scorer"]


def scorer(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    """The function from the columns a text has to the probabilities of all labels.

    Args:
        tree: stored form of the student.
        features: features of the student.
        labels: number of labels.
    """
    if labels != 2:
        raise ValueError(f"a scorecard is for two labels, not {labels}")
    points = numbers(tree["points"], (len(features),)).astype(np.int64).tolist()
    sums = numbers(tree["sums"], (len(tree["chances"]),))
    chances = numbers(tree["chances"], (len(sums),))
    # searchsorted finds no entry, and says nothing, where sums do not rise.
    if not len(sums) or (np.diff(sums) <= 0).any():
        raise ValueError("expected a table of rising sums")

    def score(columns: Sequence[int]) -> np.ndarray:
        total = sum(points[column] for column in columns)
        # The greatest sum at most as large; below all of them the first, as the fitted student
        # does.
        entry = int(np.searchsorted(sums, total, side="right")) - 1
        second = chances[max(entry, 0)]
        return np.array([1 - second, second])

    return score
