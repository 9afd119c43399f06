"""Features that are the caller's own spans of characters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from whence.core.errors import OptionError
from whence.core.features import Document, Part, Segmentation
from whence.games.segmenters.base import Segmenter
from whence.models.protocols import Encoding

__all__ = ["Spans"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans(Segmenter):
    """The caller's own spans of characters; everything outside them is always present.

    Args:
        spans: (start, end) pairs, in reading order, without overlap, none crossing a part.
    """

    spans: tuple[tuple[int, int], ...] = field(default=())
    unit: ClassVar[str] = "span"
    statements: ClassVar[bool] = True
    rank: ClassVar[int] = 7

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
