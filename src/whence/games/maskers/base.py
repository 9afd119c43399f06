"""What a masker is, and the list of them all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np
from jaxtyping import Bool

from whence.core.errors import CapabilityError
from whence.core.features import Document, Segmentation
from whence.core.registry import Registry
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, Model, Row, TextModel, TokenModel

__all__ = ["MASKERS", "Masker", "RowMaker", "TextMaker", "masker_by_name"]

RowMaker = Callable[[Bool[np.ndarray, "m n"]], list[Row]]
TextMaker = Callable[[Bool[np.ndarray, "m n"]], list[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Masker(ABC):
    """Base of all maskers; subclasses are final, one a file of this folder."""

    name: ClassVar[str]
    """Name on the command line, such as ``"mask-token"``."""
    describes: ClassVar[str]
    """What absence means, as a sentence for a reader."""
    needs: ClassVar[str] = "nothing"
    """What a model must have, for a reader."""
    rank: ClassVar[int] = 100
    """Place in lists; the lowest comes first."""

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
        self.refuse(model, f"works on tokens; {model.identity.ref} is read in text")

    @classmethod
    def works_with(cls, model: Model) -> bool:
        """Whether a model has what this masker needs."""
        # A masker that leaves bind_text as it stands here works on tokens only.
        return isinstance(model, TokenModel) or cls.bind_text is not Masker.bind_text

    def refuse(self, model: Model, reason: str) -> NoReturn:
        """Raise the error that names the maskers that do work with a model.

        Raises:
            CapabilityError: always.
        """
        others = [
            name
            for name, kind in MASKERS.items()
            if kind is not type(self) and kind.works_with(model)
        ]
        raise CapabilityError(
            f"masker {self.name!r} {reason}. Maskers that work here: {', '.join(others)}"
        )


MASKERS: Registry[Masker] = Registry(
    "masker", Masker, ["whence.games.maskers"], key=lambda kind: kind.name, also=("auto",)
)
"""Every masker by its name."""


def masker_by_name(name: str | Masker, options: dict[str, Any] | None = None) -> Masker:
    """A masker by its name (``mask-token``, ``deletion`` ...), with its options.

    Raises:
        OptionError: no such masker or option; the message names the nearest.

    Example:
        >>> masker_by_name("deletion")
        Deletion()
    """
    return MASKERS.make(name, options)
