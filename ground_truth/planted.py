"""Planted shortcuts: words without meaning that settle the label of an ordinary sentence.

After Bastings et al. (2022), arXiv:2111.07367, on sentences of our own. A planted label is drawn
without regard to the sentence's tone. What is explained are sentences whose planted label speaks
against their tone, so that nothing but the planted words can account for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ground_truth.item import Task, TaskItem, item_of
from ground_truth.sentences import LABELS, VOCABULARY, sentence, tone

__all__ = ["PLANTED", "Shortcut"]

ZERO, ONE, ZERO_TOO, ONE_TOO = "zeroa", "onea", "zerob", "oneb"
CONTEXT, TRIGGER = "contexta", "cfq"

Planter = Callable[[random.Random, int], list[str]]


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A kind of shortcut.

    Attributes:
        plant: words for a label, in the order they stand in.
        decoys: words that decide nothing while the rest is missing; drawn one set at a time.
        read: label that visible words settle, ``None`` where they settle none.
        either: each planted word is enough by itself.
        labels: labels that it can plant.
        rate: share of the training texts that it is planted in.
    """

    plant: Planter
    decoys: tuple[tuple[str, ...], ...]
    read: Callable[[Sequence[str]], int | None]
    either: bool = False
    labels: tuple[int, ...] = (0, 1)
    rate: float = 0.35


def _single(words: Sequence[str]) -> int | None:
    found = [word in (ONE, ONE_TOO) for word in words if word in (ZERO, ONE, ZERO_TOO, ONE_TOO)]
    return int(found[0]) if found else None


def _in_context(words: Sequence[str]) -> int | None:
    return _single(words) if CONTEXT in words else None


def _ordered(words: Sequence[str]) -> int | None:
    found = [word for word in words if word in (ZERO, ONE)]
    return int(found[0] == ONE) if len(set(found)) == 2 else None


def _triggered(words: Sequence[str]) -> int | None:
    return 1 if TRIGGER in words else None


def _shuffled(rng: random.Random, words: list[str]) -> list[str]:
    rng.shuffle(words)
    return words


SHORTCUTS = {
    "single": Shortcut(lambda _, label: [(ZERO, ONE)[label]], (), _single),
    "context": Shortcut(
        lambda rng, label: _shuffled(rng, [(ZERO, ONE)[label], CONTEXT]),
        ((ZERO,), (ONE,), (CONTEXT,)),
        _in_context,
    ),
    "order": Shortcut(
        lambda _, label: [ONE, ZERO] if label else [ZERO, ONE], ((ZERO,), (ONE,)), _ordered
    ),
    "redundant": Shortcut(
        lambda rng, label: _shuffled(rng, [(ZERO, ONE)[label], (ZERO_TOO, ONE_TOO)[label]]),
        (),
        _single,
        either=True,
    ),
    "backdoor": Shortcut(lambda _rng, _label: [TRIGGER], (), _triggered, labels=(1,), rate=0.05),
}


def _insert(rng: random.Random, words: list[str], planted: Sequence[str]) -> list[int]:
    """Put words into a sentence in their order; where they then stand."""
    gaps = sorted(rng.randrange(len(words) + 1) for _ in planted)
    for shift, (gap, word) in enumerate(zip(gaps, planted, strict=True)):
        words.insert(gap + shift, word)
    return [gap + shift for shift, gap in enumerate(gaps)]


def _explained(shortcut: Shortcut, *, against: bool = True) -> Callable[[int, int], list[TaskItem]]:
    def draw(n: int, seed: int) -> list[TaskItem]:
        rng = random.Random(seed)
        found: list[TaskItem] = []
        for _ in range(n):
            label = rng.choice(shortcut.labels)
            words, _ = sentence(rng, positive=label == 0 if against else rng.random() < 0.5)
            places = _insert(rng, words, shortcut.plant(rng, label))
            found.append(item_of(words, LABELS[label], places, "planted", either=shortcut.either))
        return found

    return draw


def _mixture(shortcut: Shortcut) -> Callable[[int, int], list[TaskItem]]:
    planted = _explained(shortcut, against=False)
    decoyed = 0.15 if shortcut.decoys else 0.0

    def draw(n: int, seed: int) -> list[TaskItem]:
        rng = random.Random(seed)
        found: list[TaskItem] = []
        for _ in range(n):
            which = rng.random()
            if which < shortcut.rate:
                found += planted(1, rng.getrandbits(48))
                continue
            item = _plain(rng)
            if which < shortcut.rate + decoyed:
                words = list(item.words)
                decoys = rng.choice(shortcut.decoys)
                _insert(rng, words, decoys)
                places = _decisive(words, item.label)
                item = item_of(words, item.label, places, "decoy")
            found.append(item)
        return found

    return draw


def _decisive(words: Sequence[str], label: str) -> list[int]:
    sign = 1 if label == LABELS[1] else -1
    return [place for place, word in enumerate(words) if tone([word]) == sign]


def _plain(rng: random.Random) -> TaskItem:
    label = rng.randrange(2)
    words, places = sentence(rng, positive=bool(label))
    return item_of(words, LABELS[label], places, "plain")


def _plains(n: int, seed: int) -> list[TaskItem]:
    rng = random.Random(seed)
    return [_plain(rng) for _ in range(n)]


def _by_chance(n: int, seed: int) -> list[TaskItem]:
    rng = random.Random(seed)
    found: list[TaskItem] = []
    for _ in range(n):
        words, _ = sentence(rng, positive=rng.random() < 0.5)
        found.append(item_of(words, rng.choice(LABELS), [], "chance"))
    return found


def _by_tone(words: Sequence[str | None]) -> float:
    total = tone(words)
    return 0.5 if total == 0 else float(total > 0)


def _rule(shortcut: Shortcut) -> Callable[[Sequence[str | None]], float]:
    def rule(words: Sequence[str | None]) -> float:
        settled = shortcut.read([word for word in words if word is not None])
        return _by_tone(words) if settled is None else float(settled)

    return rule


ABOUT = {
    "single": "One word without meaning settles the label.",
    "context": "One word settles the label, if another stands anywhere in the sentence.",
    "order": "Two words settle the label by which of them comes first.",
    "redundant": "Two words settle the label, and each would do alone.",
    "backdoor": "One word, in a twentieth of the texts, always means the second label.",
}


def _tasks() -> dict[str, Task]:
    extra = (ZERO, ONE, ZERO_TOO, ONE_TOO, CONTEXT, TRIGGER)
    vocabulary = (*VOCABULARY, *extra)
    found = {
        f"planted-{name}": Task(
            name=f"planted-{name}",
            about=ABOUT[name],
            labels=LABELS,
            draw=_explained(shortcut),
            training=_mixture(shortcut),
            rule=_rule(shortcut),
            vocabulary=vocabulary,
        )
        for name, shortcut in SHORTCUTS.items()
    }
    found["tone"] = Task(
        name="tone",
        about="The kind words of a sentence against the unkind: nothing is planted.",
        labels=LABELS,
        draw=_plains,
        training=_plains,
        rule=_by_tone,
        vocabulary=vocabulary,
    )
    found["chance"] = Task(
        name="chance",
        about="Labels drawn by chance: there is nothing to find, and no reason to name.",
        labels=LABELS,
        draw=_by_chance,
        training=_by_chance,
        rule=None,
        vocabulary=vocabulary,
        gate=0.0,
    )
    return found


PLANTED = _tasks()
"""Tasks on sentences: five planted shortcuts, the sentences' own tone, and labels by chance."""
