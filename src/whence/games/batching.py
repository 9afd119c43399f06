"""Batches that hold as many inputs as a budget of tokens allows, and fewer where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from whence.core.errors import OptionError

__all__ = ["TokenBudget"]

Found = TypeVar("Found")


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
