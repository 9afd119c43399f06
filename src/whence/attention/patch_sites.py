"""Where two runs are compared: tokens as features, and the sites in the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from whence.core.attention_record import ReadToken
from whence.core.features import Document, Feature
from whence.models.internals.interventions import HeadReplacement
from whence.models.internals.residual_states import StateReplacement

__all__ = ["Site", "TokenFeature", "token_features", "whole_feature"]


@dataclass(frozen=True, slots=True, eq=False)
class TokenFeature:
    """A feature and its tokens' positions, in the text's stack or in the decoder's."""

    feature: Feature
    positions: Int[np.ndarray, " tokens"]
    decoder: bool


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A part of the model that is taken from one run and put into the other.

    Attributes:
        name: name for a reader; a column of the result.
        layer: path of the module.
        heads: heads of an attention layer; none for the state after a block.
        decoder: whether its tokens are the decoder's.
        donor, base: outputs of the two runs there, for each call: ``[tokens, heads, width]``, a
            state as one head.
    """

    name: str
    layer: str
    heads: tuple[int, ...]
    decoder: bool
    donor: tuple[Float[np.ndarray, "tokens heads width"], ...]
    base: tuple[Float[np.ndarray, "tokens heads width"], ...]

    @property
    def every_position(self) -> Int[np.ndarray, " tokens"]:
        """Every position of the longest call."""
        return np.arange(max(len(call) for call in self.donor))

    def differs(self, positions: Int[np.ndarray, " chosen"]) -> bool:
        """Whether the two runs differ at some of these positions, in any bit."""
        return any(
            not np.array_equal(donor[positions], base[positions])
            for donor, base in zip(self.donor, self.base, strict=True)
        )

    def state_change(self, positions: Int[np.ndarray, " chosen"]) -> tuple[StateReplacement, ...]:
        """The donor's state at some positions."""
        states = tuple(call[:, 0] for call in self.donor)
        return (StateReplacement(block=self.layer, positions=positions, states=states),)

    def head_change(self, positions: Int[np.ndarray, " chosen"]) -> tuple[HeadReplacement, ...]:
        """The donor's outputs of the heads at some positions."""
        return tuple(
            HeadReplacement(
                layer=self.layer,
                head=head,
                outputs=tuple(call[:, index] for call in self.donor),
                queries=positions,
            )
            for index, head in enumerate(self.heads)
        )


def token_features(
    document: Document, tokens: Sequence[ReadToken], decoder: Sequence[ReadToken]
) -> tuple[TokenFeature, ...]:
    """Every token that is read, in order: as a feature of its characters, or of none.

    Tokens that share a character are one. A token of no character (special, or forced after the
    text) is a feature of an empty span whose ``part`` is the token itself.
    """
    groups: list[tuple[int, int, str, list[int]]] = []
    reached = 0
    for index, token in enumerate(tokens):
        if token.end <= token.start:
            groups.append((reached, reached, token.text, [index]))
            continue
        # Byte-level tokenizers divide one character (an emoji, a letter with marks) over several
        # tokens, which all state its span. Such tokens can only be exchanged together.
        if groups and token.start < reached:
            start, _, part, members = groups.pop()
            reached = max(reached, token.end)
            groups.append((start, reached, part, [*members, index]))
            continue
        reached = token.end
        groups.append((token.start, token.end, _part(document, token.start), [index]))
    features = [
        _token_feature(document, slice(start, end), part, members)
        for start, end, part, members in groups
    ]
    end = len(document.text)
    features += [
        _token_feature(document, slice(end, end), token.text, [index], decoder=True)
        for index, token in enumerate(decoder)
    ]
    return tuple(features)


def whole_feature(document: Document) -> Feature:
    """The whole document as one feature."""
    return Feature(start=0, end=len(document.text), text=document.text, part="all")


def _token_feature(
    document: Document, span: slice, part: str, tokens: list[int], *, decoder: bool = False
) -> TokenFeature:
    feature = Feature(start=span.start, end=span.stop, text=document.text[span], part=part)
    return TokenFeature(feature, np.array(tokens, dtype=np.int64), decoder)


def _part(document: Document, position: int) -> str:
    inside = [part.name for part in document.parts if part.start <= position < part.end]
    return inside[0] if inside else "text"
