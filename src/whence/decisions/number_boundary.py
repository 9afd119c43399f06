"""The nearest value of a number at which a decision flips, by bisection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from whence.core.other_explanations import Boundary
from whence.decisions.substitutes import Numeral

__all__ = ["FACTORS", "nearest_flip"]

FACTORS = tuple(2**k for k in range(1, 11))
"""Factors by which a number is first raised and lowered: up to a thousandfold. Chosen by hand."""

Asker = Callable[[Sequence[int]], Sequence[bool | None]]


def nearest_flip(number: Numeral, flips: Asker) -> tuple[int, Boundary] | None:
    """The value in steps nearest to the number, of those found, that flips, and its bracket.

    On each side the values at the factors (and zero) are asked, nearest first; between the first
    that flips and the one before it, bisection goes on to neighbours of one step. Between values
    that were asked a decision may flip and flip back unseen: "nearest" is on a side where it flips
    once. Cost: at most 2 (factors) + 1 and log2 of the bracket's steps for each side.

    Args:
        number: number as the text has it.
        flips: function that says of several values whether each flips; ``None``: not asked.

    Example:
        >>> from whence.decisions.substitutes import numeral
        >>> nearest_flip(numeral("12,000"), lambda steps: [s <= 7350 for s in steps])[0]
        7350
    """
    here = number.steps
    # From zero there are no multiples to go to: powers of two of the last digit written.
    up = [here * factor if here else factor for factor in FACTORS]
    down = [*dict.fromkeys(here // factor for factor in FACTORS), 0] if here else []
    grid = [*up, *(value for value in dict.fromkeys(down) if value != here)]
    answers = dict(zip(grid, flips(grid), strict=True))
    best: tuple[int, Boundary] | None = None
    for side in (up, [value for value in dict.fromkeys(down) if value != here]):
        held = here
        for value in side:
            if answers[value] is None:
                break
            if answers[value]:
                held, flipped = _bisected(held, value, flips)
                if best is None or abs(flipped - here) < abs(best[0] - here):
                    best = (
                        flipped,
                        Boundary(
                            original=number.value,
                            held=held / 10**number.decimals,
                            flipped=flipped / 10**number.decimals,
                            step=number.step,
                        ),
                    )
                break
            held = value
    return best


def _bisected(held: int, flipped: int, flips: Asker) -> tuple[int, int]:
    while abs(flipped - held) > 1:
        middle = (held + flipped) // 2
        answer = flips([middle])[0]
        # Out of budget: the bracket stays as wide as it is, and says so itself.
        if answer is None:
            break
        held, flipped = (held, middle) if answer else (middle, flipped)
    return held, flipped
