"""Batches that hold as many inputs as a budget of tokens allows, and fewer where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from whence.core.errors import OptionError

__all__ = ["DEFAULT_TOKEN_BUDGET", "TokenBudget", "batched"]

DEFAULT_TOKEN_BUDGET = 4096
"""Tokens in one batch to begin with: 64 texts of 64 tokens. Chosen by hand for a CPU of a few cores;
on a GPU pass a larger ``token_budget``."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class TokenBudget:
    """Most tokens in one batch; halved when memory runs out, and kept so.

    Raises:
        OptionError: a budget below 1.
    """

    tokens: int

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise OptionError(
                f"expected a token budget of 1 or more, got token_budget={self.tokens}"
            )

    def fits(self, length: int) -> int:
        """Inputs of so many tokens that fit at once: one at least.

        Example:
            >>> TokenBudget(100).fits(30), TokenBudget(100).fits(300)
            (3, 1)
        """
        return max(1, self.tokens // max(1, length))

    def batches(
        self, count: int, length: int | Callable[[int], int], run: Callable[[range], Result]
    ) -> Iterator[tuple[range, Result]]:
        """``run`` over the places ``0 .. count - 1`` of inputs of ``length`` tokens, batch by batch.

        Inputs of unequal length stand longest first; ``length`` is then a function of the place.
        A batch that does not fit into memory is run again by halves, down to one input; later
        batches are no larger. Each batch is given out before the next is run. No input: no batch.

        Raises:
            MemoryError: one input alone does not fit.

        Example:
            >>> [result for _, result in TokenBudget(100).batches(5, 40, list)]
            [[0, 1], [2, 3], [4]]
        """
        start = 0
        while start < count:
            # Padding makes every row of a batch as long as its first, so memory grows with rows
            # times this.
            longest = max(1, length(start) if callable(length) else length)
            places = range(start, min(count, start + self.fits(longest)))
            try:
                result = run(places)
            except MemoryError:
                if len(places) == 1:
                    raise
                # Half of what was tried and not half of the budget: a last batch that did not fill
                # the budget would come back unchanged.
                self.tokens = len(places) // 2 * longest
                continue
            yield places, result
            start = places.stop


def batched(
    items: Sequence[Item],
    length: int,
    token_budget: int,
    run: Callable[[Sequence[Item]], Sequence[Result]],
) -> list[Result]:
    """``run`` over items of equal length, as many at once as the budget of tokens allows.

    A batch that does not fit into memory is halved, down to one item.

    Raises:
        OptionError: a budget below 1.
        MemoryError: one item alone does not fit.

    Example:
        >>> batched(["a", "b", "c"], 40, 100, lambda items: [item.upper() for item in items])
        ['A', 'B', 'C']
    """
    parts = TokenBudget(token_budget).batches(
        len(items), length, lambda places: run(items[places.start : places.stop])
    )
    return [result for _, part in parts for result in part]
