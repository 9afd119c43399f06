"""Thresholds that the numbers of a corpus are cut at: few, readable, between the values that occur."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from whence.students.features.quantities import LOWEST, QUANTITIES, Measure, quantities
from whence.students.features.word_features import Feature, above, up_to

__all__ = ["FEWEST", "MOST", "threshold_features", "thresholds"]

FEWEST = 20
"""Texts that must have a number of a name before it is cut: of fewer, a threshold tells single texts
apart. Chosen by hand."""

MOST = 64
"""Thresholds of a name at most: where values are many, the nearest is then off by 1 / 128 of the
texts at most. Chosen by hand."""


def threshold_features(texts: Sequence[str], least: int) -> list[Feature]:
    """Whether a text has a number of a name, and one above or up to each of some thresholds.

    Each feature is had by ``least`` texts and lacked by as many. Of those that the same texts have
    ("amount > 10,000" and "amount after 'loan of' > 10,000") that of the shortest name stays.

    Args:
        texts: texts of the corpus.
        least: texts on either side of a threshold, at least.
    """
    ranges: dict[tuple[Measure, str], np.ndarray] = {}
    for row, text in enumerate(texts):
        for quantity in quantities(text):
            for name in quantity.names:
                column = ranges.setdefault(name, np.full((2, len(texts)), np.nan))
                # fmin and fmax take the number where the other is none.
                column[0, row] = np.fmin(column[0, row], quantity.value)
                column[1, row] = np.fmax(column[1, row], quantity.value)
    result: list[Feature] = []
    seen: set[bytes] = set()
    for measure, after in sorted(ranges, key=lambda name: (len(name[1].split()), _place(name))):
        low, high = ranges[measure, after]
        some = ~np.isnan(low)
        if some.sum() < max(FEWEST, least):
            continue
        limits = thresholds(np.concatenate([low[some], high[some]]), measure)
        # Of a text without the number both are NaN, which is above and below nothing.
        offered = [(above(measure, after, limit), high > limit) for limit in (LOWEST, *limits)]
        offered += [(up_to(measure, after, limit), low <= limit) for limit in limits]
        for feature, has in offered:
            if least <= has.sum() <= len(texts) - least and has.tobytes() not in seen:
                seen.add(has.tobytes())
                result.append(feature)
    return result


def _place(name: tuple[Measure, str]) -> tuple[int, str]:
    return QUANTITIES.index(name[0]), name[1]


def thresholds(
    values: Float[np.ndarray, " values"], measure: str, *, most: int = MOST
) -> list[float]:
    """The roundest number between neighbours, or in each of ``most`` cells of equally many values.

    A threshold ``t`` parts values up to ``t`` from those above it.

    Args:
        values: numbers that occur, with repeats.
        measure: what they measure; of dates, the first day of a year is rounder than that of a
            month.
        most: thresholds at most.

    Example:
        >>> thresholds(np.array([8500.0, 9700.0, 12250.0, 31000.0]), "amount")
        [9000.0, 10000.0, 20000.0]
    """
    ends = np.unique(values)
    if len(ends) > most + 1:
        # "lower" gives values that occur, so that a cell runs from a value to a value.
        ends = np.unique(np.quantile(values, np.linspace(0, 1, most + 1), method="lower"))
    pairs = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    if measure == "date":
        return [float(_round_day(int(low), int(high))) for low, high in pairs]
    return [_round_number(low, high) for low, high in pairs]


def _round_number(low: float, high: float) -> float:
    """The number in ``[low, high)`` with the fewest digits, and of these the nearest to the middle."""
    power = math.floor(math.log10(max(abs(low), abs(high), high - low)))
    # Down to a millionth of the gap; a threshold of more digits is read by nobody.
    while power > math.log10(high - low) - 6:
        # Fives stand between tens: 25,000 is rounder than 24,000.
        for step in (10.0**power, 5 * 10.0 ** (power - 1)):
            first, last = math.ceil(low / step), math.ceil(high / step) - 1
            if first <= last:
                middle = min(max(round((low + high) / 2 / step), first), last)
                result = round(middle * step, max(0, 2 - power))
                if low <= result < high:
                    return result
        power -= 1
    return low


def _round_day(low: int, high: int) -> int:
    """The day in ``[low, high)`` that is a first of January, or else of a month, or else ``low``."""
    first, last = dt.date.fromordinal(low), dt.date.fromordinal(high - 1)
    years = [dt.date(year, 1, 1) for year in range(first.year, last.year + 1)]
    months = [day.replace(month=month) for day in years for month in range(1, 13)]
    for days in (years, months):
        inside = [day for day in days if first <= day <= last]
        if inside:
            return inside[len(inside) // 2].toordinal()
    return low
