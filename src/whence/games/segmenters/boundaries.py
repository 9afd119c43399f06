"""Where spans begin and end: white space trimmed, sentences separated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import regex

from whence.games.segmenters.abbreviations import (
    BEFORE_NUMBER,
    MAY_END,
    MAY_END_BEFORE_STARTER,
    NEVER_END,
    STARTERS,
    TIMES,
)

__all__ = ["nonblank_spans", "sentence_spans", "trimmed"]

# After . ! ? and their kin, closing quotes and brackets, then white space; CJK marks need none. A blank
# line, the row of a table, an item of a list and a heading begin anew whatever stands before.
_SENTENCE_END = regex.compile(
    r"(?:[.!?\u2026\u061F\u06D4\u0964]+[\"'\u2019\u201D)\]]*(?=\s)"
    r"|[\u3002\uFF01\uFF1F]+[\u300D\u300F\u201D]*|\n\s*\n"
    r"|\n(?=[ \t]*(?:\||#{1,6}\s|[-*+\u2022\u25CF]\s|\(?[0-9]{1,3}[.)]\s|\(?[a-z][.)]\s))|(?<=\|)[ \t]*\n)"
)
_WORD = regex.compile(r"[^\s(\[\"'\u2018\u201C]*$")
_NEXT = regex.compile(r"\s*([\"'\u2018\u201C(\[]*)([^\s.,;:!?)\]\"'\u2019\u201D]*)")
_NUMBERED = regex.compile(r"[0-9IVXLCDM\u00A7#]|\p{L}$")
_INITIALS = regex.compile(r"(?:\p{Lu}|\p{Lu}\p{Ll}?(?:\.\p{Lu}\p{Ll}?)+)$")
_ITEM = regex.compile(r"\(?(?:[0-9]{1,3}|\p{L})$")


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the white space around it."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def nonblank_spans(text: str, cuts: Sequence[int]) -> list[tuple[int, int]]:
    """The spans between cuts, trimmed, without those that are all white space."""
    spans = [trimmed(text, a, b) for a, b in pairwise(cuts)]
    return [(a, b) for a, b in spans if b > a]


def sentence_spans(
    text: str, start: int, end: int, abbreviations: Collection[str] = ()
) -> list[tuple[int, int]]:
    """The sentences of a stretch of text; ``abbreviations`` never end one, beside those known here."""
    cuts = [start]
    for match in _SENTENCE_END.finditer(text, start, end):
        if "\n" in match.group() or _ends(text, cuts[-1], match, end, abbreviations):
            cuts.append(match.end())
    return nonblank_spans(text, [*cuts, end])


def _ends(
    text: str, start: int, match: regex.Match[str], end: int, abbreviations: Collection[str]
) -> bool:
    """Whether a sentence ends at a mark, by the words at both sides of it."""
    follows = _NEXT.match(text, match.end(), end)
    opening, word = ("", "") if follows is None else follows.groups()
    lower = word[:1].islower()
    mark = match.group()
    if not mark.startswith(".") or mark.startswith(".."):
        # "Really?" he asked. And so on... until it stops.
        return not (lower and (mark[-1] not in "!?" or mark.startswith("..")))
    before = _WORD.search(text, start, match.start())
    last = "" if before is None else before.group()
    if before is not None and _ITEM.match(last) and not text[start : before.start()].strip():
        # The number of an item of a list stands at the beginning.
        return False
    if last in NEVER_END or last in abbreviations:
        return False
    if last in BEFORE_NUMBER:
        return not (lower or opening or _NUMBERED.match(word))
    if last in MAY_END:
        return word[:1].isupper() and word not in TIMES
    if last in MAY_END_BEFORE_STARTER or _INITIALS.match(last):
        return not word or word in STARTERS
    return True
