"""What a segmenter is, and the list of them all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from whence.core.errors import InputError
from whence.core.features import Document, Feature, Part, Segmentation
from whence.core.registry import Registry
from whence.models.protocols import Encoding

__all__ = ["SEGMENTERS", "Segmenter", "segmenter_by_name"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmenter(ABC):
    """Base of all segmenters; subclasses are final, one a file of this folder."""

    unit: ClassVar[str]
    """Name of one feature, such as ``"word"``."""
    statements: ClassVar[bool] = False
    """Whether a feature says something by itself, so that it may be the source of an answer."""
    rank: ClassVar[int] = 100
    """Place in lists; the lowest comes first."""

    def segment(self, document: Document, encoding: Encoding | None = None) -> Segmentation:
        """The features of a document.

        Raises:
            InputError: the document has no feature of this kind.
            OptionError: the unit needs tokens and the model has none, or a span is off.
        """
        features = tuple(
            Feature(start=start, end=end, text=document.text[start:end], part=part.name)
            for part in document.parts
            if not part.frozen
            for start, end in self._spans(document, part, encoding)
        )
        if not features:
            raise InputError(
                f"the text has no {self.unit} to remove ({document.text[:40]!r}); "
                "there is nothing to explain"
            )
        return Segmentation(unit=self.unit, document=document, features=features)

    @abstractmethod
    def _spans(
        self, document: Document, part: Part, encoding: Encoding | None
    ) -> Iterable[tuple[int, int]]:
        """The features of one part, in order."""


SEGMENTERS: Registry[Segmenter] = Registry(
    "unit", Segmenter, ["whence.games.segmenters"], key=lambda kind: kind.unit
)
"""Every segmenter by its unit."""


def segmenter_by_name(unit: str | Segmenter, **options: Any) -> Segmenter:
    """A segmenter by its unit (``word``, ``sentence`` ...) or its name (``words``), with its options.

    Raises:
        OptionError: no such unit or option; the message names the nearest.

    Example:
        >>> segmenter_by_name("word")
        Words()
    """
    return SEGMENTERS.make(unit, options)
