"""Features in token ids: which tokens make up each feature, and widening where they must share.

A feature is a span of characters; a model reads tokens. A token that stands for characters of
two features cannot be removed with one and kept with the other, so such features are made one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from whence.core.features import Segmentation
from whence.models.interface import Encoding

__all__ = ["FeatureTokens", "align"]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTokens:
    """The tokens of each feature.

    Attributes:
        groups: for each feature the indices of its tokens, ascending, none empty, none shared.
        owner: for each token the index of its feature, -1 for tokens of none (frozen ones, and
            those that stand for characters outside every feature).
    """

    groups: tuple[Int[np.ndarray, " tokens"], ...]
    owner: Int[np.ndarray, " all_tokens"]

    def present(self, coalition: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " all_tokens"]:
        """Which tokens are present when these features are; tokens of no feature always are."""
        padded = np.append(coalition, True)
        return padded[self.owner]


def align(
    segmentation: Segmentation, encoding: Encoding
) -> tuple[Segmentation, FeatureTokens]:
    """Tie a segmentation to tokens: merge features that share one, set aside what has none.

    Returns the segmentation that can really be perturbed (features widened where they share a
    token, features without any token moved to ``unread``), and its tokens.
    """
    raise NotImplementedError
