"""What changed between two trust labels, such as those of two versions of a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from whence.core.display import text_of
from whence.core.measurements import Measurement
from whence.core.record import Value
from whence.core.trust import GRADES, Finding, Grade, Level, Quantity, TrustLabel

__all__ = ["VERSIONS", "LabelDiff", "MeasurementDiff", "QuantityDiff", "compare_labels"]

VERSIONS = ("model", "pool_seed")
"""The settings in which labels of one text under two versions of a model always differ."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MeasurementDiff(Value):
    """One measurement in two labels.

    Attributes:
        name, unit: name and unit of what was measured.
        before, after: values; ``None`` where it was not measured.
        difference: after - before, in ``unit``; ``None`` where one is missing or they were not
            measured alike.
        apart: whether the two intervals have no value in common; ``None`` without a difference.
        unlike: settings in which the two differ; empty where they can be compared.
    """

    name: str
    unit: str
    before: float | None
    after: float | None
    difference: float | None
    apart: bool | None
    unlike: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class QuantityDiff(Value):
    """One question in two labels; a finding is ``None`` where it was not asked."""

    question: str
    before: Finding | None
    after: Finding | None
    measurements: tuple[MeasurementDiff, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelDiff(Value):
    """Two labels side by side, ``(before, after)``.

    Attributes:
        grade, output, level, calibration: entries of both labels.
        quantities: questions of either, those of the first in front.
        additive_share: shares of both; ``None`` where neither has one.
        reliable: indices of features whose effect only one of them finds distinguishable from zero; ``None`` where the
            features are not as many.
        across: settings that were allowed to differ.
    """

    grade: tuple[Grade, Grade]
    output: tuple[str, str]
    level: tuple[Level, Level]
    calibration: tuple[str | None, str | None]
    quantities: tuple[QuantityDiff, ...]
    additive_share: MeasurementDiff | None
    reliable: tuple[int, ...] | None
    across: tuple[str, ...]

    @property
    def worse(self) -> bool:
        """Whether the grade fell, in the order of :data:`~whence.core.trust.GRADES`."""
        before, after = self.grade
        return GRADES.index(after) > GRADES.index(before)

    def __str__(self) -> str:
        return text_of(self)


def compare_labels(
    before: TrustLabel, after: TrustLabel, *, across: Collection[str] = ()
) -> LabelDiff:
    """What changed from one label to another, question by question.

    Measurements are subtracted where their whole specifications agree; elsewhere the difference is
    left out and ``unlike`` tells why. Questions are matched by their wording, measurements by their
    name within a question. Cost: none.

    Misleads where the labels are of different texts: nothing in a label tells.

    Args:
        before: first label.
        after: second label.
        across: settings of a specification that are the very thing compared, and so may differ:
            :data:`VERSIONS` for one text under two versions of a model, whose pools hold other
            masks of the same law.

    Example:
        >>> import whence
        >>> from whence.core import KeptPool, MethodSpec
        >>> from whence.core.arrays import frozen_array
        >>> pool = KeptPool(masks=(), values=frozen_array([[]]).reshape(0, 1),
        ...     full=frozen_array([1.0]), complete=True, seed=0, masker=MethodSpec(name="Deletion"))
        >>> settings = dict(output="yes", level="quick", says="", reasons=(), calibration=None,
        ...     quantities=(), additive_share=None, reliable=(True,), pool=pool, discarded=(),
        ...     cost=whence.core.Cost(), explanations=0, notes=())
        >>> old, new = (TrustLabel(grade=grade, **settings) for grade in ("B", "C"))
        >>> compare_labels(old, new).worse
        True
    """
    allowed = tuple(sorted(across))
    first, second = _by_question(before), _by_question(after)
    quantities: list[QuantityDiff] = []
    for question in _keys(first, second):
        one, other = first.get(question), second.get(question)
        quantities.append(
            QuantityDiff(
                question=question,
                before=None if one is None else one.finding,
                after=None if other is None else other.finding,
                measurements=_measurements(one, other, allowed),
            )
        )
    shares = before.additive_share, after.additive_share
    same = len(before.reliable) == len(after.reliable)
    # strict=False: of another number of features the pairs are not used.
    pairs = enumerate(zip(before.reliable, after.reliable, strict=False))
    return LabelDiff(
        grade=(before.grade, after.grade),
        output=(before.output, after.output),
        level=(before.level, after.level),
        calibration=(before.calibration, after.calibration),
        quantities=tuple(quantities),
        additive_share=None if shares == (None, None) else _compared(*shares, allowed),
        reliable=tuple(i for i, (one, other) in pairs if one != other) if same else None,
        across=allowed,
    )


def _by_question(label: TrustLabel) -> dict[str, Quantity]:
    return {quantity.question: quantity for quantity in label.quantities}


def _keys(first: Iterable[str], second: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*first, *second]))


def _measurements(
    one: Quantity | None, other: Quantity | None, across: tuple[str, ...]
) -> tuple[MeasurementDiff, ...]:
    first = {} if one is None else {m.name: m for m in one.measurements}
    second = {} if other is None else {m.name: m for m in other.measurements}
    return tuple(
        _compared(first.get(name), second.get(name), across) for name in _keys(first, second)
    )


def _compared(
    before: Measurement | None, after: Measurement | None, across: tuple[str, ...]
) -> MeasurementDiff:
    known = before if after is None else after
    assert known is not None
    unlike: tuple[str, ...] = ()
    difference = apart = None
    if before is not None and after is not None:
        # A difference of numbers that were not measured alike says nothing of the model.
        unlike = after.unlike(before, across=across)
        if not unlike:
            difference = after.value - before.value
            (low, high), (lowest, highest) = _ends(before), _ends(after)
            # Intervals without a common value are a stricter test than an interval of the
            # difference (Schenker and Gentleman 2001, doi:10.1198/000313001317097960).
            apart = high < lowest or highest < low
    return MeasurementDiff(
        name=known.name,
        unit=known.unit,
        before=None if before is None else before.value,
        after=None if after is None else after.value,
        difference=difference,
        apart=apart,
        unlike=unlike,
    )


def _ends(measurement: Measurement) -> tuple[float, float]:
    """Ends of the interval; an exact value is both of its own."""
    interval = measurement.interval
    if interval is None:
        return measurement.value, measurement.value
    return interval.low, interval.high
