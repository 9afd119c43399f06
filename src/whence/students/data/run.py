"""What all stages of a distillation share: the teacher, the terms of the certificate, progress."""

from __future__ import annotations

from dataclasses import dataclass, field

from whence.core.errors import OptionError
from whence.core.progress import Progress
from whence.students.teacher.teacher import Teacher

__all__ = ["Run", "Terms", "Usage"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a student is held to, and the seed of all that is drawn to measure it.

    Attributes:
        target: agreement that replacing the teacher takes.
        level: confidence level of every bound and interval.
        seed: seed of every random draw; each draw has a generator of its own, so that a stage
            draws the same whichever stages ran before it.

    Raises:
        OptionError: one of them out of its range.
    """

    target: float = 0.95
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.target < 1 or not 0.5 < self.level < 1 or self.seed < 0:
            raise OptionError(
                "expected 0 < target < 1, 0.5 < level < 1 and seed >= 0, got "
                f"target={self.target}, level={self.level}, seed={self.seed}"
            )


@dataclass(frozen=True, slots=True)
class Usage:
    """Texts a teacher was asked, answers from its cache not counted, and the seconds they took.

    Example:
        >>> (Usage(3, 0.5) + Usage(1, 0.5)).microseconds
        250000.0
    """

    asked: int = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.asked + other.asked, self.seconds + other.seconds)

    @property
    def microseconds(self) -> float | None:
        """Mean time of a text; ``None`` where none was asked."""
        return 1e6 * self.seconds / self.asked if self.asked else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """The teacher of a distillation, the terms of its certificate, and who is told of progress.

    Attributes:
        teacher: model that is distilled.
        terms: target, level and seed.
        progress: callable of (what, done, total), called after each batch of work.
    """

    teacher: Teacher
    terms: Terms = field(default_factory=Terms)
    progress: Progress | None = None

    def tell(self, what: str, done: int, total: int) -> None:
        """Tell the caller how far some work is."""
        if self.progress is not None:
            self.progress(what, done, total)

    def used(self, since: Usage | None = None) -> Usage:
        """What the teacher was asked in all, or since it had been asked so much."""
        before = Usage() if since is None else since
        return Usage(self.teacher.asked - before.asked, self.teacher.seconds - before.seconds)
