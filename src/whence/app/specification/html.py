"""A specification curve as a self-contained page: the shares in order, and below them every choice."""

from __future__ import annotations

from typing import Any

from whence._version import __version__
from whence.app.shared.formatting import visible
from whence.app.shared.templates import environment, script_json
from whence.app.specification.wording import (
    MEANING,
    SETTING_NAMES,
    by_share,
    facts,
    failed_lines,
    headline,
    value_name,
)
from whence.app.trust.html import verdict_rules
from whence.core.specification_curve import Specification, SpecificationCurve

__all__ = ["fragment", "page"]

HEIGHT = 100.0
"""Height of the curve's picture in its own units; its width is one unit a specification."""


def page(curve: SpecificationCurve) -> str:
    """The curve as one HTML file that needs no network and runs no script."""
    return (
        environment()
        .get_template("specification.html")
        .render(
            c=_view(curve),
            rules=verdict_rules(),
            record=script_json(curve.to_json()),
            version=__version__,
        )
    )


def fragment(curve: SpecificationCurve) -> str:
    """The curve as one element for a notebook cell."""
    return (
        environment()
        .get_template("specification_fragment.html")
        .render(c=_view(curve), rules=verdict_rules())
    )


def _view(curve: SpecificationCurve) -> dict[str, Any]:
    ordered = by_share(curve)
    low = min([0.0, *(item.share or 0.0 for item in ordered)])
    high = max([0.05, *(item.share or 0.0 for item in ordered)])
    return {
        "title": f"Does “{visible(curve.reason.text)}” stay the reason?",
        "headline": headline(curve),
        "sentences": MEANING,
        "width": len(ordered),
        "height": HEIGHT,
        "zero": f"{_y(0.0, low, high):.2f}",
        "low": f"{100 * low:.0f} %",
        "high": f"{100 * high:.0f} %",
        "dots": [
            {
                "x": index,
                "y": f"{_y(item.share or 0.0, low, high):.2f}",
                "kept": item.keeps_top,
                "says": _says(item),
            }
            for index, item in enumerate(ordered)
        ],
        "rows": _rows(curve, ordered),
        "failed": failed_lines(curve),
        "facts": facts(curve),
    }


def _y(share: float, low: float, high: float) -> float:
    # Half a dot's height is left free at both ends.
    return 4 + (HEIGHT - 8) * (high - share) / (high - low)


def _says(item: Specification) -> str:
    settings = ", ".join(value_name(name, value) for name, value in item.choices.items())
    return f"{settings}: highest “{visible(item.top or '')}”, share {100 * (item.share or 0):.0f} %, {item.verdict}"


def _rows(curve: SpecificationCurve, ordered: list[Specification]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    last = None
    for setting, value, kept in curve.by_choice():
        rows.append(
            {
                "setting": "" if setting == last else SETTING_NAMES.get(setting, setting),
                "value": visible(value_name(setting, value)),
                "kept": {name: str(share) for name, share in kept.items()},
                "marks": [
                    {"x": index, "kept": item.keeps_top}
                    for index, item in enumerate(ordered)
                    if item.choices[setting] == value
                ],
            }
        )
        last = setting
    return rows
