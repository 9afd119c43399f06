"""The verdict: which grade a set of findings deserves, and what kept it from being higher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whence.core.trust import Grade, Quantity
from whence.evaluation.trust.calibration import ADDITIVE, Threshold
from whence.evaluation.trust.checks import CHANCE, FAIR

__all__ = ["Verdict", "verdict"]


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
    share: float,
    threshold: Threshold | None,
    moves: str | None = None,
) -> Verdict:
    """The grade that a set of findings deserves.

    Abstain: no better than chance, or an unfair test, or an unstable prediction, or a single
    feature, or two failures. C: one failure. B: none. A: at most one caution, chance
    clearly beaten, and a pool fidelity at which being wrong was measured to be rare. Where no
    thresholds cover the family of models, what is not abstained is called uncalibrated.

    Args:
        quantities: questions with their findings; those not measured count for nothing.
        features: number of features.
        fidelity: pool fidelity.
        share: additive share of the answer.
        threshold: threshold of the model's family; ``None``: not measured for it.
        moves: reason why the prediction itself is unstable; ``None``: it is stable.
    """
    failed = [q for q in quantities if q.finding == "fail"]
    cautions = [q for q in quantities if q.finding == "caution"]
    reasons = [q.says for q in (*failed, *cautions)]
    if features < 2:
        return Verdict(
            "abstain", ("there is only one feature, so there is nothing to compare it with",)
        )
    # Before any finding: where the answer turns at a changed capital, reasons for it turn as well.
    if moves is not None:
        return Verdict("abstain", (moves, *reasons))
    if len(failed) > 1 or any(q.question in (CHANCE, FAIR) for q in failed):
        chance = any(q.question == CHANCE for q in failed)
        return Verdict("abstain", tuple(reasons), chance)
    # After what forbids a use and before every grade that ranks: for a family without thresholds
    # none of these has been measured.
    if threshold is None:
        why = "no thresholds were measured for this family of models"
        return Verdict("uncalibrated", (why, *reasons))
    if failed:
        return Verdict("C", tuple(reasons))
    chance = next((q for q in quantities if q.question == CHANCE), None)
    if len(cautions) > 1 or chance is None or chance.finding != "pass":
        return Verdict("B", tuple(reasons))
    if share < ADDITIVE:
        why = f"single words explain {100 * share:.0f} % of the answer; grade A needs {100 * ADDITIVE:.0f} %"
        return Verdict("B", (*reasons, why))
    if threshold.fidelity is None:
        return Verdict(
            "B",
            (
                *reasons,
                "for this family of models no threshold keeps wrong explanations of grade A to 5 %",
            ),
        )
    if fidelity < threshold.fidelity:
        why = (
            f"its pool fidelity of {fidelity:.2f} is below {threshold.fidelity:.2f}, from which "
            "explanations of this family of models were wrong in at most 5 % of cases"
        )
        return Verdict("B", (*reasons, why))
    return Verdict("A", tuple(reasons))
