"""The masker for a model where the caller names none."""

from __future__ import annotations

import numpy as np

from whence.games.maskers.base import Masker
from whence.games.maskers.deletion import Deletion
from whence.games.maskers.mask_token import MaskToken
from whence.games.maskers.replacement import Replacement
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Model, TokenModel

__all__ = ["default_masker"]


def default_masker(model: Model, tokens: FeatureTokens | None = None) -> tuple[Masker, str]:
    """The masker for a model where the caller names none, and the reason.

    A model that was trained with a mask token has read it; any other reads shortened text more
    naturally than an invented token. Where deletion would leave nothing at all to read (every
    token belongs to a feature, and there is no start token), features are replaced.

    Args:
        model: model that is asked.
        tokens: tokens of the features, for a model that is read in tokens.
    """
    if not isinstance(model, TokenModel):
        return Deletion(), "the model is read in text"
    vocabulary = model.vocabulary
    if model.task not in ("causal", "seq2seq") and vocabulary.mask_id is not None:
        return MaskToken(), "the model's tokenizer has a mask token"
    if tokens is not None and vocabulary.bos_id is None and bool(np.all(tokens.owner >= 0)):
        return Replacement(), "deletion would leave nothing to read, and there is no start token"
    return Deletion(), "the model was not trained to read a mask token"
