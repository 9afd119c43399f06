"""Whether an explanation agrees with itself: sums, measurements, grade; no model is asked."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from whence.core.explanations import Attribution
from whence.core.trust import GRADES, Grade, TrustLabel
from whence.evaluation.metrics.pool_fidelity import fidelities
from whence.evaluation.trust.checks import CHANCE, FAIR
from whence.evaluation.trust.effect import MATTERS

__all__ = ["Consistency", "consistency"]

ROUNDING = 1e-6
"""Largest difference of a number of the record from the same number computed again, over 1 and the size
of what was added. The arithmetic is float64 both times; libraries of other machines add in another order,
and differ by less than 1e-12."""


class Consistency(NamedTuple):
    """Names of what was checked, what could not be checked and why, and contradictions."""

    checked: tuple[str, ...]
    unchecked: tuple[str, ...]
    faults: tuple[str, ...]


def consistency(explanation: Attribution) -> Consistency:
    """Check the numbers of an explanation against each other."""
    checked: list[str] = []
    unchecked: list[str] = []
    faults: list[str] = []
    if explanation.completeness is None:
        unchecked.append("the scores of this method need not add up")
    else:
        checked.append("sum of the scores")
        faults += _sums(explanation)
    label = explanation.trust
    if label is None:
        unchecked.append("there is no trust label")
        return Consistency(tuple(checked), tuple(unchecked), tuple(faults))
    faults += _pool(explanation, label)
    if label.measurement("pool-fidelity") is None:
        unchecked.append("the label holds no measurement that can be made again without the model")
    else:
        checked.append("pool fidelity")
    checked.append("grade")
    faults += _grade(label)
    return Consistency(tuple(checked), tuple(unchecked), tuple(faults))


def _sums(explanation: Attribution) -> list[str]:
    stated = explanation.completeness
    assert stated is not None
    rise = explanation.values - explanation.base_values
    residual = rise - explanation.scores.sum(axis=0)
    size = np.maximum(1.0, np.abs(explanation.scores).sum(axis=0) + np.abs(rise))
    gap = np.abs(residual - stated.residual)
    # Written so that a NaN on one side alone agrees with nothing.
    same = (gap <= ROUNDING * size) | (np.isnan(residual) & np.isnan(stated.residual))
    return [
        f"the scores of {output.name!r} leave {residual[column]:.4g} {output.unit} of the difference, "
        f"and the record states {stated.residual[column]:.4g}"
        for column, output in enumerate(explanation.outputs)
        if not same[column]
    ]


def _pool(explanation: Attribution, label: TrustLabel) -> list[str]:
    """Whether the pool fidelity is that of these scores over the label's pool."""
    stated = label.measurement("pool-fidelity")
    if stated is None or not len(label.pool.masks):
        return []
    column = explanation.output_index(label.output)
    scores = explanation.scores[:, column]
    answers = label.pool.values[:, column]
    value = float(fidelities(label.pool.coalitions(), answers, scores[None])[0])
    if abs(value - stated.value) <= ROUNDING or (np.isnan(value) and np.isnan(stated.value)):
        return []
    return [
        f"the scores have a pool fidelity of {value:.4g} over the record's masks, and its label states "
        f"{stated.value:.4g}"
    ]


def _grade(label: TrustLabel) -> list[str]:
    """Whether the findings allow the grade; see :func:`~whence.evaluation.trust.grading.verdict`."""
    failed = [quantity.question for quantity in label.quantities if quantity.finding == "fail"]
    cautions = sum(quantity.finding == "caution" for quantity in label.quantities)
    chance = next((q.finding for q in label.quantities if q.question == CHANCE), "not_measured")
    best: Grade = "A"
    if len(failed) > 1 or {CHANCE, FAIR, MATTERS} & set(failed) or (failed and chance != "pass"):
        best = "abstain"
    elif failed or chance != "pass":
        best = "C"
    # Every finding gives one reason; a reason beyond them is one against grade A.
    elif cautions > 1 or len(label.reasons) > cautions:
        best = "B"
    if GRADES.index(label.grade) >= GRADES.index(best):
        return []
    return [
        f"the label states grade {label.grade!r}, and its findings ({len(failed)} failed, {cautions} "
        f"cautions, {len(label.reasons)} reasons) allow {best!r} at most"
    ]
