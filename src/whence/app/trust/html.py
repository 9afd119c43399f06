"""A trust label on a page: its mark for everybody, and the evidence for who wants to check it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from whence.app.shared.colour import THEMES, VERDICTS, themed
from whence.app.shared.formatting import amount_of, visible
from whence.app.shared.templates import environment
from whence.app.trust.wording import (
    FINDINGS,
    NOT_A_REASON,
    about,
    interval,
    label_facts,
    mark_of,
)
from whence.core.measurements import Measurement
from whence.core.provenance import Setting
from whence.core.trust import KeptPool, TrustLabel

__all__ = ["fragment", "label_view", "verdict_rules"]

STRIP = 62.0
"""Percent of the picture's width that the masks take; the answers have the rest. Chosen by hand."""


@cache
def verdict_rules() -> Markup:
    """Style rules of the marks, for both themes."""
    light, dark = (
        "".join(
            f".wh .v-{state}{{--v:{shades[theme][0]};--v-ground:{shades[theme][1]}}}"
            for state, shades in VERDICTS.items()
        )
        for theme in THEMES
    )
    return Markup(themed(light, dark))


def label_view(
    label: TrustLabel, mark: str, outputs: Sequence[str] = (), column: int | None = None
) -> dict[str, Any]:
    """What the template shows of a label.

    Args:
        label: record.
        mark: prefix of every id of it.
        outputs: names of the columns of the pool's answers, where they are known.
        column: judged one among them.
    """
    shown = mark_of(label)
    shared = _shared([m for quantity in label.quantities for m in quantity.measurements])
    return {
        "mark": mark,
        "state": shown.state,
        "word": shown.word,
        "about": about(label),
        "says": visible(label.says),
        "reasons": [visible(reason) for reason in label.reasons]
        if shown.state in ("care", "never")
        else [],
        "never": shown.word == NOT_A_REASON,
        "output": visible(label.output),
        "quantities": [
            {
                "question": visible(quantity.question),
                "state": FINDINGS[quantity.finding].state,
                "finding": FINDINGS[quantity.finding].word,
                "says": visible(quantity.says),
                "measurements": [_measurement(m, shared) for m in quantity.measurements],
            }
            for quantity in label.quantities
        ],
        "measured": any(quantity.measurements for quantity in label.quantities),
        "shared": visible(_settings(shared)) or "none",
        "facts": label_facts(label),
        "pool": _pool(label.pool, outputs, column),
        "link": Markup("data:application/json,") + quote(label.to_json().decode("ascii"), safe=""),
        "file": f"trust-label-{label.digest[:10]}.json",
    }


def _measurement(measurement: Measurement, shared: Mapping[str, Setting]) -> dict[str, str]:
    options = {key: v for key, v in measurement.specification.options.items() if key not in shared}
    settings = _settings(options)
    return {
        "name": visible(measurement.name),
        "value": amount_of(measurement.value),
        "unit": visible(measurement.unit),
        "interval": interval(measurement.interval),
        "how": "" if measurement.interval is None else visible(measurement.interval.how),
        "random": _reference(measurement.random),
        "best": _reference(measurement.best),
        "n": f"{measurement.n:,}",
        "better": "neither" if measurement.direction == "none" else measurement.direction,
        "specification": visible(
            f"{measurement.specification.name}: {settings}"
            if settings
            else measurement.specification.name
        ),
    }


def _shared(measurements: Sequence[Measurement]) -> dict[str, Setting]:
    """The settings that every measurement has, with one value."""
    if not measurements:
        return {}
    options = [measurement.specification.options for measurement in measurements]
    return {
        key: value
        for key, value in options[0].items()
        if all(key in other and repr(other[key]) == repr(value) for other in options)
    }


def _settings(options: Mapping[str, Setting]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in options.items())


def _reference(value: float | None) -> str:
    return "\u2013" if value is None else amount_of(value)


def _pool(pool: KeptPool, outputs: Sequence[str], column: int | None) -> dict[str, Any]:
    known = len(outputs) == len(pool.full)
    names = [visible(name) for name in outputs] if known else []
    if not names:
        names = [f"answer {index + 1}" for index in range(len(pool.full))]
    judged = column if known else None
    if judged is None and len(pool.full) == 1:
        judged = 0
    return {
        "answers": names,
        "rows": [
            {
                "mask": mask,
                "present": mask.count("1"),
                "values": [amount_of(float(value)) for value in values],
            }
            for mask, values in zip(pool.masks, pool.values, strict=True)
        ],
        "features": len(pool.masks[0]) if pool.masks else 0,
        "full": [amount_of(float(value)) for value in pool.full],
        "picture": _picture(pool, judged, names),
    }


def _picture(pool: KeptPool, judged: int | None, names: Sequence[str]) -> dict[str, Any] | None:
    """Masks as rows of a strip, the highest answer first, and the answers as bars beside it."""
    masks = pool.coalitions()
    if judged is None or masks.size == 0 or not np.isfinite(pool.values[:, judged]).all():
        return None
    answers = pool.values[:, judged]
    order = np.argsort(-answers, kind="stable")
    low, high = float(answers.min()), float(answers.max())
    reach = (high - low) or 1.0
    cell = STRIP / masks.shape[1]
    cells: list[str] = []
    bars: list[str] = []
    for row, index in enumerate(order):
        for start, end in _runs(masks[index]):
            cells.append(
                f"M{start * cell:.2f} {row}h{(end - start) * cell:.2f}v.8H{start * cell:.2f}z"
            )
        # The lowest answer keeps a bar of 0.6, so that each row shows there was one.
        width = (100 - STRIP - 4) * (float(answers[index]) - low) / reach
        bars.append(f"M{STRIP + 3} {row}h{width + 0.6:.2f}v.8H{STRIP + 3}z")
    return {
        "cells": Markup("".join(cells)),
        "bars": Markup("".join(bars)),
        "height": len(order),
        "strip": STRIP,
        "name": names[judged],
        "low": amount_of(low),
        "high": amount_of(high),
    }


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of present features, from a start to an end that is left out."""
    # A zero on each side gives runs at the ends two edges like all others.
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def fragment(label: TrustLabel) -> str:
    """A label by itself as one element with its own scoped style, for a notebook's output cell."""
    view = label_view(label, f"t{label.digest[:10]}")
    return environment().get_template("trust_fragment.html").render(t=view, rules=verdict_rules())
