"""Maskers, one a file: how the absence of a feature is made.

A masker answers one question, and the answer changes every score: what does the model read in
place of what is absent? Every record names its masker. None edits a model, tokenizer or
vocabulary.
"""

from whence.games.maskers.attention_mask import AttentionMask
from whence.games.maskers.base import MASKERS, Masker, masker_by_name
from whence.games.maskers.default import default_masker
from whence.games.maskers.deletion import Deletion
from whence.games.maskers.mask_token import MaskToken
from whence.games.maskers.pad import Pad
from whence.games.maskers.replacement import Replacement

__all__ = [
    "MASKERS",
    "AttentionMask",
    "Deletion",
    "MaskToken",
    "Masker",
    "Pad",
    "Replacement",
    "default_masker",
    "masker_by_name",
]
