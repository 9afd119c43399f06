"""Small edits that leave a text's meaning: an explanation should survive them.

Every edit is drawn from a seed, says what it did, and touches words only outside those that the
explanation marks: what happens when the marked words change is another question.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from whence.core.errors import OptionError, unknown
from whence.core.features import Document, Segmentation
from whence.games.question import source_of
from whence.models.interface import Input

__all__ = ["EDITS", "Change", "Neutral", "TextEdit", "Typo", "edit_by_name"]

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """An edited input, and in words what was done to it."""

    source: Input
    did: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TextEdit(ABC):
    """Base of all edits; subclasses are final."""

    name: ClassVar[str]

    @abstractmethod
    def apply(
        self, segmentation: Segmentation, spared: Collection[int], rng: np.random.Generator
    ) -> Change | None:
        """Edit a document once; ``None`` where it offers no place for it.

        Args:
            segmentation: the document and its features.
            spared: indices of features that must stay as they are.
            rng: draws the place and the kind.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Typo(TextEdit):
    """One slip of the fingers in a word of four letters or more: swap, drop, double, next key."""

    name: ClassVar[str] = "typo"

    def apply(
        self, segmentation: Segmentation, spared: Collection[int], rng: np.random.Generator
    ) -> Change | None:
        """See :meth:`TextEdit.apply`."""
        places = [
            (feature.start + offset, feature.start + end)
            for index, feature in enumerate(segmentation.features)
            if index not in spared
            for offset, end in _words(feature.text)
            if end - offset >= 4
        ]
        if not places:
            return None
        start, end = places[rng.integers(len(places))]
        word = segmentation.document.text[start:end]
        slipped = _slip(word, rng)
        did = f"{word!r} became {slipped!r}"
        return Change(_replaced(segmentation.document, start, end, slipped), did)


def _words(text: str) -> list[tuple[int, int]]:
    """Runs of letters."""
    runs: list[tuple[int, int]] = []
    start = None
    for position, character in enumerate(text + " "):
        if character.isalpha():
            start = position if start is None else start
        elif start is not None:
            runs.append((start, position))
            start = None
    return runs


def _slip(word: str, rng: np.random.Generator) -> str:
    """Never at the first letter, where people seldom slip, and never without effect."""
    at = int(rng.integers(1, len(word) - 1))
    kinds = ["drop", "double", "key"]
    if word[at] != word[at + 1]:
        kinds.append("swap")
    kind = kinds[rng.integers(len(kinds))]
    if kind == "swap":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    near = _neighbours(word[at]) if kind == "key" else ""
    if near:
        return word[:at] + near[rng.integers(len(near))] + word[at + 1 :]
    return word[: at + 1] + word[at:]


def _neighbours(letter: str) -> str:
    """The keys beside a letter on a QWERTY keyboard; none for other letters."""
    for row in _ROWS:
        at = row.find(letter.lower())
        if at >= 0:
            found = row[max(0, at - 1) : at] + row[at + 1 : at + 2]
            return found.upper() if letter.isupper() else found
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Neutral(TextEdit):
    """One change that says nothing: a doubled space, a space at the end, a full stop, a greeting.

    Args:
        openings: sentences to put before the text, one of which is drawn.
    """

    openings: tuple[str, ...] = ("Please read this.", "Here is the text.", "As follows:")
    name: ClassVar[str] = "neutral"

    def apply(
        self, segmentation: Segmentation, spared: Collection[int], rng: np.random.Generator
    ) -> Change | None:
        """See :meth:`TextEdit.apply`."""
        document = segmentation.document
        part = next((part for part in document.parts if not part.frozen), None)
        if part is None or part.start == part.end:
            return None
        kinds = ["space", "opening"]
        if document.text[part.end - 1].isalnum():
            kinds.append("stop")
        blanks = [i for i in range(part.start, part.end) if document.text[i] == " "]
        if blanks:
            kinds.append("blank")
        kind = kinds[rng.integers(len(kinds))]
        if kind == "space":
            return Change(_replaced(document, part.end, part.end, " "), "a space at the end")
        if kind == "stop":
            return Change(_replaced(document, part.end, part.end, "."), "a full stop at the end")
        if kind == "blank":
            at = blanks[rng.integers(len(blanks))]
            return Change(_replaced(document, at, at, " "), f"a doubled space at character {at}")
        opening = self.openings[rng.integers(len(self.openings))]
        return Change(
            _replaced(document, part.start, part.start, opening + " "), f"{opening!r} put before"
        )


def _replaced(document: Document, start: int, end: int, text: str) -> Input:
    """The input with some characters replaced; they lie in one part that is not frozen."""
    source = source_of(document)
    parts = [part for part in document.parts if not part.frozen]
    for index, part in enumerate(parts):
        if part.start <= start and end <= part.end:
            whole = document.text
            edited = whole[part.start : start] + text + whole[end : part.end]
            if isinstance(source, str):
                return whole[: part.start] + edited + whole[part.end :]
            if isinstance(source, tuple):
                first, second = cast("tuple[str, str]", source)
                return (edited, second) if index == 0 else (first, edited)
            changed = [dict(message) for message in source]
            changed[index]["content"] = edited
            return changed
    raise OptionError(f"characters {start}:{end} lie in no part of the text that may be changed")


EDITS: dict[str, type[TextEdit]] = {edit.name: edit for edit in (Typo, Neutral)}


def edit_by_name(name: str | TextEdit) -> TextEdit:
    """An edit by its name.

    Raises:
        OptionError: no such edit; the message names the nearest.

    Example:
        >>> edit_by_name("typo")
        Typo()
    """
    if isinstance(name, TextEdit):
        return name
    if name.casefold() not in EDITS:
        raise unknown("edit", name, EDITS)
    return EDITS[name.casefold()]()
