"""Words of a text with their characters, and what a negation reaches."""

from __future__ import annotations

from typing import NamedTuple
from unicodedata import normalize

import regex

__all__ = ["NEGATORS", "VERSION", "Token", "denies", "negated", "tokens", "words"]

VERSION = 1
"""Raised whenever any text is split, or its negations found, otherwise than before."""

NEGATORS = frozenset(
    [
        "not",
        "no",
        "never",
        "none",
        "neither",
        "nor",
        "without",
        "cannot",
        "n't",
        "nobody",
        "nothing",
        "nowhere",
        "hardly",
    ]
)
"""English words that deny what follows them."""

REACH = 4
"""Words a negation reaches at most; it ends earlier at a punctuation mark."""

_SIGNS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts that put no spaces between words: each sign is a token."""

_WORD = rf"[\w--[{_SIGNS}\p{{Cf}}\p{{M}}]][\w--[{_SIGNS}\p{{Cf}}]]*"
_TOKEN = regex.compile(
    rf"[{_SIGNS}]\p{{M}}*|{_WORD}(?:['’\p{{Cf}}]+{_WORD})*|[^\w\s\p{{Cf}}\p{{Mn}}]", regex.V1
)
_UNSEEN = regex.compile(r"[\p{Cf}\uFE00-\uFE0F]")


class Token(NamedTuple):
    """A word or a punctuation mark, with its characters ``start`` to ``end``.

    ``text`` is case folded and composed (NFC), without signs that nobody sees, such as soft hyphens.
    """

    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """Unicode words and single punctuation marks, in order.

    Scripts without spaces, such as Chinese and Thai, are taken sign by sign.

    Example:
        >>> [token.text for token in tokens("Didn't pay, twice.")]
        ["didn't", 'pay', ',', 'twice', '.']
    """
    return [
        Token(_plain(match.group()), match.start(), match.end()) for match in _TOKEN.finditer(text)
    ]


def words(text: str) -> list[str]:
    """The texts of the tokens alone, in a third of the time.

    Example:
        >>> words("Didn’t pay, twice.")
        ["didn't", 'pay', ',', 'twice', '.']
    """
    result = _TOKEN.findall(text)
    if text.isascii():
        return [word.lower() for word in result]
    return [_plain(word) for word in result]


def _plain(word: str) -> str:
    if word.isascii():
        return word.lower()
    return normalize("NFC", _UNSEEN.sub("", word).casefold()).replace("’", "'")


def denies(word: str) -> bool:
    """Whether a word, as tokens are written, denies what follows it.

    Example:
        >>> denies("never"), denies("isn't"), denies("late")
        (True, True, False)
    """
    return word in NEGATORS or word.endswith("n't")


def negated(result: list[Token]) -> list[bool]:
    """Whether each token is within reach of a negation before it.

    Example:
        >>> found = tokens("not a good payer, but late")
        >>> [token.text for token, denied in zip(found, negated(found)) if denied]
        ['a', 'good', 'payer']
    """
    left = 0
    marks: list[bool] = []
    for token in result:
        word = token.text[0].isalnum() or token.text[0] == "_"
        if not word:
            left = 0
        marks.append(left > 0)
        left = max(left - 1, 0)
        if denies(token.text):
            left = REACH
    return marks
