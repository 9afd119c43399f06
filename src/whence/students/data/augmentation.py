"""Questions beside the texts: edited texts and bare n-grams, of the fit part only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from whence.core.errors import OptionError
from whence.students.features.tokenizer import tokens

__all__ = ["EDITS", "Edit", "edited", "frequent_ngrams"]

EditName = Literal["drop", "first half", "second half", "substitute", "deny"]
EDITS: Final[tuple[EditName, ...]] = ("drop", "first half", "second half", "substitute", "deny")
"""``drop``: each word with probability .2. ``substitute``: one word by one of another text.
``deny``: "it is not true that" before the text."""

DENIAL = "it is not true that "
DROPPED = 0.2
"""Chance of each word to be dropped. Chosen by hand: two words of a sentence of ten."""


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
        rows: rows of the parents, from which substitutes come as well.
        family: name of a family in :data:`EDITS`.
        seed: seed of what is drawn.

    Example:
        >>> edited(["He paid late"], [0], family="deny")[0].text
        'it is not true that He paid late'
        >>> edited(["He paid late"], [0], family="first half")[0].text
        'He'
    """
    if family not in EDITS:
        raise OptionError(f"unknown edit family {family!r}; choose from: {', '.join(EDITS)}")
    name: EditName = next(known for known in EDITS if known == family)
    # A stream of its own for each family, so that its edits do not depend on which others are
    # asked.
    rng = np.random.default_rng([seed, EDITS.index(name)])
    result: list[Edit] = []
    for row in rows:
        text = texts[row]
        other = texts[rows[int(rng.integers(len(rows)))]]
        new = _edit(text, other, name, rng)
        # By words: a text whose line breaks became spaces is no edit.
        if new.strip() and new.split() != text.split():
            result.append(Edit(name, row, new))
    return result


def _edit(text: str, other: str, family: EditName, rng: np.random.Generator) -> str:
    words, others, gap = text.split(), other.split(), " "
    if len(words) < 2:
        # Scripts without spaces: one sign after the other.
        words, others, gap = [t.text for t in tokens(text)], [t.text for t in tokens(other)], ""
    if len(words) < 2 or not others:
        return text
    if family == "deny":
        return DENIAL + text
    half = len(words) // 2
    if family == "first half":
        return gap.join(words[:half])
    if family == "second half":
        return gap.join(words[half:])
    if family == "drop":
        return gap.join(np.array(words, dtype=object)[rng.random(len(words)) >= DROPPED].tolist())
    words[int(rng.integers(len(words)))] = others[int(rng.integers(len(others)))]
    return gap.join(words)


def frequent_ngrams(texts: Sequence[str], count: int, *, longest: int = 2) -> list[str]:
    """The n-grams that are in most texts, to be asked alone, as most texts write them.

    What a teacher says of one or two words is the cheapest way to learn weights; a model that was
    trained on whole texts may say something odd, so their weight is to be chosen on ``select``.
    Singh et al. (2023), arXiv:2209.11799.

    Example:
        >>> frequent_ngrams(["paid late", "late, so late"], 1)
        ['late']
    """
    if count < 0:
        raise OptionError(f"expected 0 n-grams or more, got {count}")
    counts: Counter[str] = Counter()
    written: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        of_text = tokens(text)
        surfaces: dict[str, str] = {}
        for size in range(1, longest + 1):
            for at in range(len(of_text) - size + 1):
                part = of_text[at : at + size]
                if all(token.text[0].isalnum() for token in part):
                    folded = " ".join(token.text for token in part)
                    surfaces.setdefault(folded, text[part[0].start : part[-1].end])
        # Once a text, however often it is there: what is wanted is in how many texts, and its
        # first spelling stands for each.
        counts.update(surfaces.keys())
        for folded, surface in surfaces.items():
            written[folded][surface] += 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    # The form most texts have, so that the teacher is asked what it would read.
    return [
        min(written[ngram].items(), key=lambda item: (-item[1], item[0]))[0]
        for ngram, _ in ranked[:count]
    ]
