"""Absent tokens become the tokenizer's pad token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from whence.games.maskers.base import Masker, RowMaker
from whence.games.maskers.substitution import substitute
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, Model, TokenModel

__all__ = ["Pad"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pad(Masker):
    """Each absent token becomes the tokenizer's pad token, and is still attended to."""

    name: ClassVar[str] = "pad"
    describes: ClassVar[str] = "each token of an absent feature is replaced by the pad token"
    needs: ClassVar[str] = "a tokenizer with a pad token"
    rank: ClassVar[int] = 5

    @classmethod
    def works_with(cls, model: Model) -> bool:
        """See :meth:`Masker.works_with`."""
        return isinstance(model, TokenModel) and model.vocabulary.pad_id is not None

    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """See :meth:`Masker.bind`."""
        token = model.vocabulary.pad_id
        if token is None:
            self.refuse(
                model,
                f"needs a pad token; the tokenizer of {model.identity.ref} has none, and none is "
                "added to it",
            )
        return substitute(encoding, tokens, token)
