"""Where spans begin and end: white space trimmed, sentences separated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import regex

__all__ = ["nonblank_spans", "sentence_spans", "trimmed"]

# After . ! ? and their kin, closing quotes and brackets, then white space; CJK marks need none.
_SENTENCE_END = regex.compile(
    r"(?:[.!?\u2026\u061F\u06D4\u0964]+[\"'\u2019\u201D)\]]*(?=\s)"
    r"|[\u3002\uFF01\uFF1F]+[\u300D\u300F\u201D]*|\n\s*\n)"
)
_ABBREVIATION = regex.compile(
    r"(?:^|[\s(\[])(?:\p{Lu}|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|No|Nr|Art|Sec|Fig|vs|cf|e\.g|i\.e|etc|"
    r"approx|Inc|Ltd|Co|bzw|z\.B|ca|pp|p|al)\.$"
)
LOOK_BACK = 12
"""Characters before a full stop in which an abbreviation is looked for; the longest has 8."""


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the white space around it."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def nonblank_spans(text: str, cuts: Sequence[int]) -> list[tuple[int, int]]:
    """The spans between cuts, trimmed, without those that are all white space."""
    spans = [trimmed(text, a, b) for a, b in pairwise(cuts)]
    return [(a, b) for a, b in spans if b > a]


def sentence_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The sentences of a stretch of text."""
    cuts = [start]
    for match in _SENTENCE_END.finditer(text, start, end):
        stop = match.end()
        # A blank line ends a sentence whatever stands before it: titles and list items have no
        # stop.
        if "\n" not in match.group() and _ABBREVIATION.search(
            text[max(start, stop - LOOK_BACK) : stop]
        ):
            continue
        cuts.append(stop)
    return nonblank_spans(text, [*cuts, end])
