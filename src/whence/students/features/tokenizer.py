"""Words of a text with their characters, and what a negation reaches."""

from __future__ import annotations

from typing import NamedTuple
from unicodedata import normalize

import regex

__all__ = ["NEGATORS", "VERSION", "Token", "denies", "negated", "tokens", "words"]

VERSION = 1
"""Raised whenever any text is split, or its negations found, otherwise than before."""

# "n't" stands by itself in texts of the Penn Treebank's form: "did n't".
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

# Pang, Lee and Vaithyanathan (2002), doi:10.3115/1118693.1118704, mark all words up to the next
# punctuation mark; four at most is chosen by hand.
REACH = 4
"""Words a negation reaches at most; it ends earlier at a punctuation mark."""

_SIGNS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts that put no spaces between words: each sign is a token."""

# The package regex for differences of sets (--), which re has not. A word may hold combining marks
# and signs that nobody sees, such as soft hyphens, but begin with neither; an apostrophe joins two
# words, else "n't" would be parted from its verb.
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
    # Of ASCII, case folding is lower-casing and nothing is composed or unseen.
    if text.isascii():
        return [word.lower() for word in result]
    return [_plain(word) for word in result]


def _plain(word: str) -> str:
    if word.isascii():
        return word.lower()
    # Composed after folding, which can take letters apart; unseen signs go first, for they would
    # keep a letter from its accent.
    return normalize("NFC", _UNSEEN.sub("", word).casefold()).replace("’", "'")


def denies(word: str) -> bool:
    """Whether a word, as tokens are written, denies what follows it.

    Example:
        >>> denies("never"), denies("isn't"), denies("late")
        (True, True, False)
    """
    return word in NEGATORS or word.endswith("n't")


def negated(sequence: list[Token]) -> list[bool]:
    """Whether each token is within reach of a negation before it.

    Example:
        >>> sequence = tokens("not a good payer, but late")
        >>> [token.text for token, denied in zip(sequence, negated(sequence)) if denied]
        ['a', 'good', 'payer']
    """
    left = 0
    marks: list[bool] = []
    for token in sequence:
        word = token.text[0].isalnum() or token.text[0] == "_"
        if not word:
            left = 0
        # Marked before it denies in its turn: a negator reaches what follows it, not itself.
        marks.append(left > 0)
        left = max(left - 1, 0)
        if denies(token.text):
            left = REACH
    return marks
