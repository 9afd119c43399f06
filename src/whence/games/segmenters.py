"""Segmenters: how a document falls into features. Characters are the truth.

Boundaries follow Unicode (UAX #29) through the ``regex`` library: a grapheme (a letter with its
combining marks, an emoji with its joiners and skin tone, a flag) is never cut. Features never
cross a part of the document, never lie in a frozen part, and cover every character that is not
white space, except for the caller's own spans.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import regex

from whence.core.errors import InputError, OptionError, unknown
from whence.core.features import Document, Feature, Part, Segmentation
from whence.models.protocols import Encoding

__all__ = [
    "SEGMENTERS",
    "Paragraphs",
    "Passages",
    "Segmenter",
    "Sentences",
    "Spans",
    "Tokens",
    "Turns",
    "Words",
    "segmenter_by_name",
]

_GRAPHEME = regex.compile(r"\X")
# Letters, digits and marks, held together by what stands inside words: apostrophes, hyphens,
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
# After . ! ? and their kin, closing quotes and brackets, then white space; CJK marks need none.
_SENTENCE_END = regex.compile(
    r"(?:[.!?\u2026\u061F\u06D4\u0964]+[\"'\u2019\u201D)\]]*(?=\s)"
    r"|[\u3002\uFF01\uFF1F]+[\u300D\u300F\u201D]*|\n\s*\n)"
)
_ABBREVIATION = regex.compile(
    r"(?:^|[\s(\[])(?:\p{Lu}|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|No|Nr|Art|Sec|Fig|vs|cf|e\.g|i\.e|etc|"
    r"approx|Inc|Ltd|Co|bzw|z\.B|ca|pp|p|al)\.$"
)
_BLANK_LINE = regex.compile(r"\n[ \t]*\n\s*|\r\n[ \t]*\r\n\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmenter(ABC):
    """Base of all segmenters; subclasses are final."""

    unit: ClassVar[str]

    def segment(self, document: Document, encoding: Encoding | None = None) -> Segmentation:
        """The features of a document.

        Raises:
            InputError: the document has no feature of this kind.
            OptionError: the unit needs tokens and the model has none, or a span is off.
        """
        features = tuple(
            Feature(start=start, end=end, text=document.text[start:end], part=part.name)
            for part in document.parts
            if not part.frozen
            for start, end in self._spans(document, part, encoding)
        )
        if not features:
            raise InputError(
                f"the text has no {self.unit} to remove ({document.text[:40]!r}); "
                "there is nothing to explain"
            )
        return Segmentation(unit=self.unit, document=document, features=features)

    @abstractmethod
    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        """The features of one part, in order."""


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the white space around it."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _inked(text: str, cuts: Sequence[int]) -> list[tuple[int, int]]:
    """The spans between cuts, trimmed, without those that are all white space."""
    spans = [_trimmed(text, a, b) for a, b in pairwise(cuts)]
    return [(a, b) for a, b in spans if b > a]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens(Segmenter):
    """The model's own tokens; tokens that share a character (bytes of one emoji) are one."""

    unit: ClassVar[str] = "token"

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        if encoding is None:
            raise OptionError(
                "unit 'token' asked of a model that is read in text, whose tokens nobody knows; "
                "units that work here: word, sentence, paragraph, passage"
            )
        spans: list[tuple[int, int]] = []
        covered = part.start
        for (start, end), frozen in zip(encoding.offsets.tolist(), encoding.frozen, strict=True):
            if frozen or end <= part.start or start >= part.end:
                continue
            start, end = _trimmed(document.text, max(start, part.start), min(end, part.end))
            if end <= start:
                continue
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans += _inked(document.text, [covered, start])
                spans.append((start, end))
            covered = spans[-1][1]
        return [*spans, *_inked(document.text, [covered, part.end])]


@dataclass(frozen=True, kw_only=True, slots=True)
class Words(Segmenter):
    """Words, and each run of punctuation by itself.

    "don't", "state-of-the-art", "1,250.50", "42 %", "£900" and
    "63-year-old" are one feature each. In scripts
    without spaces (Chinese, Japanese, Thai ...) each grapheme is one. A run of punctuation is a
    feature too, since a question mark can matter; an emoji is one.
    """

    unit: ClassVar[str] = "word"

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        position = part.start
        for match in _WORD.finditer(document.text, part.start, part.end):
            # A combining mark never starts a feature of its own: it belongs to what precedes.
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
            if spans and spans[-1][1] == match.start() and len(sign) == 1 and before == sign:
                spans[-1] = (spans[-1][0], match.end())
            else:
                spans.append(match.span())
        return spans


def _whole_graphemes(
    text: str, part: Part, spans: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Spans joined where a boundary between two would cut a grapheme."""
    bounds = {match.start() for match in _GRAPHEME.finditer(text, part.start, part.end)}
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start not in bounds and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _sentence_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    cuts = [start]
    for match in _SENTENCE_END.finditer(text, start, end):
        stop = match.end()
        if "\n" not in match.group() and _ABBREVIATION.search(text[max(start, stop - 12) : stop]):
            continue
        cuts.append(stop)
    return _inked(text, [*cuts, end])


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentences(Segmenter):
    """Sentences: up to a full stop, question or exclamation mark and what closes it.

    Common abbreviations and single capitals before a dot do not end a sentence; a blank line
    does. A rule without a dictionary: "approx." of an unlisted language may end one.
    """

    unit: ClassVar[str] = "sentence"

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        return _sentence_spans(document.text, part.start, part.end)


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraphs(Segmenter):
    """Paragraphs: blocks of text between blank lines."""

    unit: ClassVar[str] = "paragraph"

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        found = _BLANK_LINE.finditer(document.text, part.start, part.end)
        cuts = [match.end() for match in found]
        return _inked(document.text, [part.start, *cuts, part.end])


@dataclass(frozen=True, kw_only=True, slots=True)
class Passages(Segmenter):
    """Passages: whole sentences, as many as fit in ``words`` words.

    Args:
        words: most words in a passage; a longer sentence is a passage by itself.
    """

    words: int = 100
    unit: ClassVar[str] = "passage"

    def __post_init__(self) -> None:
        if self.words < 1:
            raise OptionError(f"Passages(words={self.words}) asked; words must be 1 or more")

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        count = 0
        for start, end in _sentence_spans(document.text, part.start, part.end):
            size = len(document.text[start:end].split())
            if spans and count + size <= self.words:
                spans[-1] = (spans[-1][0], end)
                count += size
            else:
                spans.append((start, end))
                count = size
        return spans


@dataclass(frozen=True, kw_only=True, slots=True)
class Turns(Segmenter):
    """The parts of the document: chat turns, or the texts of a pair."""

    unit: ClassVar[str] = "turn"

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        return _inked(document.text, [part.start, part.end])


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans(Segmenter):
    """The caller's own spans of characters; everything outside them is always present.

    Args:
        spans: (start, end) pairs, in reading order, without overlap, none crossing a part.
    """

    spans: tuple[tuple[int, int], ...] = field(default=())
    unit: ClassVar[str] = "span"

    def segment(self, document: Document, encoding: Encoding | None = None) -> Segmentation:
        """The features of a document; see :meth:`Segmenter.segment`."""
        open_parts = [part for part in document.parts if not part.frozen]
        previous = 0
        for start, end in self.spans:
            if not any(part.start <= start < end <= part.end for part in open_parts):
                raise OptionError(
                    f"span {start}:{end} is empty or not inside one part of the text "
                    f"({', '.join(f'{p.name} {p.start}:{p.end}' for p in open_parts)})"
                )
            if start < previous:
                raise OptionError(
                    f"span {start}:{end} overlaps the one before it, or stands before it"
                )
            previous = end
        # Named, since super() without arguments fails in a dataclass made anew with slots.
        return Segmenter.segment(self, document, encoding)

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        return [(a, b) for a, b in self.spans if part.start <= a and b <= part.end]


SEGMENTERS: dict[str, type[Segmenter]] = {
    segmenter.unit: segmenter
    for segmenter in (Tokens, Words, Sentences, Paragraphs, Passages, Turns, Spans)
}


def segmenter_by_name(unit: str | Segmenter, **options: Any) -> Segmenter:
    """A segmenter by its unit: token, word, sentence, paragraph, passage, turn, span.

    Raises:
        OptionError: no such unit; the message names the nearest.

    Example:
        >>> segmenter_by_name("word")
        Words()
    """
    if isinstance(unit, Segmenter):
        return unit
    name = unit.casefold()
    name = name if name in SEGMENTERS else name.removesuffix("s")
    if name not in SEGMENTERS:
        raise unknown("unit", unit, SEGMENTERS)
    return SEGMENTERS[name](**options)
