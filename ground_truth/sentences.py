"""Made-up sentences with a tone: what the planted tasks plant their words in.

Each sentence says things of no tone, and holds words that are kind or unkind. The more numerous
kind gives the label; nothing else in the sentence has to do with it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["BAD", "GOOD", "LABELS", "VOCABULARY", "sentence", "tone"]

LABELS = ("poor", "good")

GOOD = [
    "lovely",
    "clever",
    "bright",
    "graceful",
    "charming",
    "tender",
    "splendid",
    "honest",
    "lively",
    "warm",
    "brilliant",
    "superb",
]
BAD = [
    "dreadful",
    "clumsy",
    "dull",
    "awkward",
    "tiresome",
    "hollow",
    "feeble",
    "dishonest",
    "lifeless",
    "cold",
    "ghastly",
    "shoddy",
]
_NOUNS = [
    "story",
    "actor",
    "garden",
    "letter",
    "kitchen",
    "teacher",
    "river",
    "singer",
    "market",
    "painter",
    "window",
    "engine",
    "poem",
    "harbour",
    "captain",
    "village",
    "lecture",
    "orchard",
    "soldier",
    "mirror",
]
_PLAIN = "long short northern wooden early green second narrow quiet round".split()  # noqa: SIM905
_VERBS = "follows describes visits paints crosses mentions opens carries watches repeats".split()  # noqa: SIM905
_PLACES = "at noon|in the morning|after the war|near the coast|by train|for a week".split("|")  # noqa: SIM905
_GLUE = "the a and is with of some this".split()  # noqa: SIM905

VOCABULARY = tuple(
    dict.fromkeys(
        [
            *GOOD,
            *BAD,
            *_NOUNS,
            *_PLAIN,
            *_VERBS,
            *_GLUE,
            *(word for place in _PLACES for word in place.split()),
        ]
    )
)

_SIGN = {**dict.fromkeys(GOOD, 1), **dict.fromkeys(BAD, -1)}


def tone(words: Sequence[str | None]) -> int:
    """Kind words less unkind ones, of those that can be seen.

    Example:
        >>> tone(["a", "lovely", "story", None, "dull", "clever"])
        1
    """
    return sum(_SIGN.get(word, 0) for word in words if word is not None)


def sentence(rng: random.Random, *, positive: bool) -> tuple[list[str], list[int]]:
    """The words of a sentence of a tone, and the places of those that make it."""
    mine, other = (GOOD, BAD) if positive else (BAD, GOOD)
    count = rng.choice((1, 1, 2, 2, 3))
    toned = [rng.choice(mine) for _ in range(count)]
    if count > 1 and rng.random() < 0.4:
        toned.append(rng.choice(other))
    rng.shuffle(toned)
    words: list[str] = []
    for index, word in enumerate(toned):
        if index:
            words.append("and")
        words += rng.choice((_said, _shown))(rng, word)
    if rng.random() < 0.6:
        words += rng.choice(_PLACES).split()
    return words, [place for place, word in enumerate(words) if word in mine]


def _said(rng: random.Random, word: str) -> list[str]:
    return ["the", *_maybe(rng), rng.choice(_NOUNS), "is", word]


def _shown(rng: random.Random, word: str) -> list[str]:
    verb = rng.choice(_VERBS)
    return ["the", *_maybe(rng), rng.choice(_NOUNS), verb, "a", word, rng.choice(_NOUNS)]


def _maybe(rng: random.Random) -> list[str]:
    return [rng.choice(_PLAIN)] if rng.random() < 0.4 else []
