"""How a list of prototypes decides, with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whence.students.families.scorers.common import Score, numbers, row_sum
from whence.students.features.word_features import WordFeatures

__all__ = ["scorer"]


def scorer(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    """The function from the columns a text has to the probabilities of all labels.

    Args:
        tree: stored form of the student.
        features: features of the student.
        labels: number of labels.
    """
    rarity = numbers(tree["rarity"], (len(features),))
    base = numbers(tree["base"], (labels,))
    answers = [numbers(chances, (labels,)) for _, chances, _ in tree["cases"]]
    # What each case gets of each feature; rounded as when the student was fitted, so that cases
    # that were equally near still are.
    pulls = np.zeros((len(features), len(answers)))
    for place, (text, _, _) in enumerate(tree["cases"]):
        columns = features.of(text)
        weights = rarity[columns]
        # bincount adds one after the other, as in the fit; NumPy's sum adds in pairs and rounds
        # otherwise.
        length = np.sqrt(np.bincount(np.zeros(len(weights), dtype=np.int64), weights * weights, 1))
        pulls[columns, place] = (weights / length).astype(np.float32) * weights

    def score(columns: Sequence[int]) -> np.ndarray:
        if not columns or not answers:
            return base.copy()
        near = row_sum(pulls, columns)
        nearest = int(near.argmax())
        return (answers[nearest] if near[nearest] > 0 else base).copy()

    return score
