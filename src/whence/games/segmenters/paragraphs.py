"""Features that are paragraphs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import regex

from whence.core.features import Document, Part
from whence.games.segmenters.base import Segmenter
from whence.games.segmenters.boundaries import nonblank_spans
from whence.models.protocols import Encoding

__all__ = ["Paragraphs"]

_BLANK_LINE = regex.compile(r"\n[ \t]*\n\s*|\r\n[ \t]*\r\n\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraphs(Segmenter):
    """Paragraphs: blocks of text between blank lines."""

    unit: ClassVar[str] = "paragraph"
    statements: ClassVar[bool] = True
    rank: ClassVar[int] = 4

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        blank_lines = _BLANK_LINE.finditer(document.text, part.start, part.end)
        cuts = [match.end() for match in blank_lines]
        return nonblank_spans(document.text, [part.start, *cuts, part.end])
