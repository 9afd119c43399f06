"""Batches that hold as many inputs as a budget of tokens allows, and fewer where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from whence.core.errors import OptionError

__all__ = ["TokenBudget", "halving"]

Found = TypeVar("Found")
Item = TypeVar("Item")


@dataclass(slots=True)
class TokenBudget:
    """Most tokens in one batch; halved when memory runs out, and kept so.

    Raises:
        OptionError: a budget below 1.
    """

    tokens: int

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise OptionError(f"token_budget={self.tokens} asked; it must be 1 or more")

    def fits(self, length: int) -> int:
        """Inputs of so many tokens that fit at once: one at least.

        Example:
            >>> TokenBudget(100).fits(30), TokenBudget(100).fits(300)
            (3, 1)
        """
        return max(1, self.tokens // max(1, length))

    def batches(
        self, count: int, length: int, run: Callable[[range], Found]
    ) -> Iterator[tuple[range, Found]]:
        """``run`` over the places ``0 .. count - 1`` of inputs of ``length`` tokens, batch by batch.

        A batch that does not fit into memory is run again by halves, down to one input; later
        batches are no larger. Each batch is given out before the next is run. No input: no batch.

        Raises:
            MemoryError: one input alone does not fit.

        Example:
            >>> [found for _, found in TokenBudget(100).batches(5, 40, list)]
            [[0, 1], [2, 3], [4]]
        """
        length = max(1, length)
        start = 0
        while start < count:
            places = range(start, min(count, start + self.fits(length)))
            try:
                found = run(places)
            except MemoryError:
                if len(places) == 1:
                    raise
                self.tokens = len(places) // 2 * length
                continue
            yield places, found
            start = places.stop


def halving(
    run: Callable[[Sequence[Item]], Sequence[Found]],
    items: Sequence[Item],
    budget: int,
    *,
    length: int,
) -> list[Found]:
    """The results of ``run`` over items of ``length`` tokens, as many at once as ``budget`` tokens.

    A batch that does not fit into memory is halved, down to one item; see :class:`TokenBudget`.

    Raises:
        OptionError: a budget below 1.
        MemoryError: one item alone does not fit.

    Example:
        >>> halving(lambda batch: [item * 2 for item in batch], [1, 2, 3], 20, length=10)
        [2, 4, 6]
    """
    parts = TokenBudget(budget).batches(
        len(items), length, lambda places: run(items[places.start : places.stop])
    )
    return [result for _, part in parts for result in part]
