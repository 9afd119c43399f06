"""Words of a text with their characters, and what a negation reaches."""

from __future__ import annotations

from typing import NamedTuple

import regex

__all__ = ["NEGATORS", "Token", "negated", "tokens", "words"]

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

_TOKEN = regex.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


class Token(NamedTuple):
    """A word or a punctuation mark: case folded, with its characters ``start`` to ``end``."""

    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """Unicode words and single punctuation marks, in order.

    Example:
        >>> [token.text for token in tokens("Didn't pay, twice.")]
        ["didn't", 'pay', ',', 'twice', '.']
    """
    return [
        Token(match.group().casefold().replace("’", "'"), match.start(), match.end())
        for match in _TOKEN.finditer(text)
    ]


def words(text: str) -> list[str]:
    """The texts of the tokens alone, in a third of the time.

    Example:
        >>> words("Didn’t pay, twice.")
        ["didn't", 'pay', ',', 'twice', '.']
    """
    found = [word.casefold() for word in _TOKEN.findall(text)]
    return [word.replace("’", "'") for word in found] if "’" in text else found


def negated(found: list[Token]) -> list[bool]:
    """Whether each token is within reach of a negation before it.

    Example:
        >>> found = tokens("not a good payer, but late")
        >>> [token.text for token, denied in zip(found, negated(found)) if denied]
        ['a', 'good', 'payer']
    """
    left = 0
    marks: list[bool] = []
    for token in found:
        word = token.text[0].isalnum() or token.text[0] == "_"
        if not word:
            left = 0
        marks.append(left > 0)
        left = max(left - 1, 0)
        if token.text in NEGATORS or token.text.endswith("n't"):
            left = REACH
    return marks
