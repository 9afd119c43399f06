"""How a rule list decides, with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whence.students.families.scorers.common import Score, column_of, numbers
from whence.students.features.word_features import WordFeatures

__all__ = ["scorer"]


def scorer(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    """The function from the columns a text has to the probabilities of all labels.

    Args:
        tree: stored form of the student.
        features: features of the student.
        labels: number of labels.
    """
    rules = [
        (
            [(column_of(c, features), bool(there)) for c, there in literals],
            numbers(chances, (labels,)),
        )
        for literals, chances, _ in tree["rules"]
    ]
    if not rules:
        raise ValueError("a rule list holds one rule at least")
    *conditional, (_, otherwise) = rules

    def score(columns: Sequence[int]) -> np.ndarray:
        has = set(columns)
        for literals, chances in conditional:
            if all((column in has) == there for column, there in literals):
                # Whoever changes an answer must not change the student.
                return chances.copy()
        return otherwise.copy()

    return score
