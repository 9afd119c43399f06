"""The verdict: which grade a set of findings deserves, and what kept it from being higher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whence.core.trust import Grade, Quantity
from whence.evaluation.additive_surrogate import AdditiveFit
from whence.evaluation.trust.calibration import ADDITIVE, Threshold, additive_enough
from whence.evaluation.trust.checks import CHANCE, FAIR
from whence.evaluation.trust.effect import MATTERS

__all__ = ["COMBINATIONS", "OTHERS_DO", "Verdict", "verdict"]

COMBINATIONS = (
    "this answer depends on combinations of words: the best sum over single words explains less "
    "than half of it, so no list of words can carry it"
)
OTHERS_DO = "removing as many other words does as much"


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """A grade, and what kept it from being higher."""

    grade: Grade
    reasons: tuple[str, ...]
    by_chance: bool = False
    """Whether the scores did no better than chance."""


def verdict(
    quantities: Sequence[Quantity],
    *,
    features: int,
    fidelity: float,
    fit: AdditiveFit,
    threshold: Threshold | None,
    against: Sequence[str] = (),
) -> Verdict:
    """The grade that a set of findings deserves.

    Abstain: no better than chance, or an unfair test, or an effect that does not matter, or a
    single feature, or two failures, or one where chance was not clearly beaten. C: one failure, or
    chance was not clearly beaten, or what was measured speaks ``against`` reading single words as
    reasons. B: none of these. A: at most one caution, a sum over words carries at least half of
    the answer, and a pool fidelity at which being wrong was measured to be rare. Where no
    thresholds cover the family of models, what is not abstained is called uncalibrated.

    Args:
        quantities: questions with their findings; those not measured count for nothing.
        features: number of features.
        fidelity: pool fidelity.
        fit: additive fit to the pool.
        threshold: threshold of the model's family; ``None``: not measured for it.
        against: sentences of what speaks against the explanation without being a question.
    """
    failed = [q for q in quantities if q.finding == "fail"]
    cautions = [q for q in quantities if q.finding == "caution"]
    chance = next((q for q in quantities if q.question == CHANCE), None)
    beaten = chance is not None and chance.finding == "pass"
    unshown = [] if chance is None or chance.finding != "not_measured" else [chance]
    reasons = [*(q.says for q in (*failed, *cautions, *unshown)), *against]
    if features < 2:
        return Verdict(
            "abstain", ("there is only one feature, so there is nothing to compare it with",)
        )
    decisive = any(q.question in (CHANCE, FAIR, MATTERS) for q in failed)
    if decisive or len(failed) > 1 or (failed and not beaten):
        by_chance = any(q.question == CHANCE for q in failed)
        return Verdict("abstain", tuple(reasons), by_chance)
    # After what forbids a use and before every grade that ranks: for a family without thresholds
    # none of these has been measured.
    if threshold is None:
        why = "no thresholds were measured for this family of models"
        return Verdict("uncalibrated", (why, *reasons))
    if failed or not beaten or against:
        return Verdict("C", tuple(reasons))
    if len(cautions) > 1:
        return Verdict("B", tuple(reasons))
    short = _short_of_a(fidelity, fit, threshold)
    return Verdict("A", tuple(reasons)) if short is None else Verdict("B", (*reasons, short))


def _short_of_a(fidelity: float, fit: AdditiveFit, threshold: Threshold) -> str | None:
    """What an explanation without a fault lacks for grade A; ``None``: nothing."""
    if not additive_enough(fit):
        needed = f"grade A needs {100 * ADDITIVE:.0f} % with 95 % confidence"
        if fit.share is None:
            return (
                "there are too few masks for so many features to tell how much of the answer single "
                f"words explain (an audit asks most); {needed}"
            )
        low = fit.share if fit.interval is None else fit.interval.low
        return f"single words explain {100 * fit.share:.0f} % of the answer ({100 * low:.0f} % at least); {needed}"
    if threshold.fidelity is None:
        return "for this family of models no threshold keeps wrong explanations of grade A to 5 %"
    if fidelity < threshold.fidelity:
        return (
            f"its pool fidelity of {fidelity:.2f} is below {threshold.fidelity:.2f}, from which "
            "explanations of this family of models were wrong in at most 5 % of cases"
        )
    return None
