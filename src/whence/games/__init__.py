"""Games: segmenters, maskers, and the value function v(S).

The one place that perturbs, batches, caches and counts. Perturbation methods, metrics and students
evaluate games, so they share one cache.
"""

from whence.games.cache import Cache, MemoryCache
from whence.games.disk_cache import DiskCache
from whence.games.embedding_game import EmbeddingGame
from whence.games.game import FunctionGame, Game
from whence.games.maskers import (
    MASKERS,
    AttentionMask,
    Deletion,
    Masker,
    MaskToken,
    Pad,
    Replacement,
    default_masker,
    masker_by_name,
)
from whence.games.model_game import TextGame, TokenGame
from whence.games.segmenters import (
    SEGMENTERS,
    Paragraphs,
    Passages,
    Segmenter,
    Sentences,
    Spans,
    Tokens,
    Turns,
    Words,
    segmenter_by_name,
)
from whence.games.token_alignment import FeatureTokens, align

__all__ = [
    "MASKERS",
    "SEGMENTERS",
    "AttentionMask",
    "Cache",
    "Deletion",
    "DiskCache",
    "EmbeddingGame",
    "FeatureTokens",
    "FunctionGame",
    "Game",
    "MaskToken",
    "Masker",
    "MemoryCache",
    "Pad",
    "Paragraphs",
    "Passages",
    "Replacement",
    "Segmenter",
    "Sentences",
    "Spans",
    "TextGame",
    "TokenGame",
    "Tokens",
    "Turns",
    "Words",
    "align",
    "default_masker",
    "masker_by_name",
    "segmenter_by_name",
]
