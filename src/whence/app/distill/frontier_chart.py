"""Geometry of the pictures of a distillation: axes, points, and labels that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from whence.app.distill.wording import control_name
from whence.app.shared.formatting import visible
from whence.students.certificate.frontier import Frontier, Rung

__all__ = ["NARROW", "WIDE", "Sheet", "frontier_picture", "log_ticks", "share_ticks", "spread"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """Size and margins of a picture, and of the letters on it, in its own units."""

    name: str
    width: float
    height: float
    left: float
    right: float
    top: float = 14.0
    bottom: float = 46.0
    letter: float

    @property
    def inner(self) -> tuple[float, float]:
        """Width and height between the margins."""
        return self.width - self.left - self.right, self.height - self.top - self.bottom


WIDE = Sheet(name="wide", width=800.0, height=420.0, left=52.0, right=190.0, letter=13.0)
NARROW = Sheet(name="narrow", width=350.0, height=330.0, left=38.0, right=116.0, letter=11.5)
"""The same picture for a narrow window: fewer units, so that letters stay legible."""

EM = 0.56
"""Width of a letter over its size; a little more than that of most. Chosen by hand."""


@dataclass(frozen=True, slots=True)
class _Box:
    x0: float
    y0: float
    x1: float
    y1: float

    def overlap(self, other: _Box) -> float:
        wide = min(self.x1, other.x1) - max(self.x0, other.x0)
        high = min(self.y1, other.y1) - max(self.y0, other.y0)
        return wide * high if wide > 0 and high > 0 else 0.0


def spread(aims: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near as can be to the aims, ``gap`` apart at least, in their order.

    Where there is no room for all between ``low`` and ``high`` they are that close together.

    Example:
        >>> spread([10.0, 11.0, 40.0], 10.0, 0.0, 100.0)
        [5.5, 15.5, 40.0]
    """
    if not aims:
        return []
    order = np.argsort(np.array(aims), kind="stable")
    count = len(aims)
    distance = min(gap, (high - low) / max(count - 1, 1))
    steps = distance * np.arange(count)
    # Places less their steps must rise: the nearest such ones are an isotonic regression.
    rising = isotonic_regression(np.array(aims)[order] - steps).x
    spaced = np.clip(rising, low, high - steps[-1]) + steps
    places = np.empty(count)
    places[order] = spaced
    return [float(place) for place in places]


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers between two positive ones, for a logarithmic axis.

    Example:
        >>> log_ticks(12.0, 900.0)
        [20.0, 50.0, 100.0, 200.0, 500.0]
        >>> log_ticks(3.0, 90_000.0)
        [10.0, 100.0, 1000.0, 10000.0]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # From fine to coarse: the first that gives few enough.
    for steps in ((1, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
        result = [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
        if len(result) <= most:
            break
    return result


def share_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round shares between two, evenly apart.

    Example:
        >>> share_ticks(0.5, 1.0)
        [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    """
    for step in (1, 2, 5, 10, 20, 25, 50):
        # 1e-9 against the error of the product: .55 * 100 is 55.00000000000001, and its ceiling 56.
        first, last = math.ceil(low * 100 / step - 1e-9), math.floor(high * 100 / step + 1e-9)
        if last - first < most:
            return [tick * step / 100 for tick in range(first, last + 1)]
    return [0.0, 1.0]


def short_count(value: float) -> str:
    """A count for an axis.

    Example:
        >>> short_count(500.0), short_count(20_000.0), short_count(3_000_000.0)
        ('500', '20k', '3M')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def frontier_picture(frontier: Frontier, chosen: str, sheet: Sheet) -> dict[str, Any]:
    """Reading cost (logarithmic) against agreement, with bounds; controls as lines.

    Args:
        frontier: frontier that is drawn.
        chosen: name of the student that is marked.
        sheet: size and margins of the picture.
    """
    students = [rung for rung in frontier.rungs if not rung.control]
    controls = [rung for rung in frontier.rungs if rung.control]
    costs = [float(max(rung.reading, 1)) for rung in students]
    left, right = min(costs) / 1.6, max(costs) * 1.6
    ends = [r.agreement.lower for r in students] + [r.agreement.value for r in controls]
    # A multiple of 5 %, at least 2 % below the lowest bound.
    floor = math.floor(max(min(ends) - 0.02, 0.0) * 20) / 20
    wide, high = sheet.inner

    def across(value: float) -> float:
        return sheet.left + wide * math.log(value / left) / math.log(right / left)

    def down(value: float) -> float:
        return sheet.top + high * (1 - (value - floor) / (1 - floor))

    places = [
        {
            "x": across(float(max(rung.reading, 1))),
            "y": down(rung.agreement.value),
            "low": down(rung.agreement.lower),
            "high": down(rung.agreement.upper),
            "name": visible(rung.name),
            "chosen": rung.name == chosen,
            "best": rung.best,
        }
        for rung in students
    ]
    groups = _together(places)
    best = [place for place in places if place["best"]]
    return {
        "sheet": sheet,
        "students": places,
        "names": [
            {**n, **at} for n, at in zip(groups, _labels(groups, places, sheet), strict=True)
        ],
        "steps": _steps(best, sheet.left + wide),
        "controls": _control_lines(controls, down, sheet),
        "xs": [{"at": across(tick), "text": short_count(tick)} for tick in log_ticks(left, right)],
        "ys": [
            {"at": down(tick), "text": f"{100 * tick:.0f} %"} for tick in share_ticks(floor, 1.0)
        ],
    }


def _steps(best: Sequence[dict[str, Any]], end: float) -> str:
    """The staircase of what can be had for so much reading."""
    if not best:
        return ""
    path = f"M{best[0]['x']:.1f} {best[0]['y']:.1f}"
    for place in best[1:]:
        path += f"H{place['x']:.1f}V{place['y']:.1f}"
    return f"{path}H{end:.1f}"


def _control_lines(controls: Sequence[Rung], down: Any, sheet: Sheet) -> list[dict[str, Any]]:
    edge = sheet.width - sheet.right
    heights = [down(rung.agreement.value) for rung in controls]
    bottom = sheet.height - sheet.bottom
    texts = spread(heights, sheet.letter * 1.3, sheet.top + 4, bottom)
    lines: list[dict[str, Any]] = []
    for rung, height, text in zip(controls, heights, texts, strict=True):
        name = control_name(rung.name)
        full = f"{name} {100 * rung.agreement.value:.1f} %"
        lines.append(
            {
                "y": height,
                "text_y": text,
                "edge": edge,
                "name": full if sheet.name == "wide" else name,
            }
        )
    return lines


def _together(places: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Students that stand on one spot under one name, the chosen one's where it is there."""
    spots: list[list[dict[str, Any]]] = []
    for place in places:
        for spot in spots:
            # Points have a radius of 4.5 to 6: nearer ones cover each other, and so would their
            # names.
            if abs(spot[0]["x"] - place["x"]) < 3 and abs(spot[0]["y"] - place["y"]) < 3:
                spot.append(place)
                break
        else:
            spots.append([place])
    result: list[dict[str, Any]] = []
    for spot in spots:
        first = next((place for place in spot if place["chosen"]), spot[0])
        rest = f" and {len(spot) - 1} more" if len(spot) > 1 else ""
        result.append({**first, "name": first["name"] + rest})
    return result


def _labels(
    names: Sequence[dict[str, Any]], places: Sequence[dict[str, Any]], sheet: Sheet
) -> list[dict[str, Any]]:
    """Where each name stands: beside its point, over nothing else if that can be."""
    size, gap = sheet.letter, 8.0
    boxes_so_far = [_Box(p["x"] - 6, p["y"] - 6, p["x"] + 6, p["y"] + 6) for p in places]
    boxes_so_far += [_Box(p["x"] - 2, p["high"], p["x"] + 2, p["low"]) for p in places]
    result: list[dict[str, Any]] = []
    for place in names:
        length = EM * size * len(place["name"])
        x, y = place["x"], place["y"]
        tries = [
            (x + gap, y - size * 0.5, "start"),
            (x - gap, y - size * 0.5, "end"),
            (x, place["high"] - 5, "middle"),
            (x, place["low"] + size + 2, "middle"),
            (x + gap, y - size * 1.6, "start"),
            (x + gap, y + size * 1.6, "start"),
            (x - gap, y - size * 1.6, "end"),
            (x - gap, y + size * 1.6, "end"),
            (x + gap, y - size * 2.8, "start"),
            (x + gap, y + size * 2.8, "start"),
            (x - gap, y + size * 2.8, "end"),
        ]
        # Long names in a narrow picture fill the lines beside their points: then farther ones.
        tries += [
            (x + step, y + size * lines, anchor)
            for lines in (-2.8, 4.0, -4.0, 5.2, -5.2)
            for step, anchor in ((gap, "start"), (-gap, "end"), (0.0, "middle"))
        ]
        boxes = [_box(tx, ty, length, size, anchor) for tx, ty, anchor in tries]
        costs = [
            # A name that is cut off is worse than one that covers something; rank breaks ties for
            # the places that are nearer. Weights chosen by hand; not calibrated.
            sum(box.overlap(other) for other in boxes_so_far)
            + 40 * _outside(box, sheet)
            + 0.5 * rank
            for rank, box in enumerate(boxes)
        ]
        best = int(np.argmin(costs))
        boxes_so_far.append(boxes[best])
        tx, ty, anchor = tries[best]
        result.append({"at_x": tx, "at_y": ty, "anchor": anchor})
    return result


def _box(x: float, y: float, length: float, size: float, anchor: str) -> _Box:
    start = {"start": x, "middle": x - length / 2, "end": x - length}[anchor]
    # An ascender above the line of writing, a descender below it. Chosen by hand.
    return _Box(start, y - size * 0.85, start + length, y + size * 0.3)


def _outside(box: _Box, sheet: Sheet) -> float:
    """How far a box sticks out of the picture's inside."""
    right, bottom = sheet.width - sheet.right, sheet.height - sheet.bottom
    return (
        max(0.0, sheet.left - box.x0)
        + max(0.0, box.x1 - right)
        + max(0.0, sheet.top - box.y0)
        + max(0.0, box.y1 - bottom)
    )
