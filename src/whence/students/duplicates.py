"""Near-duplicates: groups of texts that must stay on one side of a split."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from whence.core.errors import OptionError
from whence.students.words import words

__all__ = ["near_duplicates"]

BANDS, ROWS = 24, 4
"""Signatures are compared band by band: a pair of Jaccard similarity s is looked at with
probability 1 - (1 - s^4)^24, which is .99999 at s = .8 and .79 at s = .5 (Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, ch. 3)."""


def near_duplicates(
    texts: Sequence[str], *, threshold: float = 0.8, shingle: int = 3, seed: int = 0
) -> Int[np.ndarray, " texts"]:
    """The group of each text: texts joined by chains of near-duplicates share one.

    Two texts are near-duplicates where the Jaccard similarity of their sets of word shingles is
    ``threshold`` or more; candidates come from MinHash bands and are compared exactly, so a pair
    may be missed with the small probability of the bands, but none is joined wrongly. Groups are
    numbered in the order of their first text. Broder (1997), doi:10.1109/SEQUEN.1997.666900.

    Example:
        >>> near_duplicates(["Paid late twice.", "paid late, twice", "never late"]).tolist()
        [0, 0, 1]
    """
    if not 0.0 < threshold <= 1.0 or shingle < 1:
        raise OptionError(
            f"threshold={threshold}, shingle={shingle}: a similarity in (0, 1] and 1 word or more "
            "are due"
        )
    sets = [_shingles(text, shingle) for text in texts]
    parent = list(range(len(texts)))
    exact: dict[frozenset[int], int] = {}
    for row, own in enumerate(sets):
        parent[row] = exact.setdefault(own, row)
    distinct = sorted(set(exact.values()))
    for members in _buckets([sets[row] for row in distinct], seed):
        rows = [distinct[member] for member in members]
        for place, row in enumerate(rows):
            for other in rows[:place]:
                a, b = _root(parent, row), _root(parent, other)
                if a != b and _similarity(sets[row], sets[other]) >= threshold:
                    parent[max(a, b)] = min(a, b)
    order: dict[int, int] = {}
    groups = [order.setdefault(_root(parent, row), len(order)) for row in range(len(texts))]
    return np.array(groups, dtype=np.int64)


def _shingles(text: str, size: int) -> frozenset[int]:
    found = [word for word in words(text) if word[0].isalnum()]
    if len(found) <= size:
        return frozenset([zlib.crc32(" ".join(found or [text]).encode())])
    return frozenset(
        zlib.crc32(" ".join(found[at : at + size]).encode()) for at in range(len(found) - size + 1)
    )


def _similarity(a: frozenset[int], b: frozenset[int]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def _root(parent: list[int], row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row


def _buckets(sets: Sequence[frozenset[int]], seed: int) -> list[list[int]]:
    """Sets that share a band of their signature."""
    if not sets:
        return []
    hashes = np.fromiter((h for own in sets for h in own), dtype=np.uint64)
    starts = np.cumsum([0] + [len(own) for own in sets[:-1]])
    rng = np.random.default_rng(seed)
    signature = np.empty((BANDS * ROWS, len(sets)), dtype=np.uint64)
    for row in range(BANDS * ROWS):
        factor, shift = rng.integers(1, 2**61, size=2, dtype=np.uint64)
        mixed = hashes * (factor | np.uint64(1)) + shift
        mixed ^= mixed >> np.uint64(29)
        signature[row] = np.minimum.reduceat(mixed * np.uint64(0xBF58476D1CE4E5B9), starts)
    found: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for band in range(BANDS):
        part = np.ascontiguousarray(signature[band * ROWS : (band + 1) * ROWS].T)
        for member, row in enumerate(part):
            found[band, row.tobytes()].append(member)
    return [members for members in found.values() if len(members) > 1]
