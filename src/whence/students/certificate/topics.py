"""Topics of texts: clusters of their words, and the words that name them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from scipy import sparse

from whence.students.features.vectorizer import Features
from whence.students.fitting.clustering import kmeans, rarity_weighted, reduced
from whence.students.fitting.sparse import size

__all__ = ["telling", "topical_words", "topics"]

DIMENSIONS = 20
"""Coordinates in which topics are looked for. Chosen by hand; not calibrated."""

TELLING = 3
"""Words in the name of a topic: as many as a line of a report has room for."""


def topics(table: sparse.csr_array, count: int, *, seed: int = 0) -> Int[np.ndarray, " texts"]:
    """The topic of each text: k-means of its features, weighted by rarity, in 20 coordinates.

    Topics are numbered from the largest down. They are what differs most among these texts, be it
    subject or form; other seeds give other ones, and short texts hardly have any.

    Example:
        >>> from whence.students.features.vectorizer import ReadableFeatures
        >>> lines = ["loan debt bank", "debt bank rate", "film plot actor", "plot actor scene"]
        >>> table = ReadableFeatures(longest=1, least_texts=1).learn(lines).table(lines)
        >>> topics(table, 2).tolist()
        [0, 0, 1, 1]
    """
    return kmeans(reduced(rarity_weighted(table), DIMENSIONS, seed=seed), count, seed=seed)


def topical_words(
    table: sparse.csr_array, features: Features, count: int
) -> Int[np.ndarray, " words"]:
    """Single words of at most one in ``count`` texts: "the" would separate texts by their length.

    A word of more texts than that cannot be one topic's own. All columns where none is left.
    """
    n, width = size(table)
    rare = np.bincount(table.indices, minlength=width) <= n / count
    columns: list[int] = np.flatnonzero(rare).tolist()
    words = [
        column
        for column in columns
        if features.kept[column].kind == "ngram" and features.kept[column].words.isalnum()
    ]
    return np.array(words, dtype=np.int64) if words else np.arange(width)


def telling(
    table: sparse.csr_array,
    texts: Int[np.ndarray, " texts"],
    part: Int[np.ndarray, " part"],
    features: Features,
    words: Int[np.ndarray, " words"],
) -> str:
    """The words that a topic has most often beyond what all texts have."""
    rates = [
        np.asarray(sparse.csr_array(table[rows]).sum(axis=0))[words] / len(rows)
        for rows in (part, texts)
    ]
    # All texts less the topic, ascending: the most typical words come first, and a stable sort
    # leaves equals in the order of the columns.
    order: list[int] = words[np.argsort(rates[1] - rates[0], kind="stable")].tolist()
    return "/".join(features.kept[column].words for column in order[:TELLING])
