"""Checks and sums that the scorers share; NumPy and the standard library alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from whence.students.features.word_features import WordFeatures

__all__ = [
    "Question",
    "Score",
    "Scorer",
    "column_of",
    "leaf",
    "numbers",
    "questions",
    "row_sum",
    "softmax",
]

Score = Callable[[Sequence[int]], np.ndarray]
"""Probabilities of all labels from the columns of the features a text has, ascending."""

Scorer = Callable[[Mapping[str, Any], WordFeatures, int], Score]
"""From the stored form, the features and the number of labels to what decides; each file has one."""

Question = tuple[np.ndarray, int | None, int, int]
"""What a node gives; the feature it asks for, ``None`` at a leaf; its children without and with."""


def numbers(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Stored numbers as an array of a shape.

    Raises:
        ValueError: another shape, or a number that is not finite.
    """
    array = np.array(values, dtype=np.float64)
    # JSON writes a table of no rows as [], which has lost the number of its columns.
    if array.size == 0 and 0 in shape:
        return np.zeros(shape)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers of shape {shape}, got shape {array.shape}")
    return array


def column_of(value: Any, features: WordFeatures) -> int:
    """A stored column, checked.

    Raises:
        ValueError: no such column.
    """
    # Not isinstance: a stored true would pass for column 1.
    if type(value) is not int or not 0 <= value < len(features):
        raise ValueError(f"there is no feature {value!r}")
    return value


def row_sum(rows: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """Rows added one after the other, as the sparse product does: then ties stay ties."""
    return np.add.accumulate(rows[chosen])[-1] if chosen else np.zeros(rows.shape[1])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of the logits of one text."""
    # Less the greatest, no power overflows; SciPy, which the fitted student asks, does the same.
    shifted = np.exp(logits - logits.max())
    return shifted / shifted.sum()


def questions(nodes: Any, features: WordFeatures, labels: int) -> list[Question]:
    """The stored nodes of a tree, checked.

    Raises:
        ValueError: no node, or children that do not stand after their parent.
    """
    result: list[Question] = []
    for place, (gives, _, column, absent, there) in enumerate(nodes):
        if column is not None:
            column_of(column, features)
            # Children stand after their parent, so that every way down ends.
            if not all(place < child < len(nodes) for child in (absent, there)):
                raise ValueError(f"node {place} has no children {absent!r} and {there!r}")
        result.append((numbers(gives, (labels,)), column, absent, there))
    if not result:
        raise ValueError("a tree holds one node at least")
    return result


def leaf(nodes: list[Question], has: set[int]) -> np.ndarray:
    """What the leaf gives that a text with these columns comes to."""
    gives, column, absent, there = nodes[0]
    while column is not None:
        gives, column, absent, there = nodes[there if column in has else absent]
    return gives
