"""Features that are passages of whole sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from whence.core.errors import OptionError
from whence.core.features import Document, Part
from whence.games.segmenters.base import Segmenter
from whence.games.segmenters.boundaries import sentence_spans
from whence.models.protocols import Encoding

__all__ = ["Passages"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Passages(Segmenter):
    """Passages: whole sentences, as many as fit in ``words`` words.

    Args:
        words: most words in a passage; a longer sentence is a passage by itself. The default of 100
            is chosen by hand.
    """

    words: int = 100
    unit: ClassVar[str] = "passage"
    statements: ClassVar[bool] = True
    rank: ClassVar[int] = 5

    def __post_init__(self) -> None:
        if self.words < 1:
            raise OptionError(
                f"expected 1 word or more in a passage, got Passages(words={self.words})"
            )

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        count = 0
        for start, end in sentence_spans(document.text, part.start, part.end):
            # White space alone is counted: a limit on length need not agree with the words of
            # Words.
            size = len(document.text[start:end].split())
            if spans and count + size <= self.words:
                spans[-1] = (spans[-1][0], end)
                count += size
            else:
                spans.append((start, end))
                count = size
        return spans
