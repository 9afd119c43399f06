"""Measurements: a metric never gives a bare number."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from whence.core.errors import OptionError
from whence.core.provenance import MethodSpec
from whence.core.record import Record, Value

__all__ = ["Interval", "Measurement"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Interval(Value):
    """An interval ``low`` to ``high`` that covers the truth with probability ``level``."""

    low: float
    high: float
    level: float
    how: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measurement(Record):
    """A measured quantity with everything needed to read and to compare it.

    Attributes:
        name, value, unit: name, value and unit of what was measured.
        n: number of independent observations behind it.
        direction: whether more is better.
        interval: ``None`` only where the value is exact.
        specification: output, class rule, masker, bins, seed: whatever changes the number.
        random, best: value of the same metric for a random and for the best-found explanation of the
            same game; ``None`` where that has no meaning.
    """

    name: str
    value: float
    unit: str
    n: int
    direction: Literal["higher", "lower", "none"]
    interval: Interval | None
    specification: MethodSpec
    random: float | None = None
    best: float | None = None
    kind: Literal["measurement"] = "measurement"
    schema_version: Literal[1] = 1

    def __post_init__(self) -> None:
        numbers = [self.value, self.random, self.best]
        numbers += [] if self.interval is None else [self.interval.low, self.interval.high]
        if not all(number is None or isfinite(number) for number in numbers):
            raise ValueError(
                f"{self.name} is {self.value} (random {self.random}, best {self.best}, interval "
                f"{self.interval}); what has no finite value is no measurement"
            )

    def difference(self, other: Measurement) -> float:
        """``self.value - other.value``, refused where the two were not measured alike.

        Raises:
            OptionError: the specifications differ; the message names where.
        """
        differing = self.unlike(other)
        if not differing:
            return self.value - other.value
        raise OptionError(
            "these measurements cannot be compared, they were not made alike: "
            + "; ".join(differing)
            + ". Measure both with one specification."
        )

    def unlike(self, other: Measurement, *, across: Collection[str] = ()) -> tuple[str, ...]:
        """In what the making of two measurements differs, each with what it is in both.

        Args:
            other: second measurement.
            across: settings that may differ.
        """
        mine, theirs = self.specification, other.specification
        keys = sorted((set(mine.options) | set(theirs.options)) - set(across))
        pairs = [
            ("measurement", repr(self.name), repr(other.name)),
            ("unit", repr(self.unit), repr(other.unit)),
            ("metric", repr(mine.name), repr(theirs.name)),
            *((key, _setting(mine, key), _setting(theirs, key)) for key in keys),
        ]
        return tuple(f"{key}: {one} and {two}" for key, one, two in pairs if one != two)


def _setting(specification: MethodSpec, key: str) -> str:
    """A setting as it is written; what compares equal, such as True and 1, may not be alike."""
    options = specification.options
    return repr(options[key]) if key in options else "not set"
