"""Texts with features left out or replaced, for models that are read in text."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from whence.core.features import Document, Segmentation
from whence.games.maskers.base import TextMaker

__all__ = ["text_maker"]


def text_maker(document: Document, segmentation: Segmentation, stand_in: str | None) -> TextMaker:
    """A function from coalitions to texts; without a stand-in a feature goes with its white space."""
    gaps: list[str] = []
    position = 0
    for feature in segmentation.features:
        gaps.append(document.text[position : feature.start])
        position = feature.end
    tail = document.text[position:]

    def make(coalitions: Bool[np.ndarray, "m n"]) -> list[str]:
        texts: list[str] = []
        for coalition in coalitions:
            pieces: list[str] = []
            for gap, feature, present in zip(gaps, segmentation.features, coalition, strict=True):
                if present:
                    pieces += [gap, feature.text]
                elif stand_in is not None:
                    pieces += [gap, stand_in]
                else:
                    # With the caller's own spans a gap holds text that is no feature; its white
                    # space alone goes, so that "a b c" without b is "a c" and not "a  c".
                    pieces.append(gap.rstrip())
            texts.append("".join(pieces) + tail)
        return texts

    return make
