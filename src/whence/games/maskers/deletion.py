"""Absent features are taken out of the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from whence.core.features import Document, Segmentation
from whence.games.maskers.base import Masker, RowMaker, TextMaker
from whence.games.maskers.texts import text_maker
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, Row, TextModel, TokenModel

__all__ = ["Deletion"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletion(Masker):
    """Absent features are taken out, and what follows moves up.

    A token at which the model is read (the word that is labelled) leaves the mask token in its place,
    or the unknown one; without either it stays as it is.
    """

    name: ClassVar[str] = "deletion"
    describes: ClassVar[str] = "absent features are deleted, and the text after them moves up"
    needs: ClassVar[str] = "a start token, where nothing else would be left"
    rank: ClassVar[int] = 2

    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """See :meth:`Masker.bind`."""
        start = self._start_row(model, tokens)
        types = encoding.token_types
        vocabulary = model.vocabulary
        stand_in = vocabulary.unknown_id if vocabulary.mask_id is None else vocabulary.mask_id

        def make(coalitions: Bool[np.ndarray, "m n"]) -> list[Row]:
            rows: list[Row] = []
            for coalition in coalitions:
                present = tokens.present(coalition)
                if start is not None and not present.any():
                    rows.append(start)
                    continue
                ids = encoding.ids
                if tokens.anchors.size and stand_in is not None:
                    ids = np.where(present, ids, stand_in)
                present[tokens.anchors] = True
                rows.append(
                    Row(
                        ids=ids[present],
                        token_types=None if types is None else types[present],
                        places=tokens.places(np.flatnonzero(present)),
                    )
                )
            return rows

        return make

    def _start_row(self, model: TokenModel, tokens: FeatureTokens) -> Row | None:
        """The start token alone, read where deletion leaves nothing; ``None`` where it never does."""
        # A token of no feature is never deleted, so with one of them something is always left.
        if tokens.anchors.size or not np.all(tokens.owner >= 0):
            return None
        start = model.vocabulary.bos_id
        if start is None:
            self.refuse(
                model,
                f"leaves {model.identity.ref} nothing to read when every feature is absent, and it "
                "has no start token",
            )
        return Row(ids=np.array([start], dtype=np.int64))

    def bind_text(
        self, model: TextModel, document: Document, segmentation: Segmentation
    ) -> TextMaker:
        """See :meth:`Masker.bind_text`; a deleted feature takes the white space before it."""
        return text_maker(document, segmentation, None)
