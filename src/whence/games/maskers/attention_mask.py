"""Absent tokens stay in place, and nothing attends to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from whence.games.maskers.base import Masker, RowMaker
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, Row, TokenModel

__all__ = ["AttentionMask"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionMask(Masker):
    """Absent tokens stay in place but nothing attends to them."""

    name: ClassVar[str] = "attention-mask"
    describes: ClassVar[str] = "the tokens of an absent feature stay, but nothing attends to them"
    rank: ClassVar[int] = 3

    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """See :meth:`Masker.bind`."""

        def make(coalitions: Bool[np.ndarray, "m n"]) -> list[Row]:
            rows: list[Row] = []
            for coalition in coalitions:
                present = tokens.present(coalition)
                rows.append(
                    Row(
                        ids=encoding.ids,
                        # None and not a mask of ones: the whole text has one key under every
                        # masker, so the cache answers it once.
                        attention=None if present.all() else present,
                        token_types=encoding.token_types,
                    )
                )
            return rows

        return make
