"""Features that are the model's own tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from whence.core.errors import OptionError
from whence.core.features import Document, Part
from whence.games.segmenters.base import SEGMENTERS, Segmenter
from whence.games.segmenters.boundaries import nonblank_spans, trimmed
from whence.models.protocols import Encoding

__all__ = ["Tokens"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens(Segmenter):
    """The model's own tokens; tokens that share a character (bytes of one emoji) are one."""

    unit: ClassVar[str] = "token"
    rank: ClassVar[int] = 1

    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        if encoding is None:
            others = ", ".join(unit for unit in SEGMENTERS if unit != self.unit)
            raise OptionError(
                "unit 'token' needs the tokens of a model; this one is read in text. "
                f"Units that work here: {others}"
            )
        spans: list[tuple[int, int]] = []
        covered = part.start
        for (start, end), frozen in zip(encoding.offsets.tolist(), encoding.frozen, strict=True):
            if frozen or end <= part.start or start >= part.end:
                continue
            start, end = trimmed(document.text, max(start, part.start), min(end, part.end))
            if end <= start:
                continue
            # Byte-level tokenizers give each byte of a character the offsets of the whole
            # character.
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                # Characters that the tokenizer dropped are in no token. As features they come to be
                # listed as unread; left out, a reader could not know that the model never saw them.
                spans += nonblank_spans(document.text, [covered, start])
                spans.append((start, end))
            covered = spans[-1][1]
        return [*spans, *nonblank_spans(document.text, [covered, part.end])]
