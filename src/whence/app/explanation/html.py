"""An explanation as a self-contained page, and as a fragment for a notebook.

One file, no request to anywhere, no script: the page holds its own style and the record itself.
A reader with a keyboard or a screen reader gets the text, a table of every number, and the facts;
colour only repeats what the table says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from markupsafe import Markup

from whence._version import __version__
from whence.app.attention.html import body
from whence.app.shared.colour import THEMES, Theme, ramp, text_on, themed
from whence.app.shared.formatting import (
    LINKS,
    amount,
    answer,
    decision_line,
    facts,
    number,
    score_unit,
    visible,
)
from whence.app.shared.templates import environment, script_json
from whence.app.trust.html import label_view, verdict_rules
from whence.app.trust.wording import Standing, faint_because, standing
from whence.attention.store import Attention
from whence.core.explanations import Attribution

__all__ = ["Section", "fragment", "page", "pages"]

STEPS = 10
"""Steps of the ramp on each side of zero; a style class each. Chosen by hand."""
TOP = 12
"""Bars of the chart; the table below it has every score. Chosen by hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One part of a page: explanations side by side under a heading, with a few words."""

    title: str
    about: str
    explanations: tuple[tuple[str, Attribution], ...]


@cache
def _ramps() -> Markup:
    """Style rules of the ramp and of the marks, for both themes."""
    return Markup(themed(*map(_ramp_rules, THEMES))) + verdict_rules()


def _ramp_rules(theme: Theme) -> str:
    rules: list[str] = []
    for sign, letter in ((1.0, "p"), (-1.0, "m")):
        # The least tint has a contrast of 1.1 with the page; the line below a word and around a bar
        # has more than the 3 that WCAG 2.2 (1.4.11) asks of what carries meaning.
        edge = ramp(sign, theme)
        for step in range(1, STEPS + 1):
            colour = ramp(sign * step / STEPS, theme)
            shaded = f".wh .text mark.{letter}{step},.wh i.{letter}{step}"
            rules.append(
                f"{shaded}{{background:{colour};color:{text_on(colour)};box-shadow:inset 0 -2px {edge}}}"
            )
            rules.append(f".wh svg .{letter}{step}{{fill:{colour};stroke:{edge}}}")
    return "".join(rules)


def _shade(score: float, largest: float, certain: bool) -> str:
    if not certain or largest == 0:
        return ""
    # At least one step: a score that is not zero must not look like one that may be.
    step = max(1, round(abs(score) / largest * STEPS))
    return f"{'p' if score > 0 else 'm'}{step}"


def _words(attribution: Attribution, column: int, sure: np.ndarray) -> list[dict[str, str]]:
    """The text in reading order, as pieces: gaps between features, and features with a shade."""
    document = attribution.segmentation.document
    scores = attribution.scores[:, column]
    largest = float(np.abs(scores).max())
    unit = score_unit(attribution, column)
    pieces: list[dict[str, str]] = []
    position = 0
    for index, feature in enumerate(attribution.segmentation.features):
        if feature.start > position:
            pieces.append({"text": _gap(document.between(position, feature.start)), "shade": ""})
        score = float(scores[index])
        row = attribution.row(index, output=column)
        error = "" if row.std_error is None else f" \u00b1 {number(row.std_error)}"
        pieces.append(
            {
                "text": visible(feature.text),
                "shade": _shade(score, largest, bool(sure[index])),
                "title": f"{amount(attribution, score)}{error} {unit}",
            }
        )
        position = feature.end
    if position < len(document.text):
        pieces.append({"text": _gap(document.between(position, len(document.text))), "shade": ""})
    return pieces


def _gap(text: str) -> str:
    """Text between features: line breaks stay line breaks, other controls are shown."""
    return "\n".join(visible(line) for line in text.split("\n"))


def _bars(attribution: Attribution, column: int, display: Standing) -> list[dict[str, Any]]:
    """Geometry of the bar chart in percent of its width: zero in the middle, or at the left.

    Scores that may be zero are faint, and grey where a label says so.
    """
    sure, judged = display.coloured, display.label is not None
    ranked = attribution.top(TOP, output=column)
    # The whiskers are two standard errors long; the longest of them must fit.
    reach = max((abs(r.score) + 2 * _known(r.std_error) for r in ranked), default=0.0) or 1.0
    largest = max((abs(r.score) for r in ranked), default=0.0)
    bars: list[dict[str, Any]] = []
    zero, scale = _axis(attribution)
    for row in ranked:
        end = zero + scale * row.score / reach
        bar = {
            "text": _clip(visible(row.feature.text)),
            "x": min(zero, end),
            "width": abs(end - zero),
            "shade": _shade(row.score, largest, not judged or bool(sure[row.index])),
            "sure": bool(sure[row.index]),
            "score": amount(attribution, row.score),
            "low": None,
            "high": None,
        }
        if _known(row.std_error):
            error = _known(row.std_error)
            bar["low"] = zero + scale * (row.score - 2 * error) / reach
            bar["high"] = zero + scale * (row.score + 2 * error) / reach
        bars.append(bar)
    return bars


def _axis(attribution: Attribution) -> tuple[float, float]:
    """Where zero stands, and how long the longest bar may be, in percent of the width."""
    # Two percent are left free at the ends, so that no bar touches the frame.
    return (50.0, 48.0) if attribution.unit is None else (0.0, 98.0)


def _known(error: float | None) -> float:
    """A standard error, or 0 where there is none to draw."""
    return error if error is not None and math.isfinite(error) else 0.0


def _clip(text: str, most: int = 30) -> str:
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def _view(attribution: Attribution, column: int, mark: str) -> dict[str, Any]:
    display = standing(attribution, column)
    out = attribution.outputs[column]
    rows = [attribution.row(i, output=column) for i in range(len(attribution.segmentation))]
    return {
        "name": visible(out.name),
        "unit": score_unit(attribution, column),
        "signed": attribution.unit is None,
        "zero": _axis(attribution)[0],
        "link": LINKS[out.link],
        "label": _label(attribution, column, display, mark),
        "unjudged": display.unjudged,
        "withheld": display.withheld,
        "words": _words(attribution, column, display.coloured),
        "bars": [] if display.withheld else _bars(attribution, column, display),
        "rows": [
            {
                "text": visible(row.feature.text),
                "part": row.feature.part,
                "score": amount(attribution, row.score),
                "error": None if row.std_error is None else number(row.std_error),
                "sure": bool(display.sure[row.index]),
                "span": f"{row.feature.start}\u2013{row.feature.end}",
            }
            for row in rows
        ],
        "several_parts": len(attribution.segmentation.document.parts) > 1,
        "faint": int((~display.coloured).sum()),
        "faint_because": faint_because(attribution, display),
        "facts": facts(attribution, column),
    }


def _label(
    attribution: Attribution, column: int, display: Standing, mark: str
) -> dict[str, Any] | None:
    if display.label is None:
        return None
    names = [output.name for output in attribution.outputs]
    return label_view(display.label, mark, names, column)


def _context(attribution: Attribution, name: str, mark: str) -> dict[str, Any]:
    return {
        "mark": mark,
        "name": name,
        "decision": answer(attribution.decision),
        "others": decision_line(attribution.decision),
        "sampled": attribution.std_errors is not None,
        "unit_of_text": attribution.segmentation.unit,
        "views": [_view(attribution, column, mark) for column in range(len(attribution.outputs))],
        "digest": attribution.digest,
    }


def _rendered(
    sections: Sequence[Section], title: str, template: str, attention: Attention | None = None
) -> str:
    count = 0
    parts: list[dict[str, Any]] = []
    for section in sections:
        items: list[dict[str, Any]] = []
        for name, attribution in section.explanations:
            count += 1
            items.append(_context(attribution, name, f"e{count}"))
        parts.append({"title": section.title, "about": section.about, "explanations": items})
    records = [script_json(a.to_json()) for section in sections for _, a in section.explanations]
    return (
        environment()
        .get_template(template)
        .render(
            title=title,
            sections=parts,
            ramps=_ramps(),
            records=records,
            version=__version__,
            attention=None if attention is None else body(attention, shadow=True),
        )
    )


def page(attribution: Attribution, attention: Attention | None = None) -> str:
    """A self-contained page of one explanation, with the attention behind it where given."""
    model = attribution.provenance.model.ref
    section = Section(title="", about="", explanations=((model, attribution),))
    return _rendered([section], f"Why {answer(attribution.decision)}?", "page.html", attention)


def pages(sections: Sequence[Section], title: str) -> str:
    """A self-contained page of several explanations under headings."""
    return _rendered(sections, title, "page.html")


def fragment(attribution: Attribution) -> str:
    """One element with its own scoped style, for a notebook's output cell.

    Its ids begin with the record's digest, so that several fragments can share a page.
    """
    model = attribution.provenance.model.ref
    context = _context(attribution, model, f"e{attribution.digest[:10]}")
    return (
        environment().get_template("fragment.html").render(e=context, ramps=_ramps(), heading="h3")
    )


def parse_records(text: str) -> list[Any]:
    """The JSON trees of the records a page holds; the page is its own archive."""
    start, end = '<script type="application/json" class="wh-record">', "</script>"
    records: list[Any] = []
    # The JSON holds no "<" (see script_json), so the first end tag after a start is its own.
    while start in text:
        text = text.split(start, 1)[1]
        records.append(json.loads(text.split(end, 1)[0]))
    return records
