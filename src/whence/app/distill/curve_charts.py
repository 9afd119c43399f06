"""Geometry of two curves: kappa against questions, and agreement against texts answered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from whence.app.distill.frontier_chart import Sheet, log_ticks, share_ticks, short_count
from whence.app.distill.wording import decimal, due, share
from whence.students.certificate.learning_curve import LearningCurve
from whence.students.routing.selective_prediction import SelectivePrediction

__all__ = ["CURVES", "answering_picture", "learning_picture"]

CURVES = (
    Sheet(name="wide", width=760.0, height=300.0, left=52.0, right=24.0, letter=13.0),
    Sheet(name="narrow", width=350.0, height=260.0, left=40.0, right=12.0, letter=11.5),
)

AHEAD = 4.0
"""Times the texts there are to which the law is drawn: two doublings. Chosen by hand."""


def learning_picture(curve: LearningCurve, sheet: Sheet) -> dict[str, Any]:
    """Texts learnt from (logarithmic) against kappa on texts held out, with the law through it."""
    points = [p for p in curve.points if math.isfinite(p.kappa.value)]
    law = curve.law
    last = float(curve.texts * (AHEAD if law is not None else 1.3))
    first = curve.points[0].texts / 1.3
    tops = [p.kappa.upper for p in points] + ([law(last)] if law is not None else [])
    lows = [p.kappa.lower for p in points]
    low, high = _room([v for v in (*tops, *lows) if math.isfinite(v)])
    high = min(high, 1.0)
    wide, _ = sheet.inner

    def across(value: float) -> float:
        return sheet.left + wide * math.log(value / first) / math.log(last / first)

    down = _down(sheet, low, high)
    # Evenly on the logarithmic axis; forty pieces look like a curve.
    sizes = np.geomspace(curve.points[0].texts, last, 40).tolist() if law is not None else []
    known = [n for n in sizes if n <= curve.texts]
    return {
        "sheet": sheet,
        "x_title": "questions learnt from",
        "y_title": "kappa",
        "xs": [{"at": across(t), "text": short_count(t)} for t in log_ticks(first, last)],
        "ys": [{"at": down(t), "text": f"{t:.2f}"} for t in _even(low, high)],
        "points": [
            {
                "x": across(float(p.texts)),
                "y": down(p.kappa.value),
                "low": down(p.kappa.lower) if math.isfinite(p.kappa.lower) else None,
                "high": down(p.kappa.upper) if math.isfinite(p.kappa.upper) else None,
            }
            for p in points
        ],
        "curve": _path([(across(n), down(law(n))) for n in known]) if law is not None else "",
        "ahead": (
            # A little before the last measured size: the broken line joins the whole one between
            # two points of the grid.
            _path([(across(n), down(law(n))) for n in sizes if n >= curve.texts / 1.15])
            if law is not None
            else ""
        ),
        "band": "",
        "aim": None,
        "mark": None,
        "rows": [
            (
                f"{p.texts:,}",
                decimal(p.kappa.value),
                f"{decimal(p.kappa.lower)} to {decimal(p.kappa.upper)}",
                f"{p.draws}",
            )
            for p in curve.points
        ],
    }


def answering_picture(selective: SelectivePrediction, sheet: Sheet) -> dict[str, Any]:
    """Share of texts answered alone against agreement on them; the lower bound as a band."""
    known = [(rung.coverage.value, rung.agreement) for rung in selective.curve]
    points = [(at, agreement) for at, agreement in known if agreement is not None]
    floors = [agreement.lower for _, agreement in points] + [selective.target]
    low, high = math.floor(max(min(floors) - 0.01, 0.0) * 20) / 20, 1.0
    wide, _ = sheet.inner

    def across(value: float) -> float:
        return sheet.left + wide * value

    down = _down(sheet, low, high)
    upper = [(across(at), down(agreement.value)) for at, agreement in points]
    lower = [(across(at), down(agreement.lower)) for at, agreement in points]
    mark = None
    if selective.threshold is not None:
        at = across(selective.coverage.value)
        mark = {
            "x": at,
            "top": sheet.top,
            "text": f"from {selective.threshold:.2f} on",
            "anchor": "end" if at > sheet.left + wide / 2 else "start",
        }
    return {
        "sheet": sheet,
        "x_title": "texts answered alone",
        "y_title": "agreement on them",
        "xs": [{"at": across(t), "text": f"{100 * t:.0f} %"} for t in (0.0, 0.25, 0.5, 0.75, 1.0)],
        "ys": [{"at": down(t), "text": f"{100 * t:.0f} %"} for t in share_ticks(low, high)],
        "points": [{"x": x, "y": y, "low": None, "high": None} for x, y in upper],
        "curve": _path(upper),
        "ahead": "",
        "band": f"{_path([*upper, *reversed(lower)])}Z" if len(upper) > 1 else "",
        "aim": {"y": down(selective.target), "text": f"{due(selective.target)} required"},
        "mark": mark,
        "rows": [
            (
                f"{rung.threshold:.3f}",
                share(rung.coverage.value),
                "too few texts" if rung.agreement is None else share(rung.agreement.value),
                "\u2013" if rung.agreement is None else f"at least {share(rung.agreement.lower)}",
            )
            for rung in selective.curve
        ],
    }


def _room(values: Sequence[float]) -> tuple[float, float]:
    """A range of tenths that holds some values."""
    if not values:
        return 0.0, 1.0
    low = math.floor(min(values) * 10 - 1e-9) / 10
    return low, max(math.ceil(max(values) * 10 + 1e-9) / 10, low + 0.1)


def _even(low: float, high: float) -> list[float]:
    steps = round((high - low) * 10)
    every = max(1, math.ceil(steps / 5))
    return [low + k / 10 for k in range(0, steps + 1, every)]


def _down(sheet: Sheet, low: float, high: float) -> Callable[[float], float]:
    _, tall = sheet.inner
    return lambda value: sheet.top + tall * (1 - (value - low) / (high - low))


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places) if places else ""
