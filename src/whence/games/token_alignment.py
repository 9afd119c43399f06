"""The tokens of each feature; features that share a token become one.

A feature is a span of characters; a model reads tokens. A token that stands for characters of
two features cannot be removed with one and kept with the other, so such features are made one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from whence.core.errors import InputError
from whence.core.features import Feature, Segmentation, Span
from whence.models.protocols import Encoding

__all__ = ["FeatureTokens", "align"]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTokens:
    """The tokens of each feature.

    Attributes:
        groups: for each feature the indices of its tokens, ascending, none empty, none shared.
        owner: for each token the index of its feature, -1 for tokens of none (frozen ones, and
            those that stand for characters outside every feature).
        anchors: tokens at which the model is read, each in its own place: the word that is labelled,
            the mask token that is filled. Never taken out of a row.
    """

    groups: tuple[Int[np.ndarray, " _"], ...]
    owner: Int[np.ndarray, " all_tokens"]
    anchors: Int[np.ndarray, " anchors"] = field(default_factory=lambda: np.empty(0, np.int64))

    def anchored(self, readout: Any) -> FeatureTokens:
        """The same features, with the tokens at which a readout reads, if it reads at any."""
        anchors = np.array(getattr(readout, "anchors", ()), dtype=np.int64)
        return replace(self, anchors=anchors)

    def places(self, index: Int[np.ndarray, " row"]) -> Int[np.ndarray, " anchors"] | None:
        """Where the anchors stand in a row of these tokens; ``None`` for the tokens as they are.

        An absent anchor whose place was given to another text is read where that text begins: at
        the first token of its feature.
        """
        if self.anchors.size == 0 or np.array_equal(index, np.arange(len(self.owner))):
            return None
        read = self.anchors.copy()
        for place, anchor in enumerate(self.anchors.tolist()):
            if anchor not in index:
                read[place] = self.groups[int(self.owner[anchor])][0]
        return np.searchsorted(index, read)

    def present(self, coalition: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " all_tokens"]:
        """Which tokens are present when these features are; tokens of no feature always are."""
        # An owner of -1, no feature, reads the True that is appended last.
        return np.append(coalition, True)[self.owner]


def align(segmentation: Segmentation, encoding: Encoding) -> tuple[Segmentation, FeatureTokens]:
    """Tie a segmentation to tokens: merge features that share one, set aside what has none.

    - A token belongs to the feature it shares a character with, white space not counting where
      the token has any other character.
    - A token that shares characters with several features makes them one, with everything between
      them. Frozen tokens do not: characters read only through them are unread.
    - A token of white space, or of no character at all (a word-start mark, a piece of a
      multi-byte character), goes with the feature that begins next in its part, else with the
      one before, so that a removed word takes its space along.
    - A feature that no token is left for moves to ``unread``: the model never sees it.

    Raises:
        InputError: no feature is left that the model reads.
    """
    document = segmentation.document
    size = len(document.text)
    feature_of = np.full(size + 1, -1, dtype=np.int64)
    for index, feature in enumerate(segmentation.features):
        feature_of[feature.start : feature.end] = index
    # Byte-level and SentencePiece tokens begin with the space before their word; if it counted,
    # every word would share a token with the feature that the space belongs to.
    blank = np.fromiter((c.isspace() for c in document.text), dtype=bool, count=size)

    # joined[i]: features i and i + 1 are one. Whatever lies between the first and the last owner of
    # a token is joined too, so that a merged feature is one span of the text.
    joined = np.zeros(max(0, len(segmentation.features) - 1), dtype=bool)
    touched: list[int] = [-1] * len(encoding.ids)
    loose: list[int] = []
    for token, (start, end) in enumerate(encoding.offsets.tolist()):
        if encoding.frozen[token]:
            continue
        inked = np.flatnonzero(~blank[start:end]) + start
        if inked.size == 0:
            loose.append(token)
            continue
        owners = np.unique(feature_of[inked])
        owners = owners[owners >= 0]
        if owners.size == 0:
            continue
        joined[int(owners[0]) : int(owners[-1])] = True
        touched[token] = int(owners[0])
    for token in loose:
        touched[token] = _neighbour(token, segmentation, encoding, touched)

    # What is joined lies side by side: a new group begins wherever two neighbours are not.
    group = np.concatenate([[0], np.cumsum(~joined)])
    members: dict[int, list[int]] = {}
    for token, feature in enumerate(touched):
        if feature >= 0:
            members.setdefault(int(group[feature]), []).append(token)
    return _merged(segmentation, encoding, group, members)


def _neighbour(
    token: int, segmentation: Segmentation, encoding: Encoding, touched: list[int]
) -> int:
    """The feature a token without ink goes with: of the next token that has one, or the last.

    Never across a frozen token, a token that is in no feature, or the end of a part.
    """
    parts = segmentation.document.parts
    here = _part(parts, int(encoding.offsets[token, 0]))
    # Forwards first: nearly all tokenizers put a space or word-start mark before its word.
    for step in (1, -1):
        at = token + step
        # touched is written while this runs: a loose token may lean on another before it, which has
        # its feature by then.
        while 0 <= at < len(touched) and not encoding.frozen[at]:
            start, end = encoding.offsets[at].tolist()
            if _part(parts, int(start)) != here:
                break
            if touched[at] >= 0:
                return touched[at]
            if segmentation.document.text[start:end].strip():
                break
            at += step
    return -1


def _part(parts: tuple[object, ...], position: int) -> int:
    for index, part in enumerate(parts):
        if getattr(part, "start", 0) <= position < getattr(part, "end", 0):
            return index
    return -1


def _merged(
    segmentation: Segmentation,
    encoding: Encoding,
    group: Int[np.ndarray, " features"],
    members: dict[int, list[int]],
) -> tuple[Segmentation, FeatureTokens]:
    document = segmentation.document
    spans: dict[int, list[Feature]] = {}
    for index, feature in enumerate(segmentation.features):
        spans.setdefault(int(group[index]), []).append(feature)
    features: list[Feature] = []
    groups: list[np.ndarray] = []
    unread = list(segmentation.unread)
    owner = np.full(len(encoding.ids), -1, dtype=np.int64)
    for place, pieces in sorted(spans.items()):
        start, end = pieces[0].start, pieces[-1].end
        if place not in members:
            unread.append(Span(start=start, end=end))
            continue
        tokens = np.array(members[place], dtype=np.int64)
        owner[tokens] = len(features)
        groups.append(tokens)
        text = document.text[start:end]
        features.append(Feature(start=start, end=end, text=text, part=pieces[0].part))
    if not features:
        raise InputError(
            "the model reads none of the text's features: it holds only special tokens, or "
            f"characters its tokenizer drops ({document.text[:40]!r}). There is nothing to explain."
        )
    merged = Segmentation(
        unit=segmentation.unit,
        document=document,
        features=tuple(features),
        unread=tuple(sorted(unread, key=lambda span: span.start)),
    )
    return merged, FeatureTokens(groups=tuple(groups), owner=owner)
