"""How a family without a scorer of its own decides: as the fitted student, which needs SciPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from whence.students.families.registry import fitted_class
from whence.students.families.scorers.common import Score
from whence.students.features.word_features import WordFeatures

__all__ = ["scorer"]


def scorer(tree: Mapping[str, Any], features: WordFeatures, labels: int) -> Score:
    """The function from the columns a text has to the probabilities of all labels.

    Args:
        tree: stored form of the student.
        features: features of the student.
        labels: number of labels.

    Raises:
        ValueError: the student answers for another number of labels.
    """
    student = fitted_class(tree["kind"]).from_json(tree)
    width = len(features)
    if len(student.labels) != labels:
        raise ValueError(f"expected {labels} labels, got {len(student.labels)}")

    def score(columns: Sequence[int]) -> np.ndarray:
        ends = np.array([0, len(columns)], dtype=np.int32)
        places = np.array(columns, dtype=np.int32)
        # Columns come ascending and once each, which is the canonical form that SciPy assumes.
        row = sparse.csr_array((np.ones(len(columns)), places, ends), shape=(1, width))
        return student.probabilities(row)[0]

    return score
