"""Maskers: how the absence of a feature is made. None edits a model, tokenizer or vocabulary.

A masker answers one question, and the answer changes every score: what does the model read in
place of what is absent? Every record names its masker.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from whence.core.errors import CapabilityError, OptionError, unknown
from whence.core.features import Document, Segmentation
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, Model, Row, TextModel, TokenModel

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

RowMaker = Callable[[Bool[np.ndarray, "m n"]], list[Row]]
TextMaker = Callable[[Bool[np.ndarray, "m n"]], list[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Masker(ABC):
    """Base of all maskers; subclasses are final."""

    name: ClassVar[str]
    describes: ClassVar[str]
    """What absence means, as a sentence for a reader."""

    @abstractmethod
    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """A function from coalitions to rows of token ids, for one input.

        All features present gives the encoding's own ids, exactly.

        Raises:
            CapabilityError: the model lacks what this masker needs.
        """

    def bind_text(
        self, model: TextModel, document: Document, segmentation: Segmentation
    ) -> TextMaker:
        """A function from coalitions to texts, for one input of a model that is read in text.

        Raises:
            CapabilityError: this masker works on tokens only.
        """
        raise CapabilityError(
            f"masker {self.name!r} works on tokens; {model.identity.ref} is read in text. "
            f"Maskers that work here: {Deletion.name}, {Replacement.name}"
        )


def _with_special(model: TokenModel) -> str:
    vocabulary = model.vocabulary
    there = [Deletion.name, AttentionMask.name, Replacement.name]
    if vocabulary.mask_id is not None:
        there.append(MaskToken.name)
    if vocabulary.pad_id is not None:
        there.append(Pad.name)
    return ", ".join(there)


def _substitute(encoding: Encoding, tokens: FeatureTokens, new_id: int) -> RowMaker:
    def make(coalitions: Bool[np.ndarray, "m n"]) -> list[Row]:
        return [
            Row(
                ids=np.where(tokens.present(coalition), encoding.ids, new_id),
                token_types=encoding.token_types,
            )
            for coalition in coalitions
        ]

    return make


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskToken(Masker):
    """Each absent token becomes the tokenizer's mask token."""

    name: ClassVar[str] = "mask-token"
    describes: ClassVar[str] = "each token of an absent feature is replaced by the mask token"

    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """See :meth:`Masker.bind`."""
        mask_id = model.vocabulary.mask_id
        if mask_id is None:
            raise CapabilityError(
                f"masker {self.name!r} asked; the tokenizer of {model.identity.ref} has no mask "
                f"token, and none is added to it. Maskers that work here: {_with_special(model)}"
            )
        return _substitute(encoding, tokens, mask_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pad(Masker):
    """Each absent token becomes the tokenizer's pad token, and is still attended to."""

    name: ClassVar[str] = "pad"
    describes: ClassVar[str] = "each token of an absent feature is replaced by the pad token"

    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """See :meth:`Masker.bind`."""
        pad_id = model.vocabulary.pad_id
        if pad_id is None:
            raise CapabilityError(
                f"masker {self.name!r} asked; the tokenizer of {model.identity.ref} has no pad "
                f"token, and none is added to it. Maskers that work here: {_with_special(model)}"
            )
        return _substitute(encoding, tokens, pad_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionMask(Masker):
    """Absent tokens stay in place but nothing attends to them."""

    name: ClassVar[str] = "attention-mask"
    describes: ClassVar[str] = "the tokens of an absent feature stay, but nothing attends to them"

    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """See :meth:`Masker.bind`."""

        def make(coalitions: Bool[np.ndarray, "m n"]) -> list[Row]:
            rows: list[Row] = []
            for coalition in coalitions:
                seen = tokens.present(coalition)
                rows.append(
                    Row(
                        ids=encoding.ids,
                        attention=None if seen.all() else seen,
                        token_types=encoding.token_types,
                    )
                )
            return rows

        return make


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletion(Masker):
    """Absent features are taken out, and what follows moves up."""

    name: ClassVar[str] = "deletion"
    describes: ClassVar[str] = "absent features are deleted, and the text after them moves up"

    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """See :meth:`Masker.bind`."""
        alone = self._alone(model, tokens)

        def make(coalitions: Bool[np.ndarray, "m n"]) -> list[Row]:
            rows: list[Row] = []
            for coalition in coalitions:
                kept = tokens.present(coalition)
                if alone is not None and not kept.any():
                    rows.append(alone)
                    continue
                types = encoding.token_types
                rows.append(
                    Row(
                        ids=encoding.ids[kept],
                        token_types=None if types is None else types[kept],
                    )
                )
            return rows

        return make

    def _alone(self, model: TokenModel, tokens: FeatureTokens) -> Row | None:
        """The row of the empty coalition, where it keeps no token: a model cannot read nothing."""
        if not np.all(tokens.owner >= 0):
            return None
        start = model.vocabulary.bos_id
        if start is None:
            raise CapabilityError(
                f"masker {self.name!r} leaves {model.identity.ref} nothing to read when every "
                "feature is absent, and it has no start token. Maskers that work here: "
                f"{_with_special(model).replace(self.name + ', ', '')}"
            )
        return Row(ids=np.array([start], dtype=np.int64))

    def bind_text(
        self, model: TextModel, document: Document, segmentation: Segmentation
    ) -> TextMaker:
        """See :meth:`Masker.bind_text`; a deleted feature takes the white space before it."""
        return _text_maker(document, segmentation, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Replacement(Masker):
    """Each absent feature becomes a fixed text.

    Args:
        text: what stands in; must have at least one token for models read in tokens.
    """

    text: str = "..."
    name: ClassVar[str] = "replacement"
    describes: ClassVar[str] = "each absent feature is replaced by a fixed text"

    def bind(self, model: TokenModel, encoding: Encoding, tokens: FeatureTokens) -> RowMaker:
        """See :meth:`Masker.bind`."""
        stand_in = model.tokenize(self.text)
        if len(stand_in) == 0:
            raise OptionError(
                f"replacement text {self.text!r} has no tokens; use masker '{Deletion.name}'"
            )
        heads = np.array([group[0] for group in tokens.groups])

        def make(coalitions: Bool[np.ndarray, "m n"]) -> list[Row]:
            rows: list[Row] = []
            for coalition in coalitions:
                kept = tokens.present(coalition)
                # How often each token is read: absent ones not at all, save that the first of
                # each absent feature makes room for the stand-in.
                times = kept.astype(np.int64)
                absent_heads = heads[~coalition]
                times[absent_heads] = len(stand_in)
                index = np.repeat(np.arange(len(encoding.ids)), times)
                ids = encoding.ids[index]
                ids[~kept[index]] = np.tile(stand_in, len(absent_heads))
                types = encoding.token_types
                rows.append(Row(ids=ids, token_types=None if types is None else types[index]))
            return rows

        return make

    def bind_text(
        self, model: TextModel, document: Document, segmentation: Segmentation
    ) -> TextMaker:
        """See :meth:`Masker.bind_text`."""
        return _text_maker(document, segmentation, self.text)


def _text_maker(document: Document, segmentation: Segmentation, stand_in: str | None) -> TextMaker:
    text = document.text
    gaps: list[str] = []
    position = 0
    for feature in segmentation.features:
        gaps.append(text[position : feature.start])
        position = feature.end
    tail = text[position:]

    def make(coalitions: Bool[np.ndarray, "m n"]) -> list[str]:
        found: list[str] = []
        for coalition in coalitions:
            pieces: list[str] = []
            for gap, feature, present in zip(gaps, segmentation.features, coalition, strict=True):
                if present:
                    pieces += [gap, feature.text]
                elif stand_in is not None:
                    pieces += [gap, stand_in]
                else:
                    pieces.append(gap.rstrip())
            found.append("".join(pieces) + tail)
        return found

    return make


MASKERS: dict[str, type[Masker]] = {
    masker.name: masker for masker in (MaskToken, Deletion, AttentionMask, Replacement, Pad)
}


def masker_by_name(name: str | Masker) -> Masker:
    """A masker by its name: mask-token, deletion, attention-mask, replacement, pad.

    Raises:
        OptionError: no such masker; the message names the nearest.

    Example:
        >>> masker_by_name("deletion")
        Deletion()
    """
    if isinstance(name, Masker):
        return name
    key = name.casefold().replace("_", "-")
    if key not in MASKERS:
        raise unknown("masker", name, MASKERS)
    return MASKERS[key]()


def default_masker(model: Model, tokens: FeatureTokens | None = None) -> tuple[Masker, str]:
    """The masker for a model where the caller names none, and why.

    A model that was trained with a mask token has read it; any other reads shortened text more
    naturally than an invented token. Where deletion would leave nothing at all to read (every
    token belongs to a feature, and there is no start token), features are replaced.

    Args:
        model: the model.
        tokens: the features' tokens, for a model that is read in tokens.
    """
    if not isinstance(model, TokenModel):
        return Deletion(), "the model is read in text"
    vocabulary = model.vocabulary
    if model.task in ("classification", "embedding") and vocabulary.mask_id is not None:
        return MaskToken(), "the model's tokenizer has a mask token"
    if tokens is not None and vocabulary.bos_id is None and bool(np.all(tokens.owner >= 0)):
        return Replacement(), "deletion would leave nothing to read, and there is no start token"
    return Deletion(), "the model has no use for a mask token"
