"""The applicability domain of a certificate: lengths of texts, and the words a student has met."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from whence.core.errors import InputError, OptionError
from whence.core.record import Value
from whence.students.features.tokenizer import words

__all__ = ["ApplicabilityDomain", "Known", "unknown_token_rate"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ApplicabilityDomain(Value):
    """The texts that a certificate speaks of, as far as length and words tell.

    A text beyond it may be fine; nothing was measured there. Words in a new order, or old words in
    a new sense, are not seen. Where the teacher cut long texts, what was measured holds for the
    part that it read, and a student reads all: such texts are beyond. A text below ``cut_from``
    that the teacher cuts nevertheless, since it takes more tokens than those that were asked, is
    not seen.

    Attributes:
        vocabulary: words and marks of the texts a student was fitted on; where there is a salt,
            the hash of each, so that a stored domain spells out no customer's name. Whoever
            guesses a word can still ask for it. Of two words in four thousand million one hash is
            the same, and an unknown word then passes for a known one.
        longest: words of a text at most, by white space.
        rarest: share of a text's words and marks at most that are not in the vocabulary.
        cut_from: characters of the shortest text of which the teacher read only a part; ``None``
            where it read all of each.

    Example:
        >>> domain = ApplicabilityDomain.learn(["paid late", "paid"], ["late fee", "paid late"], covers=1.0)
        >>> domain.beyond("late fee"), domain.beyond("a fee")
        (None, '1.000 of its words and marks were never met; up to 0.500 are certified')
    """

    vocabulary: frozenset[str]
    longest: int
    rarest: float
    cut_from: int | None = None
    salt: str | None = None

    def __post_init__(self) -> None:
        if self.longest < 1 or not 0 <= self.rarest <= 1:
            raise OptionError(
                f"expected longest from 1 word on and rarest from 0 to 1, got longest={self.longest}, "
                f"rarest={self.rarest}"
            )
        if self.cut_from is not None and self.cut_from < 1:
            raise OptionError(
                f"expected cut_from from 1 character on, or None where the teacher read all, got "
                f"cut_from={self.cut_from}"
            )

    @classmethod
    def learn(
        cls,
        fit: Sequence[str],
        select: Sequence[str],
        *,
        covers: float = 0.99,
        cut_from: int | None = None,
    ) -> ApplicabilityDomain:
        """The vocabulary of ``fit``, and limits that this share of ``select`` keeps to.

        Drawn on ``select``, so that texts of ``certify`` beyond it can be counted as asked.

        Args:
            fit: texts of the fit part, as far as the teacher read them.
            select: texts of the select part, likewise.
            covers: share of ``select`` within each of the two limits.
            cut_from: characters of the shortest text, of all that were asked, of which the teacher
                read only a part; ``None`` where it read all of each.
        """
        if not fit or not select:
            raise InputError("expected one text or more in each of fit and select, got none")
        if not 0 < covers <= 1:
            raise OptionError(f"expected covers above 0 and up to 1, got covers={covers}")
        plain = sorted({word for text in fit for word in words(text)})
        # Of the words themselves: the same texts give the same file.
        salt = hashlib.sha256("\n".join(plain).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        known = frozenset(_hashed(word, salt) for word in plain)
        lengths = [len(text.split()) for text in select]
        rare = [unknown_token_rate(text, Known(known, salt)) for text in select]
        longest, rarest = (
            # higher: an interpolated limit lies between two texts and would leave out
            # one more than allowed.
            np.quantile(values, covers, method="higher")
            for values in (lengths, rare)
        )
        return cls(
            vocabulary=known, longest=max(int(longest), 1), rarest=float(rarest),
            cut_from=cut_from, salt=salt,
        )  # fmt: skip

    @property
    def known(self) -> Known:
        """The vocabulary, to be asked for a word."""
        return Known(self.vocabulary, self.salt)

    def beyond(self, text: str) -> str | None:
        """Why a text, as a whole, is beyond what was certified; ``None`` where it is not."""
        if self.cut_from is not None and len(text) >= self.cut_from:
            return f"the teacher may read a part only (texts from {self.cut_from} characters on)"
        count = len(text.split())
        if count > self.longest:
            return f"{count} words; up to {self.longest} are certified"
        share = unknown_token_rate(text, self.known)
        if share > self.rarest:
            return (
                f"{share:.3f} of its words and marks were never met; up to {self.rarest:.3f} are "
                "certified"
            )
        return None

    def outside(self, texts: Sequence[str]) -> Bool[np.ndarray, " texts"]:
        """Which texts, each as a whole, are beyond what was certified."""
        return np.array([self.beyond(text) is not None for text in texts], dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Known:
    """Words that can be asked for, by their salted hashes where there is a salt.

    Example:
        >>> "late" in Known(frozenset(["late"]), None), "late" in Known(frozenset(["late"]), "ab")
        (True, False)
    """

    vocabulary: frozenset[str]
    salt: str | None

    def __contains__(self, word: object) -> bool:
        return (word if self.salt is None else _hashed(str(word), self.salt)) in self.vocabulary


def _hashed(word: str, salt: str) -> str:
    data = word.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=4, key=salt.encode()).hexdigest()


def unknown_token_rate(text: str, known: Container[str]) -> float:
    """Share of a text's words and marks that are not among those known; 0 for a text without any.

    Args:
        text: text, split as students split it; see :func:`whence.students.features.tokenizer.words`.
        known: words and marks, in lower case.

    Example:
        >>> unknown_token_rate("Paid very late.", {"paid", "late", "."})
        0.25
    """
    tokens = words(text)
    return sum(word not in known for word in tokens) / len(tokens) if tokens else 0.0
