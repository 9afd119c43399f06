"""Questions beside the pool: edited texts and bare n-grams, for the fit part only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from whence.core.errors import OptionError
from whence.students.words import words

__all__ = ["EDITS", "Edit", "edited", "frequent_ngrams"]

EditName = Literal["drop", "first half", "second half", "substitute", "deny"]
EDITS: Final[tuple[EditName, ...]] = ("drop", "first half", "second half", "substitute", "deny")
"""``drop``: each word with probability .2. ``substitute``: one word by one of another text.
``deny``: "it is not true that" before the text."""

DENIAL = "it is not true that "


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed text and the row of its parent, whose part of the split it shares."""

    family: EditName
    parent: int
    text: str


def edited(texts: Sequence[str], rows: Sequence[int], *, family: str, seed: int = 0) -> list[Edit]:
    """One edit of a family for each parent; parents of fewer than two words have none.

    Edits that leave the text as it was are left out, too.

    Args:
        texts: all texts.
        rows: the parents, and where substitutes come from.
        family: one of :data:`EDITS`.
        seed: what is drawn.

    Example:
        >>> edited(["He paid late"], [0], family="deny")[0].text
        'it is not true that He paid late'
        >>> edited(["He paid late"], [0], family="first half")[0].text
        'He'
    """
    if family not in EDITS:
        raise OptionError(f"unknown edit family {family!r}; choose from: {', '.join(EDITS)}")
    name: EditName = next(own for own in EDITS if own == family)
    rng = np.random.default_rng([seed, EDITS.index(name)])
    found: list[Edit] = []
    for row in rows:
        text = texts[row]
        other = texts[rows[int(rng.integers(len(rows)))]]
        new = _edit(text, other, name, rng)
        if new.strip() and new != text:
            found.append(Edit(name, row, new))
    return found


def _edit(text: str, other: str, family: EditName, rng: np.random.Generator) -> str:
    own = text.split()
    if len(own) < 2:
        return text
    if family == "deny":
        return DENIAL + text
    half = len(own) // 2
    if family == "first half":
        return " ".join(own[:half])
    if family == "second half":
        return " ".join(own[half:])
    if family == "drop":
        return " ".join(np.array(own, dtype=object)[rng.random(len(own)) >= 0.2].tolist())
    strange = other.split()
    own[int(rng.integers(len(own)))] = strange[int(rng.integers(len(strange)))]
    return " ".join(own)


def frequent_ngrams(texts: Sequence[str], count: int, *, longest: int = 2) -> list[str]:
    """The n-grams that are in most texts, to be asked alone.

    What a teacher says of one or two words is the cheapest way to learn weights; a model that was
    trained on whole texts may say something odd, so their weight is to be chosen on ``select``.
    Singh et al. (2023), arXiv:2209.11799.

    Example:
        >>> frequent_ngrams(["paid late", "late, so late"], 1)
        ['late']
    """
    counts: Counter[str] = Counter()
    for text in texts:
        found = words(text)
        counts.update(
            {
                " ".join(found[at : at + size])
                for size in range(1, longest + 1)
                for at in range(len(found) - size + 1)
                if all(word[0].isalnum() for word in found[at : at + size])
            }
        )
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [ngram for ngram, _ in ranked[:count]]
