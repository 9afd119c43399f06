"""Subsets of a set that do the same, down to one that has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TypeVar

__all__ = ["ALL_SUBSETS", "minimal_subset"]

ALL_SUBSETS = 8
"""Members up to which every proper subset is asked: 254 evaluations."""

Item = TypeVar("Item")


def minimal_subset(
    items: tuple[Item, ...], works: Callable[[Sequence[tuple[Item, ...]]], Sequence[bool | None]]
) -> tuple[tuple[Item, ...], bool | None]:
    """A smallest subset that works, and whether no proper subset of it does.

    Up to 8 members all subsets are asked, the smallest first, so that the one returned is a smallest.
    Above, members are spared one by one, in order; what is left may hold a subset that works although
    no single member can be spared, and the answer is ``None``. So it is where a question had no answer.

    Args:
        items: set that works.
        works: function that says of several subsets whether each works; ``None``: not asked.

    Example:
        >>> minimal_subset((1, 2, 3), lambda subsets: [3 in s and 1 in s for s in subsets])
        ((1, 3), True)
    """
    while len(items) > ALL_SUBSETS:
        fewer = [items[:place] + items[place + 1 :] for place in range(len(items))]
        answers = works(fewer)
        spared = next((s for s, answer in zip(fewer, answers, strict=True) if answer), None)
        if spared is None:
            return items, None
        items = spared
    for size in range(len(items)):
        subsets = list(combinations(items, size))
        answers = works(subsets)
        for subset, answer in zip(subsets, answers, strict=True):
            if answer:
                return subset, True
        if None in answers:
            return items, None
    return items, True
