"""How far certified texts reach: in length, and in words that the student never met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from whence.core.errors import InputError, OptionError, RecordError
from whence.students.words import words

__all__ = ["Reach"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """The texts that a certificate speaks of, as far as length and words tell.

    A text beyond it may be fine; nothing was measured there. Words in a new order, or old words in
    a new sense, are not seen.

    Attributes:
        vocabulary: the words and marks of the texts a student was fitted on.
        longest: words of a text at most, by white space.
        rarest: share of a text's words and marks at most that are not in the vocabulary.

    Example:
        >>> reach = Reach.learn(["paid late", "paid"], ["late fee", "paid late"], covers=1.0)
        >>> reach.beyond("late fee"), reach.beyond("a fee")
        (None, '1.00 of its words were never met; up to 0.50 are certified')
    """

    vocabulary: frozenset[str]
    longest: int
    rarest: float

    def __post_init__(self) -> None:
        if self.longest < 1 or not 0 <= self.rarest <= 1:
            raise OptionError(
                f"longest={self.longest}, rarest={self.rarest}: 1 word or more, and a share from 0 "
                "to 1 are due"
            )

    @classmethod
    def learn(cls, fit: Sequence[str], select: Sequence[str], *, covers: float = 0.99) -> Reach:
        """The vocabulary of ``fit``, and limits that this share of ``select`` keeps to.

        Drawn on ``select``, so that texts of ``certify`` beyond it can be counted as asked.

        Args:
            fit: what the teacher read of the texts of the fit part.
            select: likewise.
            covers: share of ``select`` within each of the two limits.
        """
        if not fit or not select:
            raise InputError("texts of fit and of select are due, one at least each")
        if not 0 < covers <= 1:
            raise OptionError(f"covers={covers}: a share above 0 is due")
        known = frozenset(word for text in fit for word in words(text))
        lengths = [len(text.split()) for text in select]
        rare = [_unmet(text, known) for text in select]
        longest, rarest = (np.quantile(found, covers, method="higher") for found in (lengths, rare))
        return cls(vocabulary=known, longest=max(int(longest), 1), rarest=float(rarest))

    def beyond(self, text: str) -> str | None:
        """Why a text is beyond what was certified; ``None`` where it is not."""
        count = len(text.split())
        if count > self.longest:
            return f"{count} words; up to {self.longest} are certified"
        share = _unmet(text, self.vocabulary)
        if share > self.rarest:
            return f"{share:.2f} of its words were never met; up to {self.rarest:.2f} are certified"
        return None

    def outside(self, texts: Sequence[str]) -> Bool[np.ndarray, " texts"]:
        """Which texts are beyond what was certified."""
        return np.array([self.beyond(text) is not None for text in texts], dtype=np.bool_)

    def to_json(self) -> dict[str, Any]:
        """All of it, in plain types."""
        return {
            "longest": self.longest,
            "rarest": self.rarest,
            "vocabulary": sorted(self.vocabulary),
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Reach:
        """What :meth:`to_json` wrote."""
        try:
            longest, rarest = int(tree["longest"]), float(tree["rarest"])
            return cls(
                vocabulary=frozenset(map(str, tree["vocabulary"])), longest=longest, rarest=rarest
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(
                f"no valid reach: {type(error).__name__} {error}; give what to_json wrote"
            ) from error


def _unmet(text: str, known: frozenset[str]) -> float:
    found = words(text)
    return sum(word not in known for word in found) / len(found) if found else 0.0
