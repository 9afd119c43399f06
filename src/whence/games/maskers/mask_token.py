"""Absent tokens become the tokenizer's mask token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from whence.games.maskers.base import Masker, RowMaker
from whence.games.maskers.substitution import substitute
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, Model, TokenModel

__all__ = ["MaskToken"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskToken(Masker):
    """Each absent token becomes the tokenizer's mask token."""

    name: ClassVar[str] = "mask-token"
    describes: ClassVar[str] = "each token of an absent feature is replaced by the mask token"
    needs: ClassVar[str] = "a tokenizer with a mask token"
    rank: ClassVar[int] = 1

    @classmethod
    def works_with(cls, model: Model) -> bool:
        """See :meth:`Masker.works_with`."""
        return isinstance(model, TokenModel) and model.vocabulary.mask_id is not None

    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """See :meth:`Masker.bind`."""
        token = model.vocabulary.mask_id
        if token is None:
            self.refuse(
                model,
                f"needs a mask token; the tokenizer of {model.identity.ref} has none, and none is "
                "added to it",
            )
        return substitute(encoding, tokens, token)
