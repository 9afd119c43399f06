"""What is looked into without a question to the teacher, and how thoroughly."""

from __future__ import annotations

from dataclasses import dataclass, fields

from whence.core.errors import OptionError

__all__ = ["Checks"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checks:
    """How often a student is fitted again, for what the certificate says beside agreement.

    Args:
        refits: on bootstrap samples, for stability; 0 leaves it out, else 2 or more.
        topics: clusters of the texts, each left out of a fit in turn; 0 leaves it out, else 2 or
            more. Two fits each.
        curve: samples of each small size for the learning curve; 0 leaves it out.
        permutations: random searches beside the one for regions of distrust; 0 leaves it out.
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
                raise OptionError(f"{field.name}={count} asked; 0, or {least} and more is due")
