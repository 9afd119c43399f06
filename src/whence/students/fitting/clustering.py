"""Clusters of sparse rows by k-means on a truncated SVD, and columns that stand together."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import svds

from whence.core.errors import OptionError
from whence.students.fitting.sparse import dense, size

__all__ = ["alike", "kmeans", "rarity_weighted", "reduced"]

ROUNDS = 100
"""Assignments of k-means at most; it ends earlier where none changes. Chosen by hand."""

# Chosen by hand; not calibrated.
BLOCK = 256
"""Columns compared with others at a time, which keeps to the memory that :func:`alike` names."""


def rarity_weighted(table: sparse.csr_array) -> sparse.csr_array:
    """Each column times the logarithm of how rare it is, then rows of length 1.

    A column that every row has weighs nothing; a row without any weight stays 0.
    Spärck Jones (1972), doi:10.1108/eb026526.

    Example:
        >>> rows = sparse.csr_array(np.array([[1.0, 1.0], [1.0, 0.0]]))
        >>> rarity_weighted(rows).toarray().tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    n, width = size(table)
    holding = np.bincount(table.indices, minlength=width)
    rarity = np.log(n / np.maximum(holding, 1))
    data = table.data * rarity[table.indices]
    rows = np.repeat(np.arange(n), np.diff(table.indptr))
    length = np.sqrt(np.bincount(rows, weights=data * data, minlength=n))
    # A row of nothing but columns that all have has entries and length 0.
    scaled = data / np.where(length > 0, length, 1.0)[rows]
    return sparse.csr_array((scaled, table.indices, table.indptr), shape=(n, width))


def reduced(
    table: sparse.csr_array, dimensions: int, *, seed: int = 0
) -> Float[np.ndarray, "rows dimensions"]:
    """Rows in the coordinates of the largest singular values, times these.

    Distances between rows are kept as well as so many numbers can keep them; the signs of the
    coordinates mean nothing. Small tables keep all their columns.
    Deerwester et al. (1990), doi:10.1002/(SICI)1097-4571(199009)41:6<391::AID-ASI1>3.0.CO;2-9.
    """
    if dimensions < 1:
        raise OptionError(f"expected dimensions of 1 or more, got {dimensions}")
    # ARPACK finds fewer singular values than the smaller side has.
    if min(size(table)) <= dimensions + 1:
        return dense(table)
    # A table of zeros is an error of ARPACK: its first step ends in a vector of zeros.
    if not np.any(table.data):
        return np.zeros((size(table)[0], dimensions))
    # The start is drawn here: ARPACK would take it from the global random state.
    start = np.random.default_rng(seed).normal(size=min(size(table)))
    left, values, _ = cast("Any", svds(table, k=dimensions, v0=start))
    # Not left alone: the right side turns the rows and stretches nothing, so left * values keeps
    # the distances between rows, and left would make all directions equally wide.
    return np.asarray(left * values, dtype=np.float64)


def kmeans(
    points: Float[np.ndarray, "rows dimensions"], count: int, *, starts: int = 5, seed: int = 0
) -> Int[np.ndarray, " rows"]:
    """The cluster of each row: the best of some starts by squared distance to the means.

    Means are first drawn far apart (k-means++). Clusters are numbered from the largest down, equals by
    their first row; an empty one is left out, so there may be fewer than asked.
    Arthur and Vassilvitskii (2007), doi:10.5555/1283383.1283494.

    Example:
        >>> kmeans(np.array([[0.0], [0.1], [0.2], [9.0], [9.1]]), 2).tolist()
        [0, 0, 0, 1, 1]
    """
    if count < 1 or starts < 1 or len(points) < count:
        raise OptionError(
            f"expected one start or more and from 1 to {len(points)} clusters, one a row, got "
            f"{starts} starts and {count} clusters"
        )
    rng = np.random.default_rng(seed)
    best, lowest = np.zeros(len(points), dtype=np.int64), np.inf
    for _ in range(starts):
        means = _far_apart(points, count, rng)
        cluster = np.full(len(points), -1)
        for _ in range(ROUNDS):
            nearest = _distances(points, means).argmin(axis=1)
            if (nearest == cluster).all():
                break
            cluster = nearest
            # Only clusters that have rows: one that lost its last keeps its mean, for there is none
            # of no rows.
            for place in np.unique(cluster).tolist():
                means[place] = points[cluster == place].mean(axis=0)
        total = float(((points - means[cluster]) ** 2).sum())
        # Sums that differ by rounding errors are equal: the first start counts, on any machine.
        if total < lowest * (1 - 1e-9):
            best, lowest = cluster, total
    ids, first, sizes = np.unique(best, return_index=True, return_counts=True)
    rank = np.empty(count, dtype=np.int64)
    rank[ids[np.lexsort((first, -sizes))]] = np.arange(len(ids))
    return rank[best]


def alike(table: sparse.csr_array, least: float) -> Int[np.ndarray, " columns"]:
    """The group of each binary column: columns joined by correlations of ``least`` or more.

    The correlation of two columns is ``(p_ab - p_a p_b) / sqrt(p_a (1-p_a) p_b (1-p_b))``. A column
    that every text has, or none, has no correlation and stands alone. Groups are numbered in the
    order of their first column.

    It is at most ``sqrt(o_a / o_b)`` where the odds ``o = p / (1 - p)`` of ``a`` are the smaller, so
    each column is only compared with those of odds up to ``1 / least^2`` times its own. Two
    seconds and 50 MB for 12,000 texts of 50,000 columns that are as frequent as words are.

    Args:
        table: binary table of one row a text.
        least: correlation above 0, at most 1.

    Raises:
        OptionError: ``least`` out of its range.

    Example:
        >>> alike(sparse.csr_array(np.array([[1.0, 1, 0], [1, 1, 1], [0, 0, 1]])), 0.9).tolist()
        [0, 0, 1]
    """
    if not 0 < least <= 1:
        raise OptionError(f"expected a least correlation above 0, at most 1, got least={least}")
    n, width = size(table)
    group = np.arange(width)
    holding = np.bincount(table.indices, minlength=width)
    # By rising count, so that the partners of a column are a range of columns.
    order = np.argsort(holding, kind="stable")
    order = order[(holding[order] > 0) & (holding[order] < n)]
    count = holding[order]
    variance, odds = (count * (n - count)).astype(np.float64), count / (n - count)
    # As p_ab is at most p_a, the correlation is at most sqrt(p_a (1 - p_b) / (p_b (1 - p_a))),
    # which is sqrt(o_a / o_b). 1e-6 more, so that rounding leaves out no pair at the bound.
    ends = np.searchsorted(odds, odds / least**2 * (1 + 1e-6), side="right")
    there = np.ones(len(table.indices), dtype=np.int32)
    binary = sparse.csr_array((there, table.indices, table.indptr), shape=(n, width))
    across = sparse.csr_array(sparse.csr_array(binary.T)[order])
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        partners = sparse.csr_array(across[start : int(ends[stop - 1])])
        both = sparse.coo_array(sparse.csr_array(partners[: stop - start]) @ partners.T)
        # A correlation above 0 takes texts that have both, so pairs without any need no look.
        a, b = (part.astype(np.int64) + start for part in both.coords)
        # Numerator and denominator times n^2 are whole numbers: no difference of near-equal shares,
        # and 64 bits before the product, which overflows 32 from 46,341 texts on.
        shared = n * both.data.astype(np.int64) - count[a] * count[b]
        close = shared >= least * (1 - 1e-9) * np.sqrt(variance[a] * variance[b])
        group = _merged(group, order[a[close]], order[b[close]])
    first, place = np.unique(group, return_index=True, return_inverse=True)[1:]
    # Components are numbered as SciPy meets them; the rank of their first column is ours.
    return np.argsort(np.argsort(first))[place].astype(np.int64)


def _merged(
    group: Int[np.ndarray, " columns"], a: Int[np.ndarray, " pairs"], b: Int[np.ndarray, " pairs"]
) -> Int[np.ndarray, " columns"]:
    """Groups with those of some pairs of columns joined."""
    pairs = sparse.coo_array(
        (np.ones(len(a), dtype=np.bool_), (group[a], group[b])), shape=(len(group), len(group))
    )
    return csgraph.connected_components(pairs, directed=False)[1].astype(np.int64)[group]


def _distances(points: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Squared distances less the squared length of each point, which moves no minimum."""
    # A matrix product and no table of rows by means by dimensions. Its cancellation can move a tie
    # by rounding, and nothing else is read off it.
    return (means**2).sum(axis=1) - 2 * points @ means.T


def _far_apart(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    means = [points[int(rng.integers(len(points)))]]
    near = ((points - means[0]) ** 2).sum(axis=1)
    while len(means) < count:
        # Squared distances are the chances of k-means++. Where all rows lie on the means drawn so
        # far they are all 0, and any row will do.
        total = float(near.sum())
        chance = near / total if total > 0 else None
        means.append(points[int(rng.choice(len(points), p=chance))])
        near = np.minimum(near, ((points - means[-1]) ** 2).sum(axis=1))
    return np.stack(means)
