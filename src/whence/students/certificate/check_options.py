"""Checks of a student that ask the teacher nothing, and how thorough they are."""

from __future__ import annotations

from dataclasses import dataclass, fields

from whence.core.errors import OptionError

__all__ = ["Checks"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checks:
    """How often a student is fitted again, for what the certificate says beside agreement.

    The defaults were chosen by hand and are not calibrated; 99 ``permutations`` are the fewest that
    allow a chance of .01.

    Args:
        refits: fits on bootstrap samples, for stability; 0 leaves it out, else 2 or more.
        topics: clusters of the texts, each left out of a fit in turn; 0 leaves it out, else 2 or
            more. Two fits each.
        curve: samples of each small size for the learning curve; 0 leaves it out.
        permutations: random searches beside the one for regions of distrust; 0 leaves it out.

    Raises:
        OptionError: a number that is neither 0 nor large enough.
    """

    refits: int = 20
    topics: int = 5
    curve: int = 3
    permutations: int = 99

    def __post_init__(self) -> None:
        for field in fields(self):
            count = getattr(self, field.name)
            least = 2 if field.name in ("refits", "topics") else 1
            if count and count < least:
                raise OptionError(f"expected {field.name} of 0, or {least} or more, got {count}")
