"""What is scored: spans of the input's characters. Characters are the truth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from whence.core.errors import InputError
from whence.core.record import Value

__all__ = ["Document", "Feature", "Part", "Segmentation", "Span"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Span(Value):
    """Characters ``start`` (included) to ``end`` (excluded) of a text."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"span {self.start}:{self.end} is not an interval of characters")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part(Value):
    """One part of a document: the first text of a pair, a chat turn, a passage.

    ``frozen`` parts (the glue of a chat template) are read by the model but never removed.
    """

    name: str
    start: int
    end: int
    frozen: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Document(Value):
    """The characters that are explained, and the parts they fall into, in order.

    A plain text is one part. The texts of a pair are joined by one line break that belongs to
    neither. A conversation is the text its template renders, with each turn's content a part.

    Example:
        >>> Document.plain("a b").parts[0].end
        3
    """

    text: str
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        for part in self.parts:
            if not 0 <= part.start <= part.end <= len(self.text):
                raise ValueError(f"part {part.name!r} lies outside the text")
        for left, right in pairwise(self.parts):
            if right.start < left.end:
                raise ValueError(f"parts {left.name!r} and {right.name!r} overlap")

    @classmethod
    def plain(cls, text: str, name: str = "text") -> Document:
        """A document of one part."""
        return cls(text=text, parts=(Part(name=name, start=0, end=len(text)),))

    @classmethod
    def join(cls, named: dict[str, str]) -> Document:
        """A document of several texts, joined by one line break each."""
        parts: list[Part] = []
        position = 0
        for name, text in named.items():
            parts.append(Part(name=name, start=position, end=position + len(text)))
            # One more for the line break, which belongs to no part: features of two texts can then
            # never touch.
            position += len(text) + 1
        return cls(text="\n".join(named.values()), parts=tuple(parts))

    def between(self, start: int, end: int) -> str:
        """Characters between two features, with one line break for each frozen part among them."""
        pieces: list[str] = []
        for part in self.parts:
            if part.frozen and part.start < end and part.end > start:
                pieces += [self.text[start : max(start, part.start)], "\n"]
                start = min(part.end, end)
        return "".join([*pieces, self.text[start:end]])

    def require_encodable(self) -> None:
        """Refuse a lone surrogate: half of a UTF-16 pair, which no tokenizer can read.

        Raises:
            InputError: with the first offending position.
        """
        for position, character in enumerate(self.text):
            # Surrogates: Python's strings may hold them, as after errors="surrogateescape"; UTF-8
            # and so every tokenizer may not.
            if "\ud800" <= character <= "\udfff":
                raise InputError(
                    f"the text holds a lone surrogate U+{ord(character):04X} at character "
                    f"{position}: half of a character, as when a file is decoded wrongly. "
                    "Read the source as UTF-8 with errors='replace', or remove it."
                )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Feature(Value):
    """A span of characters that is scored, and removed, as one. ``part`` names where it lies."""

    start: int
    end: int
    text: str
    part: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Segmentation(Value):
    """The features of a document, in reading order, without overlap.

    Characters in no feature are never removed; ``unread`` lists the spans that lie in a
    perturbable part but reach no token of the model (white space apart), so that removing them
    could change nothing.
    """

    unit: str
    document: Document
    features: tuple[Feature, ...]
    unread: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        for feature in self.features:
            # Kept twice on purpose: a record whose text was changed, or counted in bytes, is
            # refused here.
            if self.document.text[feature.start : feature.end] != feature.text:
                raise ValueError(f"feature {feature.text!r} is not at {feature.start}")
        for left, right in pairwise(self.features):
            if right.start < left.end:
                raise ValueError(f"features {left.text!r} and {right.text!r} overlap")

    def __len__(self) -> int:
        return len(self.features)
