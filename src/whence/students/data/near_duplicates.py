"""Near-duplicates: groups of texts that must stay on one side of a split."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from whence.core.errors import OptionError
from whence.students.features.tokenizer import words

__all__ = ["near_duplicates"]

BANDS, ROWS = 40, 7
"""Signatures are compared band by band: a pair of Jaccard similarity s is looked at with
probability 1 - (1 - s^7)^40, which is .9999 at s = .8 and .27 at s = .5 (Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, ch. 3)."""

SLACK = 0.15
"""How far the similarity that signatures show may be below the threshold for a pair to be compared
exactly: six standard errors of the 280 hashes at s = .8."""

MOST = 50
"""Groups of a bucket that a text is compared with, the newest; else texts that share much but not
enough, such as letters of one form, would all be compared with each other. Chosen by hand; what it
costs is measured below."""

REMEMBERED = 3_000_000
"""Pairs that were compared and are remembered, so as not to compare them again in another band: some
200 MB of numbers. Chosen by hand."""


def near_duplicates(
    texts: Sequence[str], *, threshold: float = 0.8, seed: int = 0
) -> Int[np.ndarray, " texts"]:
    """The group of each text: texts joined by chains of near-duplicates share one.

    Two texts are near-duplicates where the Jaccard similarity of their sets of words is
    ``threshold`` or more: at .8, one word in nine may be another. Order does not count, so that
    templates with a word filled in are found in short texts, too. Candidates come from MinHash
    bands and are compared exactly; a pair may be missed with the small probability of the bands.
    Groups are numbered in the order of their first text.

    Cost: it grows with the number of texts. 20,000 texts of 35 words take 3 s where they are
    varied, and 21 s where 30 words are the same in all, which is nearly alike. There buckets hold
    thousands and only the newest 50 groups of each are looked at: of pairs of such texts with a
    similarity of .84 (4,000 pairs among 8,000 texts) 99 % were found, and of .89 all but one.
    Broder (1997), doi:10.1109/SEQUEN.1997.666900.

    Example:
        >>> near_duplicates(["Paid late twice.", "paid late, twice", "never late"]).tolist()
        [0, 0, 1]
    """
    if not 0.0 < threshold <= 1.0:
        raise OptionError(f"expected a threshold above 0, at most 1, got {threshold}")
    known: dict[str, int] = {}
    sets = [_hashes(text, known) for text in texts]
    parent = list(range(len(texts)))
    exact: dict[frozenset[int], int] = {}
    for row, hashes in enumerate(sets):
        parent[row] = exact.setdefault(hashes, row)
    distinct = sorted(set(exact.values()))
    if distinct:
        _join(distinct, sets, parent, threshold, seed)
    order: dict[int, int] = {}
    groups = [order.setdefault(_root(parent, row), len(order)) for row in range(len(texts))]
    return np.array(groups, dtype=np.int64)


def _hashes(text: str, known: dict[str, int]) -> frozenset[int]:
    """64-bit hashes of the words of a text; of its signs where it has no word."""
    marks = words(text)
    hashed = [word for word in marks if word[0].isalnum()] or marks or [text]
    for word in hashed:
        if word not in known:
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8)
            known[word] = int.from_bytes(digest.digest(), "little")
    return frozenset(known[word] for word in hashed)


def _join(
    distinct: list[int],
    sets: Sequence[frozenset[int]],
    parent: list[int],
    threshold: float,
    seed: int,
) -> None:
    """Join what is alike, one representative of each group in a bucket being looked at."""
    signatures = _signatures([sets[row] for row in distinct], seed)
    # The low bits tell hashes apart well enough to choose whom to compare.
    low = signatures.astype(np.uint8)
    sizes = np.array([len(sets[row]) for row in distinct])
    apart: set[int] = set()
    for band in range(BANDS):
        part = np.ascontiguousarray(signatures[:, band * ROWS : (band + 1) * ROWS])
        buckets: defaultdict[bytes, list[int]] = defaultdict(list)
        for member, row in enumerate(part):
            buckets[row.tobytes()].append(member)
        for members in buckets.values():
            shown: dict[int, int] = {}
            for member in members if len(members) > 1 else ():
                if _root(parent, distinct[member]) in shown:
                    continue
                # A pair as one number: a set of millions of tuples would take several times the
                # memory.
                key = member * len(distinct)
                newest = itertools.islice(reversed(shown.values()), MOST)
                new = [other for other in newest if key + other not in apart]
                if new:
                    others = np.array(new)
                    # The intersection is at most the smaller set and the union at least the
                    # larger: their ratio bounds the similarity, and costs nothing.
                    small = np.minimum(sizes[others], sizes[member])
                    fits = small >= threshold * np.maximum(sizes[others], sizes[member])
                    same = np.count_nonzero(low[others] == low[member], axis=1)
                    near = same >= (threshold - SLACK) * low.shape[1]
                    hashes, root = sets[distinct[member]], _root(parent, distinct[member])
                    for other in others[fits & near].tolist():
                        if _similarity(hashes, sets[distinct[other]]) < threshold:
                            continue
                        joins = _root(parent, distinct[other])
                        parent[max(root, joins)] = root = min(root, joins)
                    if len(apart) > REMEMBERED:
                        apart.clear()
                    apart.update(key + other for other in new)
                shown.setdefault(_root(parent, distinct[member]), member)


def _similarity(a: frozenset[int], b: frozenset[int]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def _root(parent: list[int], row: int) -> int:
    """The first row of a group, by which a bucket knows whom it has compared.

    SciPy's DisjointSet keeps the root of the larger group instead, and so compares other pairs where
    buckets overflow: of 2,000 letters of one form it gave other groups.
    """
    while parent[row] != row:
        # Halving of paths keeps chains short without a second pass (Tarjan and van Leeuwen 1984,
        # doi:10.1145/62.2160).
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row


def _signatures(sets: Sequence[frozenset[int]], seed: int) -> np.ndarray:
    """The least value of each of 280 hash functions over a set, 32 bits of it."""
    hashes = np.fromiter((h for members in sets for h in members), dtype=np.uint64)
    starts = np.cumsum([0] + [len(members) for members in sets[:-1]])
    rng = np.random.default_rng(seed)
    result = np.empty((len(sets), BANDS * ROWS), dtype=np.uint32)
    for row in range(BANDS * ROWS):
        # Products wrap around at 2^64; an odd factor loses no bit by that. A linear function alone
        # is no min-wise permutation, so a multiplication and shift of SplitMix64 follow (Steele et
        # al. 2014, doi:10.1145/2660193.2660195), whose constant this is.
        factor, shift = rng.integers(1, 2**61, size=2, dtype=np.uint64)
        mixed = hashes * (factor | np.uint64(1)) + shift
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        # reduceat takes least values between starts; every set has a member, so no start repeats,
        # which it would answer with one element.
        least = np.minimum.reduceat((mixed >> np.uint64(32)).astype(np.uint32), starts)
        result[:, row] = least
    return result
