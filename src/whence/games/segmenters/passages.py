"""Features that are passages: numbered or titled ones, or groups of whole sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from whence.core.errors import OptionError
from whence.core.features import Document, Part
from whence.games.segmenters.base import Segmenter
from whence.games.segmenters.boundaries import nonblank_spans, sentence_spans
from whence.games.segmenters.titles import title_cuts
from whence.models.protocols import Encoding

__all__ = ["Passages"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Passages(Segmenter):
    """Passages: as the text numbers or titles them, else whole sentences that fit in ``words`` words.

    Where two lines or more begin a passage alike (``[1]``, ``Document 2:``, ``Passage 3 (title):``,
    ``<document>``, ``1.``, a heading, a line of dashes), each passage runs to the next such line, at
    any length; what stands before the first, and a question after the last, are passages of their own.

    Args:
        words: most words in a passage without a title; a longer sentence is a passage by itself. The
            default of 100 is chosen by hand.
        titles: whether numbers and titles of passages are looked for.
    """

    words: int = 100
    titles: bool = True
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
        cuts = title_cuts(document.text, part.start, part.end) if self.titles else []
        if cuts:
            return nonblank_spans(document.text, [part.start, *cuts, part.end])
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
