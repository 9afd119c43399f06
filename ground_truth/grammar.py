"""Synthetic grammars whose answer a model must work out from the form of a text."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from ground_truth.item import Draw, Task, TaskItem, item_of

__all__ = ["GRAMMARS"]

# -- brackets: four types, each at most once, so that what is unmatched is one pair only ----------

_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"))
_BRACKETS = tuple(sign for pair in _PAIRS for sign in pair)


def _nested(rng: random.Random, types: list[int]) -> list[tuple[int, bool]]:
    """A random balanced text in which every type stands once; (type, opens)."""
    if not types:
        return []
    first, rest = types[0], types[1:]
    cut = rng.randint(0, len(rest))
    inner, after = _nested(rng, rest[:cut]), _nested(rng, rest[cut:])
    return [(first, True), *inner, (first, False), *after]


def _brackets(rng: random.Random, broken: bool) -> TaskItem:
    types = rng.sample(range(len(_PAIRS)), rng.randint(2, 3))
    spare = rng.choice([kind for kind in range(len(_PAIRS)) if kind not in types])
    signs = _nested(rng, types)
    places: list[int] = []
    if broken:
        kind = rng.choice(types)
        opening, closing = (place for place, sign in enumerate(signs) if sign[0] == kind)
        changed = rng.choice((opening, closing))
        signs[changed] = (spare, signs[changed][1])
        places = [opening, closing]
    words = [_PAIRS[kind][0 if opens else 1] for kind, opens in signs]
    return item_of(words, "broken" if broken else "whole", places, "broken" if broken else "whole")


def _unmatched(words: Sequence[str | None]) -> float:
    """Broken, unless what is hidden could complete every bracket that stands alone."""
    seen = Counter(word for word in words if word is not None)
    alone = sum(abs(seen[opening] - seen[closing]) for opening, closing in _PAIRS)
    return float(alone > sum(word is None for word in words))


# -- counting -------------------------------------------------------------------------------------

_FILLERS = ("c", "d", "e", "f")


def _counting(rng: random.Random, more: bool) -> TaskItem:
    most = rng.randint(2, 7)
    least = rng.randint(max(0, most - 4), most - 1)
    counts = (most, least) if more else (least, most)
    words = ["a"] * counts[0] + ["b"] * counts[1]
    words += [rng.choice(_FILLERS) for _ in range(rng.randint(3, 8))]
    rng.shuffle(words)
    winner = "a" if more else "b"
    places = [place for place, word in enumerate(words) if word == winner]
    return item_of(words, "more a" if more else "more b", places, "counted")


def _majority(words: Sequence[str | None]) -> float:
    counts = Counter(words)
    return 0.5 if counts["a"] == counts["b"] else float(counts["a"] > counts["b"])


# -- agreement with attractors --------------------------------------------------------------------

_NOUNS = [
    "key",
    "cabinet",
    "letter",
    "teacher",
    "pilot",
    "lamp",
    "river",
    "farmer",
    "bottle",
    "report",
    "doctor",
    "painting",
]
_ADJECTIVES = "old heavy small dusty famous broken silver".split()  # noqa: SIM905
_PREPOSITIONS = "near behind above beside under with".split()  # noqa: SIM905
_ADVERBS = "today usually now again indeed".split()  # noqa: SIM905


def _phrase(rng: random.Random, plural: bool) -> list[str]:
    adjective = [rng.choice(_ADJECTIVES)] if rng.random() < 0.5 else []
    return ["the", *adjective, rng.choice(_NOUNS) + ("s" if plural else "")]


def _agreement(rng: random.Random, plural: bool) -> TaskItem:
    words = [rng.choice(_ADVERBS)] if rng.random() < 0.5 else []
    words += _phrase(rng, plural)
    subject = len(words) - 1
    for _ in range(rng.randint(1, 3)):
        # Three attractors of four are of the other number.
        words += [rng.choice(_PREPOSITIONS), *_phrase(rng, plural != (rng.random() < 0.75))]
    return item_of(words, "plural" if plural else "singular", [subject], "attracted")


def _subject(words: Sequence[str | None]) -> float:
    """The number of the first noun, unless a preposition stands before it: half."""
    for word in words:
        if word in _PREPOSITIONS:
            return 0.5
        if word in _NOUNS:
            return 0.0
        if word is not None and word.removesuffix("s") in _NOUNS:
            return 1.0
    return 0.5


# -- key-value retrieval --------------------------------------------------------------------------

_KEYS = "ka ke ki ko ku pa pe pi".split()  # noqa: SIM905
_COLD, _WARM = "ice snow frost hail".split(), "fire sun ember coal".split()  # noqa: SIM905


def _retrieval(rng: random.Random, warm: bool) -> TaskItem:
    keys = rng.sample(_KEYS, rng.randint(2, 4))
    asked = rng.randrange(len(keys))
    words: list[str] = []
    for place, key in enumerate(keys):
        hot = warm if place == asked else rng.random() < 0.5
        words += [key, rng.choice(_WARM if hot else _COLD)]
    words += ["which", keys[asked]]
    places = [2 * asked, 2 * asked + 1, len(words) - 1]
    return item_of(words, "warm" if warm else "cold", places, "asked")


def _retrieved(words: Sequence[str | None]) -> float:
    """The value after the first standing of the key that is asked for; half where it is hidden."""
    asked = words[-1] if words else None
    if asked not in _KEYS:
        return 0.5
    place = words.index(asked) + 1
    value = words[place] if place < len(words) - 1 else None
    return float(value in _WARM) if value in _WARM or value in _COLD else 0.5


# -------------------------------------------------------------------------------------------------


def _drawing(make: Callable[[random.Random, bool], TaskItem], only: bool | None = None) -> Draw:
    def draw(n: int, seed: int) -> list[TaskItem]:
        rng = random.Random(seed)
        return [make(rng, rng.random() < 0.5 if only is None else only) for _ in range(n)]

    return draw


GRAMMARS = {
    task.name: task
    for task in (
        Task(
            name="brackets",
            about="Nested brackets, one of which may have been exchanged: it and its partner tell.",
            labels=("whole", "broken"),
            draw=_drawing(_brackets, only=True),
            training=_drawing(_brackets),
            rule=_unmatched,
            vocabulary=_BRACKETS,
            gate=0.995,
        ),
        Task(
            name="counting",
            about="Whether a text holds more a or more b: each of the more numerous counts alike.",
            labels=("more b", "more a"),
            draw=_drawing(_counting),
            training=_drawing(_counting),
            rule=_majority,
            vocabulary=("a", "b", *_FILLERS),
            gate=0.995,
        ),
        Task(
            name="agreement",
            about="The number of a subject that nouns of the other number follow.",
            labels=("singular", "plural"),
            draw=_drawing(_agreement),
            training=_drawing(_agreement),
            rule=_subject,
            vocabulary=(
                "the",
                *_NOUNS,
                *(noun + "s" for noun in _NOUNS),
                *_ADJECTIVES,
                *_PREPOSITIONS,
                *_ADVERBS,
            ),
            gate=0.995,
        ),
        Task(
            name="retrieval",
            about="The value that stands after the key that is asked for.",
            labels=("cold", "warm"),
            draw=_drawing(_retrieval),
            training=_drawing(_retrieval),
            rule=_retrieved,
            vocabulary=("which", *_KEYS, *_COLD, *_WARM),
            gate=0.995,
        ),
    )
}
"""Tasks on made-up grammars."""
