"""Edits of single features: what each word can be deleted, replaced or negated by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from whence.core.features import Segmentation
from whence.core.other_explanations import Edit
from whence.decisions.plausibility import proposals
from whence.decisions.substitutes import Numeral, numeral, opposites

__all__ = ["Candidates"]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The edits that a text allows, feature by feature.

    Attributes:
        segmentation: features of the text.
        language_model: masked language model that proposes words; ``None``: none does.
        own_words: number of other words of the text that are tried in a feature's place.
    """

    segmentation: Segmentation
    language_model: Any
    own_words: int

    def deletion(self, index: int) -> Edit:
        """The feature taken out with the white space before it, or behind it where it comes first."""
        feature = self.segmentation.features[index]
        text = self.segmentation.document.text
        part = next(p for p in self.segmentation.document.parts if p.name == feature.part)
        start, end = feature.start, feature.end
        while start > part.start and text[start - 1].isspace():
            start -= 1
        if start == part.start:
            while end < part.end and text[end].isspace():
                end += 1
        return Edit(start=start, end=end, text="", how="deletion")

    def number(self, index: int) -> Numeral | None:
        """The number in a feature, if it is one."""
        return numeral(self.segmentation.features[index].text)

    def with_number(self, index: int, steps: int) -> Edit:
        """The feature with another number in it."""
        feature, number = self.segmentation.features[index], self.number(index)
        assert number is not None
        return Edit(start=feature.start, end=feature.end, text=number.written(steps), how="number")

    def substitutions(self, index: int) -> Iterator[Edit]:
        """The feature turned round by the table, replaced by a model's words, then by the text's own."""
        features = self.segmentation.features
        feature = features[index]
        following = features[index + 1].text if index + 1 < len(features) else ""
        texts = list(opposites(feature.text, following))
        if feature.text.isalpha():
            text = self.segmentation.document.text
            words = proposals(self.language_model, text, feature.start, feature.end)
            own = dict.fromkeys(f.text for f in features if f.text.isalpha() and len(f.text) > 2)
            others = [word for word in own if word.casefold() != feature.text.casefold()]
            texts += [(word, "substitution") for word in words]
            texts += [(word, "own-word") for word in others[: self.own_words]]
        seen: set[str] = {feature.text}
        for word, how in texts:
            if word not in seen:
                seen.add(word)
                yield Edit(start=feature.start, end=feature.end, text=word, how=how)
