"""Controls: what the agreement of a student is worth is seen beside theirs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from whence.core.errors import InputError
from whence.students.families.base import Fitted, ReadingCost, Reasons
from whence.students.families.sparse_linear import FittedSparseLinear, SparseLinear
from whence.students.features.vectorizer import Features, ReadableFeatures
from whence.students.fitting.logistic import Linear, all_logits, ridge, softmax

__all__ = ["OpaqueCeiling", "gold_only", "majority", "opaque_ceiling", "permuted_teacher"]

# Chosen by hand; not calibrated. Two n-grams in one column only lower the ceiling.
BUCKETS = 1 << 16
"""Columns that character n-grams are hashed to."""


def majority(
    targets: Float[np.ndarray, "texts labels"], labels: Sequence[str]
) -> FittedSparseLinear:
    """The same answer to every text: how often the teacher decides for each label.

    Decisions and not probabilities are counted: a label that is always near certain can have the
    greatest mean and still be the rarer decision.
    """
    counts = np.bincount(targets.argmax(axis=1), minlength=len(labels))
    # A label that is never decided for would have minus infinity, which softmax takes and a stored
    # number does not.
    mean = np.log(np.maximum(counts / len(targets), 1e-12))
    # A Linear holds one output for two labels: the log-odds of the second.
    intercept = mean[1:] - mean[:1] if len(labels) == 2 else mean
    empty = Linear(np.zeros(0, dtype=np.int64), np.zeros((0, len(intercept))), intercept)
    return FittedSparseLinear(labels, Features(ReadableFeatures(), ()), empty)


def gold_only(
    table: sparse.csr_array,
    gold: Int[np.ndarray, " texts"],
    *,
    features: Features,
    labels: Sequence[str],
) -> FittedSparseLinear:
    """A linear student of the true labels, which never saw the teacher.

    What it agrees with the teacher on is the task, not the teacher.
    Tan et al. (2018), arXiv:1710.06169.

    Raises:
        InputError: a true label that is none of the teacher's.
    """
    if len(gold) == 0 or gold.min() < 0 or gold.max() >= len(labels):
        raise InputError(f"gold labels must be indices of the {len(labels)} labels")
    targets = np.eye(len(labels))[gold]
    # All features: a control that is held short would be too easy to beat.
    student = SparseLinear(features=None, strength=1.0)
    return student.fit(table, targets, features=features, labels=labels)


def permuted_teacher(
    table: sparse.csr_array,
    targets: Float[np.ndarray, "texts labels"],
    *,
    features: Features,
    labels: Sequence[str],
    seed: int = 0,
) -> FittedSparseLinear:
    """A linear student of answers dealt out to the wrong texts.

    It must agree no more than chance; where it does, the texts of the test leaked into training.
    """
    # Whole rows change places: how often each label comes stays, and only what ties an answer to
    # its text is gone.
    order = np.random.default_rng(seed).permutation(len(targets))
    student = SparseLinear(features=None, strength=1.0)
    return student.fit(table, targets[order], features=features, labels=labels)


def hashed(texts: Sequence[str]) -> sparse.csr_array:
    """Characters three to five in a row, hashed; rows of length 1."""
    columns: list[np.ndarray] = []
    for text in texts:
        # The spaces around it make the beginning and the end of a word n-grams of their own.
        padded = f" {' '.join(text.casefold().split())} "
        pieces = {
            padded[at : at + size] for size in (3, 4, 5) for at in range(len(padded) - size + 1)
        }
        # Not hash(): Python salts that of strings anew in each process. Half a surrogate pair is
        # hashed too: a control must not fail on a text that the students take.
        buckets = {zlib.crc32(piece.encode("utf-8", "surrogatepass")) % BUCKETS for piece in pieces}
        columns.append(np.fromiter(sorted(buckets), dtype=np.int32, count=len(buckets)))
    counts = np.array([len(row) for row in columns], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    # n entries of 1 / sqrt(n) have length 1; a text of no n-gram has no entry to divide.
    values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    indices = np.concatenate(columns) if columns else np.zeros(0, dtype=np.int32)
    return sparse.csr_array((values, indices, starts), shape=(len(texts), BUCKETS))


class OpaqueCeiling(Fitted):
    """Weights of hashed characters: nobody can read them, and that is the point."""

    kind = "opaque"
    readable = False

    def __init__(self, labels: Sequence[str], linear: Linear) -> None:
        super().__init__(labels, Features(ReadableFeatures(), ()))
        self._weights = linear.weights
        self._intercept = linear.intercept

    def predict_proba(
        self, texts: Sequence[str], read_to: Sequence[int] | None = None
    ) -> Float[np.ndarray, "texts labels"]:
        """Probabilities of all labels."""
        read = texts if read_to is None else [t[:n] for t, n in zip(texts, read_to, strict=True)]
        return self.probabilities(hashed(read))

    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """Softmax of the sums, of hashed characters."""
        return softmax(all_logits(table @ self._weights + self._intercept))

    @property
    def reading_cost(self) -> ReadingCost:
        """Every weight that is not 0."""
        return ReadingCost(0, int((self._weights != 0).sum()))

    def explain(self, text: str) -> Reasons:
        """Refused: it cannot be read.

        Raises:
            InputError: always.
        """
        raise InputError("the opaque ceiling is a control and gives no reasons")

    def to_json(self) -> dict[str, Any]:
        """Its size alone: a control is not shipped."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "numbers": self.reading_cost.numbers,
        }

    def to_text(self) -> str:
        """Its size alone."""
        return f"{self.reading_cost.numbers:,} weights of hashed characters"


def opaque_ceiling(
    texts: Sequence[str],
    targets: Float[np.ndarray, "texts labels"],
    *,
    labels: Sequence[str],
    read_to: Sequence[int] | None = None,
    strength: float = 0.1,
) -> OpaqueCeiling:
    """What a student of the same answers reaches when nobody has to read it.

    Logistic regression on hashed character n-grams. The gap from here to a readable student is
    the price of transparency; where there is none, more questions would help and opacity not.
    It is one unreadable student of many, so a lower bound of what opacity could buy.
    """
    read = texts if read_to is None else [t[:n] for t, n in zip(texts, read_to, strict=True)]
    table = hashed(read)
    # A column that no text has keeps the weight 0, so it need not be asked for.
    columns, places = np.unique(table.indices, return_inverse=True)
    part = sparse.csr_array((table.data, places, table.indptr), shape=(len(read), len(columns)))
    # Rows of length 1 hold entries far below the ones of readable features, so a ridge of 1 text
    # would shrink them far more. The 0.1 and the 50 rounds are chosen by hand; not calibrated.
    result = ridge(part, targets, np.ones(len(texts)), strength=strength, rounds=50)
    weights = np.zeros((BUCKETS, result.weights.shape[1]))
    weights[columns] = result.weights
    return OpaqueCeiling(labels, Linear(np.arange(BUCKETS), weights, result.intercept))
