"""Features that are words, and runs of punctuation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import regex

from whence.core.features import Document, Part
from whence.games.segmenters.base import Segmenter
from whence.models.protocols import Encoding

__all__ = ["Words"]

_GRAPHEME = regex.compile(r"\X")
# Letters, digits and marks, joined by the signs that occur inside words: apostrophes, hyphens,
# separators of numbers, and the sign of a percentage or a currency beside its number.
_WORD = regex.compile(
    r"(?V1)(?:\p{Sc}\s?)?\d+(?:[.,:/\u2019'\u066B\u066C]\d+)*(?:\s?%)?(?:[\p{L}\p{M}]+)?"
    r"(?:[-\u2010\u2011][\p{L}\p{M}]+)*"
    r"|[\p{L}\p{M}\p{N}\p{Pc}]+(?:['\u2019\u02BC\u05F3\u05F4\u00B7\u2010\u2011\-]"
    r"[\p{L}\p{M}\p{N}\p{Pc}]+)*"
)
# Scripts written without spaces, where a run of letters is no word.
_UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30FC]"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Words(Segmenter):
    """Words, and each run of punctuation.

    "don't", "state-of-the-art", "1,250.50", "42 %", "£900" and "63-year-old" are one feature each.
    In scripts without spaces (Chinese, Japanese, Thai ...) each grapheme is one. A run of
    punctuation is a feature too, since a question mark can matter; an emoji is one.
    """

    unit: ClassVar[str] = "word"
    rank: ClassVar[int] = 2

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        position = part.start
        for match in _WORD.finditer(document.text, part.start, part.end):
            # A combining mark belongs to the character before it and never starts a feature.
            start, end = match.span()
            spans += self._signs(document.text, position, start)
            if _UNSPACED.search(match.group()):
                spans += self._unspaced(document.text, start, end)
            else:
                spans.append((start, end))
            position = end
        spans += self._signs(document.text, position, part.end)
        return _whole_graphemes(document.text, part, spans)

    @staticmethod
    def _unspaced(text: str, start: int, end: int) -> list[tuple[int, int]]:
        """A run that holds letters of an unspaced script: those by grapheme, the rest as words."""
        spans: list[tuple[int, int]] = []
        plain: int | None = None
        for match in _GRAPHEME.finditer(text, start, end):
            if _UNSPACED.match(match.group()):
                if plain is not None:
                    spans.append((plain, match.start()))
                    plain = None
                spans.append(match.span())
            elif plain is None:
                plain = match.start()
        if plain is not None:
            spans.append((plain, end))
        return spans

    @staticmethod
    def _signs(text: str, start: int, end: int) -> list[tuple[int, int]]:
        """Runs of equal punctuation marks, and single graphemes of anything else."""
        spans: list[tuple[int, int]] = []
        for match in _GRAPHEME.finditer(text, start, end):
            sign = match.group()
            if sign.isspace():
                continue
            before = text[spans[-1][0]] if spans else ""
            # "!!!" is one sign to a reader, "?!" two. `before` is one code point, so a sign of
            # several (an emoji with its joiners) cannot be compared with it and stands alone.
            if spans and spans[-1][1] == match.start() and len(sign) == 1 and before == sign:
                spans[-1] = (spans[-1][0], match.end())
            else:
                spans.append(match.span())
        return spans


def _whole_graphemes(
    text: str, part: Part, spans: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Spans joined where a boundary between two would cut a grapheme."""
    # _WORD knows letters and marks, not graphemes: the zero-width joiner of Indic scripts is
    # neither, yet stands inside of one.
    bounds = {match.start() for match in _GRAPHEME.finditer(text, part.start, part.end)}
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start not in bounds and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
