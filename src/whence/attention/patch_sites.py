"""The places at which two runs are compared: tokens as features, and the sites in the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from whence.core.attention_record import ReadToken
from whence.core.features import Document, Feature

__all__ = ["Place", "Site", "token_places", "whole_feature"]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A feature and its tokens' positions, in the text's stack or in the decoder's."""

    feature: Feature
    positions: Int[np.ndarray, " chosen"]
    decoder: bool


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """What is taken from one run and put into the other: a state, a head, or a layer's heads.

    Attributes:
        name: for a reader; a column of the result.
        layer: the module's path.
        heads: which heads; none for a state.
        decoder: whether its tokens are the decoder's.
        donor, base: what the two runs hold there, for each call: ``[tokens, heads, width]``, a
            state as one head.
    """

    name: str
    layer: str
    heads: tuple[int, ...]
    decoder: bool
    donor: tuple[Float[np.ndarray, "tokens heads width"], ...]
    base: tuple[Float[np.ndarray, "tokens heads width"], ...]

    @property
    def everywhere(self) -> Int[np.ndarray, " tokens"]:
        """Every position of the longest call."""
        return np.arange(max(len(call) for call in self.donor))

    def differs(self, positions: Int[np.ndarray, " chosen"]) -> bool:
        """Whether the two runs differ at some of these positions, in any bit."""
        return any(
            not np.array_equal(donor[positions], base[positions])
            for donor, base in zip(self.donor, self.base, strict=True)
        )


def token_places(
    document: Document, tokens: Sequence[ReadToken], decoder: Sequence[ReadToken]
) -> tuple[Place, ...]:
    """Every token that is read, in order: as a feature of its characters, or of none.

    Tokens that share a character are one. A token of no character (special, or forced after the
    text) is a feature of an empty span whose ``part`` is the token itself.
    """
    places: list[tuple[int, int, str, list[int]]] = []
    reached = 0
    for index, token in enumerate(tokens):
        if token.end <= token.start:
            places.append((reached, reached, token.text, [index]))
            continue
        if places and token.start < reached:
            start, _, part, held = places.pop()
            reached = max(reached, token.end)
            places.append((start, reached, part, [*held, index]))
            continue
        reached = token.end
        places.append((token.start, token.end, _part(document, token.start), [index]))
    found = [_place(document, *place, decoder=False) for place in places]
    end = len(document.text)
    found += [
        _place(document, end, end, token.text, [index], decoder=True)
        for index, token in enumerate(decoder)
    ]
    return tuple(found)


def whole_feature(document: Document) -> Feature:
    """The whole document as one feature."""
    return Feature(start=0, end=len(document.text), text=document.text, part="all")


def _place(
    document: Document, start: int, end: int, part: str, tokens: list[int], *, decoder: bool
) -> Place:
    feature = Feature(start=start, end=end, text=document.text[start:end], part=part)
    return Place(feature, np.array(tokens, dtype=np.int64), decoder)


def _part(document: Document, position: int) -> str:
    inside = [part.name for part in document.parts if part.start <= position < part.end]
    return inside[0] if inside else "text"
