"""How much a binary feature splits the teacher's probabilities, for all features at once."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

__all__ = ["Sums", "floor_of", "gains", "purity", "sums_of"]

PAIRWISE = 8
"""Numbers from which NumPy does not sum from left to right."""


class Sums(NamedTuple):
    """Weight and weighted targets: of some rows, and of those among them with each feature."""

    weight: float
    total: Float[np.ndarray, " labels"]
    with_weight: Float[np.ndarray, " features"]
    with_total: Float[np.ndarray, "features labels"]

    def less(self, other: Sums) -> Sums:
        """The sums of the rows that are not the other's."""
        return Sums(
            self.weight - other.weight,
            self.total - other.total,
            self.with_weight - other.with_weight,
            self.with_total - other.with_total,
        )


def sums_of(
    table: sparse.csr_array,
    targets: Float[np.ndarray, "texts labels"],
    weights: Float[np.ndarray, " texts"],
    rows: Int[np.ndarray, " rows"],
) -> Sums:
    """The sums of some rows; the cost is their non-zero entries."""
    whole = cast("Any", table)
    columns = np.column_stack([weights[rows], weights[rows, None] * targets[rows]])
    # By their places in the table's arrays: a sparse array of the rows takes longer to make than to
    # sum. Each feature's numbers are added in the order of the rows, as in a product.
    starts, ends = whole.indptr[rows], whole.indptr[rows + 1]
    counts = ends - starts
    places = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    features, numbers = whole.indices[places], whole.data[places]
    owner = np.repeat(np.arange(len(rows)), counts)
    with_feature = np.stack(
        [
            np.bincount(features, numbers * column[owner], minlength=whole.shape[1])
            for column in columns.T
        ]
    )
    total = columns.sum(axis=0)
    return Sums(float(total[0]), total[1:], with_feature[0], with_feature[1:].T)


def purity(
    weight: Float[np.ndarray, " groups"], total: Float[np.ndarray, "groups labels"]
) -> Float[np.ndarray, " groups"]:
    """``|sum|^2 / weight``: what a group that answers its mean takes off the squared error."""
    # sum w |t - mean|^2 = sum w |t|^2 - |S|^2 / w, and the first term is the same however texts are
    # split: it need not be computed. A group without texts has S = 0 and takes nothing off.
    labels = total.shape[1]
    if labels >= PAIRWISE:
        return (total * total).sum(axis=1) / np.maximum(weight, 1e-12)
    # Label by label: a sum along an axis of two numbers costs ten times as much, to the same last bit.
    squares = total[:, 0] * total[:, 0]
    for label in range(1, labels):
        squares += total[:, label] * total[:, label]
    return squares / np.maximum(weight, 1e-12)


def gains(sums: Sums, least: float) -> Float[np.ndarray, " features"]:
    """Fall of the squared error (weighted, summed over labels) by splitting at each feature.

    Minus infinity where a side would weigh less than ``least``. With ``S``, ``w`` of a side:
    ``|S1|^2/w1 + |S0|^2/w0 - |S|^2/w``. Breiman et al. (1984), Classification and Regression Trees.
    """
    present, absent = sums.with_weight, sums.weight - sums.with_weight
    whole = float(purity(np.array([sums.weight]), sums.total[None])[0])
    # The texts without a feature are those of the group less those with it: absent features are
    # never written out.
    result = purity(present, sums.with_total) + purity(absent, sums.total - sums.with_total) - whole
    result[(present < least) | (absent < least)] = -np.inf
    return result


def floor_of(
    sums: Sums,
    targets: Float[np.ndarray, "texts labels"],
    weights: Float[np.ndarray, " texts"],
    least: float,
) -> float:
    """The gain that a split must exceed: a share ``least`` of the whole squared error.

    Args:
        sums: sums of all texts.
        targets: probabilities of the teacher.
        weights: weights of the texts.
        least: share of the error; rounding errors, some 1e-9 of the weight, are exceeded in any
            case.
    """
    # All of the squared error: here the term counts that cancels between two splits.
    spread = float((weights[:, None] * targets * targets).sum())
    spread -= float((sums.total**2).sum()) / sums.weight
    return max(least * spread, 1e-9 * sums.weight)
