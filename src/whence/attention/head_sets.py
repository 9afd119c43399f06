"""Small sets of heads that carry an answer together, found by elimination."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from whence.attention.head_effects import HeadName

__all__ = ["RANDOM_SETS", "SHARE", "carrying_set"]

SHARE = 0.9
"""Share of the effect of all heads that a set has to keep. Chosen by hand; the effect that is reported of a
set is measured afterwards, with draws of its own."""

RANDOM_SETS = 8
"""Random sets of the same size, measured beside a set that was found."""


def carrying_set(
    heads: Sequence[HeadName], effect: Callable[[Sequence[HeadName]], float], share: float = SHARE
) -> list[HeadName]:
    """A small set of heads whose ablation has ``share`` of the effect of ablating all ``heads``.

    Elimination from the whole, since heads that back each other up have no effect one by one: a
    run of heads leaves the set if the rest still has the share; runs begin with half of the heads
    and are halved, until no single head can leave. The set is minimal (none of its heads can go), not
    always the smallest.

    Args:
        heads: heads in the order in which they are tried to leave.
        effect: what the target loses when some heads are ablated at once.
        share: share of the whole effect that remains.

    Returns:
        The set, in the order of ``heads``; empty where all heads together have no effect.

    Cost: about ``2 k log2(n / k)`` calls of ``effect`` for ``k`` of ``n`` heads (delta debugging:
    Zeller & Hildebrandt 2002, doi:10.1109/32.988498).

    Example:
        >>> either = lambda heads: 1.0 if {("a", 0), ("a", 2)} <= set(heads) else 0.0
        >>> carrying_set([("a", 1), ("a", 2), ("a", 3), ("a", 0)], either)
        [('a', 2), ('a', 0)]
    """
    rest = list(heads)
    whole = effect(rest)
    if whole == 0:
        return []
    size = max(1, len(rest) // 2)
    while True:
        before, place = len(rest), 0
        while place < len(rest):
            without = rest[:place] + rest[place + size :]
            # As a ratio, so that heads that lower the target are found too.
            if without and effect(without) / whole >= share:
                rest = without
            else:
                place += size
        if size == 1 and len(rest) == before:
            return rest
        size = max(1, size // 2)
