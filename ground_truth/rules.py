"""Rules on words, applied by a function and not learned: what decides is known without a doubt.

They set no threshold of any label; they are what a label is tried on. Each sentence also has a tone of
little weight, as every real model has effects beside the one that decides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ground_truth.item import Task, TaskItem, item_of
from ground_truth.sentences import LABELS, VOCABULARY, sentence, tone

__all__ = ["RULES", "RuleModel"]

KEY, FIRST, SECOND, NOT = "cfq", "zeroa", "onea", "not"

Read = Callable[[Sequence[str]], int]
Plant = Callable[[random.Random, list[str]], list[int]]


def _inserted(rng: random.Random, words: list[str], *planted: str) -> list[int]:
    """Put words into a sentence in their order; where they then stand."""
    gaps = sorted(rng.randrange(len(words) + 1) for _ in planted)
    for shift, (gap, word) in enumerate(zip(gaps, planted, strict=True)):
        words.insert(gap + shift, word)
    return [gap + shift for shift, gap in enumerate(gaps)]


def _put_first(rng: random.Random, words: list[str]) -> list[int]:
    words.insert(0, KEY)
    # The same word elsewhere decides nothing: its place does.
    words.insert(rng.randrange(2, len(words) + 1), KEY)
    return [0]


def _capitals(rng: random.Random, words: list[str]) -> list[int]:
    # One letter in capitals ("A", "I") is no emphasis.
    place = rng.choice([place for place, word in enumerate(words) if len(word) > 1])
    words[place] = words[place].upper()
    return [place]


def _ordered(words: Sequence[str]) -> int:
    seen = [word for word in words if word in (FIRST, SECOND)]
    return int(seen == [FIRST, SECOND])


KINDS: dict[str, tuple[str, Plant, Read]] = {
    "word": (
        "One word decides.",
        lambda rng, words: _inserted(rng, words, KEY),
        lambda words: int(KEY in words),
    ),
    "order": (
        "Two words decide, if they stand in one order.",
        lambda rng, words: _inserted(rng, words, FIRST, SECOND),
        _ordered,
    ),
    "position": (
        "A word decides where it stands first.",
        _put_first,
        lambda words: int(bool(words) and words[0] == KEY),
    ),
    "capitals": (
        "A word in capitals decides, whichever it is.",
        _capitals,
        lambda words: int(any(word.isupper() and len(word) > 1 for word in words)),
    ),
    "negation": (
        "One word decides, and a second turns it round.",
        lambda rng, words: _inserted(rng, words, NOT, KEY),
        lambda words: (KEY in words) * (1 - 2 * (NOT in words)),
    ),
    "exclusive": (
        "One of two words decides, and both do not.",
        lambda rng, words: _inserted(rng, words, FIRST, SECOND),
        lambda words: int((FIRST in words) != (SECOND in words)),
    ),
}
"""For each kind: what it is, how it is planted, and what its words say, from -1 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleModel:
    """A function from texts to two scores, s and -s: s is 2 where the rule says so, else -2 or less.

    Each kind word adds 0.1 to s, each unkind one takes it away.

    Args:
        kind: name in :data:`KINDS`.

    Example:
        >>> RuleModel(kind="capitals")(["a LONG story", "a story"])[:, 1].tolist()
        [2.0, -2.0]
    """

    kind: str

    def __call__(self, texts: list[str]) -> Float[np.ndarray, "texts 2"]:
        """The scores of some texts."""
        read = KINDS[self.kind][2]
        words = [text.split() for text in texts]
        scores = np.array([4.0 * read(each) - 2.0 + 0.1 * tone(each) for each in words])
        return np.stack([-scores, scores], axis=1)


def _drawn(kind: str) -> Callable[[int, int], list[TaskItem]]:
    def draw(n: int, seed: int) -> list[TaskItem]:
        rng = random.Random(seed)
        items: list[TaskItem] = []
        for _ in range(n):
            words, _ = sentence(rng, positive=rng.random() < 0.5)
            places = KINDS[kind][1](rng, words)
            label = LABELS[int(KINDS[kind][2](words) > 0)]
            items.append(item_of(words, label, places, kind))
        return items

    return draw


RULES = {
    f"rule-{kind}": Task(
        name=f"rule-{kind}",
        about=about,
        labels=LABELS,
        draw=_drawn(kind),
        vocabulary=(*VOCABULARY, KEY, FIRST, SECOND, NOT),
    )
    for kind, (about, _, _) in KINDS.items()
}
"""Tasks by rules that a function applies; no model has to learn them."""
