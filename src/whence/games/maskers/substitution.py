"""Rows in which each absent token is replaced by one special token of the tokenizer."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from whence.games.maskers.base import RowMaker
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, Row

__all__ = ["substitute"]


def substitute(encoding: Encoding, tokens: FeatureTokens, token: int) -> RowMaker:
    """A function from coalitions to rows with one token id in place of every absent token."""

    def make(coalitions: Bool[np.ndarray, "m n"]) -> list[Row]:
        return [
            Row(
                ids=np.where(tokens.present(coalition), encoding.ids, token),
                token_types=encoding.token_types,
            )
            for coalition in coalitions
        ]

    return make
