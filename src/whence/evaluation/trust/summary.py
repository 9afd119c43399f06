"""The one sentence for a lay reader: two measured percentages and what chance would give."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from whence.evaluation.instance import Instance
from whence.evaluation.metrics.removal import removal
from whence.evaluation.robustness.stability import Stability
from whence.evaluation.trust.checks import same_top
from whence.evaluation.trust.grading import Verdict

__all__ = ["said"]

NOTHING_FOUND = (
    "The tool could not find words that account for this answer better than chance. Do not use "
    "the scores as reasons."
)
COMBINED = "This answer depends on combinations of words; no list of single words can carry it."
MARKED = "0.2"
"""The share of the words that a reader's eye is led to."""


def said(
    instance: Instance,
    scores: Float[np.ndarray, " n"],
    decided: Verdict,
    combined: bool,
    steady: Stability | None = None,
) -> str:
    """What happens without the highest-scored words, and without others of the same number.

    Cost: none: both were asked for the label's second question.
    """
    if instance.n < 2:
        return "There is one feature only: nothing to weigh against it."
    if decided.grade == "abstain":
        if combined:
            return COMBINED
        return (
            NOTHING_FOUND
            if decided.by_chance
            else f"Do not use the scores as reasons: {decided.reasons[0]}"
        )
    gone = removal(instance, scores, MARKED, keep=False)
    size, null = gone.sizes[0], gone.null_answers[0]
    unit = (
        "word"
        if (instance.question is None or instance.settings.get("unit") == "word")
        else str(instance.settings["unit"])
    )
    which = f"the {size} highest-scored {unit}s" if size > 1 else f"the highest-scored {unit}"
    others = f"{size} other {unit}s" if size > 1 else f"another {unit}"
    before = instance.decided(np.ones((1, instance.n), dtype=bool))[0]
    low, high = np.quantile(null, [0.05, 0.95])
    text = (
        f"Without {which} the {_thing(instance)} goes from {_number(instance, before)} to "
        f"{_number(instance, gone.answers[0])}. Without {others} it is "
        f"{_number(instance, float(np.mean(null)))} (from {_number(instance, low)} to "
        f"{_number(instance, high)})."
    )
    again, tried = (0, 0) if steady is None else same_top(steady)
    if tried:
        text += f" After small edits the same {unit}s came up {again} of {tried} times."
    return f"{text} {COMBINED}" if combined else text


def _thing(instance: Instance) -> str:
    name = instance.what.name
    return f"probability of {name!r}" if instance.unit == "probability" else f"score of {name!r}"


def _number(instance: Instance, value: float) -> str:
    if instance.unit == "probability":
        if value >= 0.9995:
            return "over 99.9 %"
        if value <= 0.0005:
            return "under 0.1 %"
        return f"{100 * value:.0f} %" if 0.02 <= value <= 0.98 else f"{100 * value:.1f} %"
    return f"{value:.3g} {instance.unit}"
