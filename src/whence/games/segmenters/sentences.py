"""Features that are sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from whence.core.features import Document, Part
from whence.games.segmenters.base import Segmenter
from whence.games.segmenters.boundaries import sentence_spans
from whence.models.protocols import Encoding

__all__ = ["Sentences"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentences(Segmenter):
    """Sentences: up to a full stop, question or exclamation mark and what closes it.

    Abbreviations of letters, clinics, courts and companies, and single capitals, do not end a sentence
    where what follows goes on with it. A blank line, the row of a table and an item of a list begin
    one. A rule with lists of English abbreviations: those of a house or of another language are given.

    Args:
        abbreviations: abbreviations, without their last dot, that never end a sentence.
    """

    abbreviations: tuple[str, ...] = ()

    unit: ClassVar[str] = "sentence"
    statements: ClassVar[bool] = True
    rank: ClassVar[int] = 3

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        return sentence_spans(document.text, part.start, part.end, self.abbreviations)
