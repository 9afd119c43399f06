"""Where a text is split in two: between its parts, paragraphs, sentences, clauses, in this order."""

from __future__ import annotations

import itertools

import numpy as np
import regex
from jaxtyping import Int

from whence.core.features import Segmentation
from whence.games.segmenters import Paragraphs, Sentences

__all__ = ["boundaries", "cut"]

# A mark that closes a clause, with the white space after it (of East Asian marks without), or one that
# opens a clause, with the white space before it.
_CLAUSE = regex.compile(
    r"[,;:)\]\u2013\u2014\u2026][\"'\u2019\u201D]?\s|[\u3001\uFF0C\uFF1B\uFF1A\uFF09](?=.)|\s[(\[\u2013\u2014]"
)


def boundaries(n: int, segmentation: Segmentation | None) -> Int[np.ndarray, " gaps"]:
    """Strength of the boundary after each feature but the last.

    4 between parts (the texts of a pair, turns), 3 between paragraphs, 2 between sentences, 1 where
    punctuation ends or begins a clause, 0 elsewhere and where there is no text.

    Example:
        >>> from whence.core.features import Document
        >>> from whence.games import Words
        >>> boundaries(7, Words().segment(Document.plain("He paid, late. She did"))).tolist()
        [0, 0, 1, 0, 2, 0]
    """
    strength = np.zeros(max(0, n - 1), dtype=np.int64)
    if segmentation is None:
        return strength
    features, document = segmentation.features, segmentation.document
    for gap, (before, after) in enumerate(itertools.pairwise(features)):
        if _CLAUSE.search(document.text[before.end - 1 : after.start + 1]):
            strength[gap] = 1
    starts = np.array([feature.start for feature in features])
    for level, segmenter in ((2, Sentences()), (3, Paragraphs())):
        pieces = np.array([piece.start for piece in segmenter.segment(document).features])
        owner = np.searchsorted(pieces, starts, side="right")
        strength[np.diff(owner) > 0] = level
    parts = [feature.part for feature in features]
    strength[[before != after for before, after in itertools.pairwise(parts)]] = 4
    return strength


def cut(strength: Int[np.ndarray, " gaps"], start: int, stop: int) -> int:
    """Where features ``start`` to ``stop`` are split: the strongest boundary, nearest the middle.

    Example:
        >>> cut(np.array([0, 0, 1, 0, 2]), 0, 6), cut(np.array([0, 0, 1, 0, 2]), 0, 4)
        (5, 3)
    """
    inside = strength[start : stop - 1]
    strongest = np.flatnonzero(inside == inside.max())
    # Gap g lies after feature g, so that g + 1 features are on its left.
    off = np.abs(2 * (strongest + 1) - (stop - start))
    return start + 1 + int(strongest[np.argmin(off)])
