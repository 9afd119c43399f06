"""Absent features become a fixed text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from whence.core.errors import OptionError
from whence.core.features import Document, Segmentation
from whence.games.maskers.base import Masker, RowMaker, TextMaker
from whence.games.maskers.texts import text_maker
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, Row, TextModel, TokenModel

__all__ = ["Replacement"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Replacement(Masker):
    """Each absent feature becomes a fixed text.

    Args:
        text: text read in place of each absent feature; a model read in tokens needs one token
            of it at least.
    """

    text: str = "..."
    name: ClassVar[str] = "replacement"
    describes: ClassVar[str] = "each absent feature is replaced by a fixed text"
    rank: ClassVar[int] = 4

    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """See :meth:`Masker.bind`."""
        stand_in = model.tokenize(self.text)
        if len(stand_in) == 0:
            raise OptionError(
                f"expected a replacement text with a token, got {self.text!r}; use masker 'deletion'"
            )
        # Groups ascend, so the first is the one that stands first in the text.
        heads = np.array([group[0] for group in tokens.groups])

        def make(coalitions: Bool[np.ndarray, "m n"]) -> list[Row]:
            rows: list[Row] = []
            for coalition in coalitions:
                present = tokens.present(coalition)
                # How often each token is read: absent ones not at all, save that the first of
                # each absent feature makes room for the stand-in.
                times = present.astype(np.int64)
                absent_heads = heads[~coalition]
                times[absent_heads] = len(stand_in)
                index = np.repeat(np.arange(len(encoding.ids)), times)
                ids = encoding.ids[index]
                # Every stand-in is the same run of ids, so it does not matter which feature each
                # belongs to.
                ids[~present[index]] = np.tile(stand_in, len(absent_heads))
                types = encoding.token_types
                rows.append(
                    Row(
                        ids=ids,
                        token_types=None if types is None else types[index],
                        places=tokens.places(index),
                    )
                )
            return rows

        return make

    def bind_text(
        self, model: TextModel, document: Document, segmentation: Segmentation
    ) -> TextMaker:
        """See :meth:`Masker.bind_text`."""
        return text_maker(document, segmentation, self.text)
