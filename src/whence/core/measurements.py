"""Measurements: a metric never gives a bare number."""

from __future__ import annotations

from dataclasses import dataclass
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
        name, value, unit: what was measured.
        n: how many independent observations stand behind it.
        direction: whether more is better.
        interval: ``None`` only where the value is exact.
        specification: output, class rule, masker, bins, seed: whatever changes the number.
        random, best: the same metric for a random and for the best-found explanation of the
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

    def difference(self, other: Measurement) -> float:
        """``self.value - other.value``, refused where the two were not measured alike.

        Raises:
            OptionError: the specifications differ; the message names where.
        """
        mine, theirs = self.specification, other.specification
        if (self.name, self.unit, mine) == (other.name, other.unit, theirs):
            return self.value - other.value
        keys = sorted(set(mine.options) | set(theirs.options))
        differing = [
            f"{key}: {mine.options.get(key)!r} and {theirs.options.get(key)!r}"
            for key in keys
            if mine.options.get(key) != theirs.options.get(key)
        ] or [f"{self.name} [{self.unit}] and {other.name} [{other.unit}]"]
        raise OptionError(
            "these measurements cannot be compared, they were not made alike: "
            + "; ".join(differing)
            + ". Measure both with one specification."
        )
