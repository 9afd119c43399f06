"""Near-duplicates: groups of texts that must stay on one side of a split."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Int, UInt32

from whence.core.errors import OptionError
from whence.students.features.tokenizer import words

__all__ = ["SIMILAR", "near_duplicates"]

SIMILAR = 0.8
"""Similarity from which two texts are near-duplicates. Chosen by hand: one rare word in nine is
another."""

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


COMMON = 0.1
"""Share of the texts above which a word begins to say less of two texts that share it: what stands in
every tenth text or less counts in full, what stands in all counts nothing. Chosen by hand: of one
to ten forms, each filled from a table, the words of the form then weigh less than the cells."""

UNSEEN = 20
"""Texts without any of the words that are counted beside the given ones: of a few texts nobody knows
what is common. Chosen by hand."""


def near_duplicates(
    texts: Sequence[str], *, threshold: float = SIMILAR, seed: int = 0
) -> Int[np.ndarray, " texts"]:
    """The group of each text: texts joined by chains of near-duplicates share one.

    Two texts are near-duplicates where their weighted Jaccard similarity is ``threshold`` or more:
    the weight of the words that both have over that of the words that either has, with the weight
    ``min(1, log10((n + 20) / d))`` of a word that ``d`` of ``n`` texts have. The words of a form
    that most texts share weigh next to nothing, so that letters made from a table are compared by
    their cells; at .8, one rare word in nine may be another. Order does not count, so that
    templates with a word filled in are found in short texts, too; only a word of weight below 1
    counts once more together with the word before it ("children 2" is not "cars 2").

    Candidates come from MinHash bands and are compared exactly; a pair may be missed with the
    small probability of the bands. Groups are numbered in the order of their first text. A
    threshold of 1 joins only texts of the same words.

    Cost: it grows with the number of texts; 20,000 texts of 35 words take some seconds. Buckets
    that hold thousands are compared with the newest 50 groups alone.
    Broder (1997), doi:10.1109/SEQUEN.1997.666900; of weights, by an exponential race, Chum et al.
    (2008), Near Duplicate Image Detection: min-Hash and tf-idf Weighting.

    Example:
        >>> near_duplicates(["Paid late twice.", "paid late, twice", "never late"]).tolist()
        [0, 0, 1]
    """
    if not 0.0 < threshold <= 1.0:
        raise OptionError(f"expected a threshold above 0, at most 1, got {threshold}")
    sets = _elements(texts)
    parent = list(range(len(texts)))
    exact: dict[frozenset[str], int] = {}
    for row, members in enumerate(sets):
        parent[row] = exact.setdefault(members, row)
    distinct = sorted(set(exact.values()))
    if distinct:
        _join(distinct, sets, parent, threshold, seed)
    order: dict[int, int] = {}
    groups = [order.setdefault(_root(parent, row), len(order)) for row in range(len(texts))]
    return np.array(groups, dtype=np.int64)


def _elements(texts: Sequence[str]) -> list[frozenset[str]]:
    """What texts are compared by: their words, and common words with the word before them."""
    split = [_words(text) for text in texts]
    # Exact repeats are counted once, or a letter sent a thousand times would be no form but common.
    weights = _weights({tuple(sequence) for sequence in split})
    return [
        frozenset(sequence)
        | {
            f"{before} {word}"
            for before, word in zip(["", *sequence], sequence, strict=False)
            if weights[word] < 1
        }
        for sequence in split
    ]


def _words(text: str) -> list[str]:
    """The words of a text; its signs where it has no word."""
    marks = words(text)
    return [word for word in marks if word[0].isalnum()] or marks or [text]


def _weights(sets: Collection[Collection[str]]) -> dict[str, float]:
    """``min(1, log10((n + 20) / d))`` of each element that ``d`` of ``n`` sets have."""
    counts = Counter(element for members in sets for element in set(members))
    return {
        element: min(1.0, math.log((len(sets) + UNSEEN) / count) / -math.log(COMMON))
        for element, count in counts.items()
    }


def _join(
    distinct: list[int],
    sets: Sequence[frozenset[str]],
    parent: list[int],
    threshold: float,
    seed: int,
) -> None:
    """Join what is alike, one representative of each group in a bucket being looked at."""
    weights = _weights([sets[row] for row in distinct])
    signatures = _signatures([sets[row] for row in distinct], weights, seed)
    # The low bits tell hashes apart well enough to choose whom to compare.
    low = signatures.astype(np.uint8)
    sizes = np.array([_size(sets[row], weights) for row in distinct])
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
                    elements, root = sets[distinct[member]], _root(parent, distinct[member])
                    for other in others[fits & near].tolist():
                        if _similarity(elements, sets[distinct[other]], weights) < threshold:
                            continue
                        joins = _root(parent, distinct[other])
                        parent[max(root, joins)] = root = min(root, joins)
                    if len(apart) > REMEMBERED:
                        apart.clear()
                    apart.update(key + other for other in new)
                shown.setdefault(_root(parent, distinct[member]), member)


def _similarity(a: frozenset[str], b: frozenset[str], weights: Mapping[str, float]) -> float:
    return _size(a & b, weights) / _size(a | b, weights)


def _size(elements: frozenset[str], weights: Mapping[str, float]) -> float:
    # fsum: a set has no order, and sums must not depend on the seed of string hashes.
    return math.fsum(weights[element] for element in elements)


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


def _signatures(
    sets: Sequence[frozenset[str]], weights: Mapping[str, float], seed: int
) -> UInt32[np.ndarray, "sets hashes"]:
    """The least value of each of 280 hash functions over a set, 32 bits of it.

    Of two sets it is the same with the probability of their weighted similarity: the hash of an
    element is exponential with its weight for a rate, and the first of a race is any of the
    racers in proportion to its rate.
    """
    place = {element: row for row, element in enumerate(weights)}
    digests = (hashlib.blake2b(e.encode("utf-8", "surrogatepass"), digest_size=8) for e in place)
    hashes = np.array([int.from_bytes(d.digest(), "little") for d in digests], dtype=np.uint64)
    rates = np.fromiter(weights.values(), dtype=np.float64)
    members = np.array([place[element] for elements in sets for element in elements])
    starts = np.cumsum([0] + [len(elements) for elements in sets[:-1]])
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
        # Of 53 bits, never 0, whose logarithm is none.
        uniform = ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
        times = (-np.log(uniform) / rates).astype(np.float32)
        # reduceat takes least values between starts; every set has a member, so no start repeats,
        # which it would answer with one element. The bits of a float above 0 tell floats apart.
        result[:, row] = np.minimum.reduceat(times[members], starts).view(np.uint32)
    return result
