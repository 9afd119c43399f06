"""Features that are the parts of a document: turns of a chat, texts of a pair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from whence.core.features import Document, Part
from whence.games.segmenters.base import Segmenter
from whence.games.segmenters.boundaries import nonblank_spans
from whence.models.protocols import Encoding

__all__ = ["Turns"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Turns(Segmenter):
    """The parts of the document: chat turns, or the texts of a pair."""

    unit: ClassVar[str] = "turn"
    statements: ClassVar[bool] = True
    rank: ClassVar[int] = 6

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        return nonblank_spans(document.text, [part.start, part.end])
