"""The questions of the trust label: each measured, and answered with a finding and a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import factorial, prod

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, InputError, ModelOutputError
from whence.core.explanations import Attribution
from whence.core.measurements import Measurement
from whence.core.statistics.clopper_pearson import share_interval
from whence.core.trust import Finding, Quantity
from whence.evaluation.instance import Explain, Instance
from whence.evaluation.metrics.erasure import Comprehensiveness, Sufficiency
from whence.evaluation.metrics.permutation_test import permutation_test
from whence.evaluation.metrics.pool_fidelity import PoolFidelity
from whence.evaluation.metrics.removal import BINS, NEAREST, Removal
from whence.evaluation.robustness.masker_agreement import masker_agreement
from whence.evaluation.robustness.rank_agreement import overlap_chance, rank_biased_overlap
from whence.evaluation.robustness.stability import Stability
from whence.games.cache import Cache

__all__ = [
    "AGAIN",
    "CHANCE",
    "FAIR",
    "RerunAccess",
    "adds_up",
    "agrees_with_others",
    "better_than_chance",
    "carried_by_the_marked",
    "fair_test",
    "graded",
    "instability_reason",
    "not_measured",
    "same_answer_again",
    "same_top",
]

DRAWS = 999
"""Shuffles, where not all arrangements are tried: the least p is then 1 / 1,000, a tenth of the
p-value that passes."""

# Limits of the findings: pass at the first, caution at the second, fail beyond. Those of chance are
# the usual levels of a test; grade A leans on the first of them (decision 8, measured by
# benchmarks/calibration.py). The others were chosen by hand when the label was designed; they are
# not calibrated, and benchmarks/calibration.py sets the fidelity of grade A on top of them.
P_VALUE = (0.01, 0.05)
CARRIED_PERCENTILE = 0.95
LEAST_RANKINGS = 20
"""Rankings that must exist for first place to be rarer than 1 - CARRIED_PERCENTILE by chance."""
MASKER_CORRELATION = (0.7, 0.4)
SAME_RANKING = (0.8, 0.5)
GAP = (0.05, 0.2)
OTHERS_OVERLAP = (0.6, 0.4)
SAME_TOP = 0.5
"""Jaccard overlap of the top words from which they count as the same: two of three in common."""
UNSTABLE = 0.5
"""Share of neutral edits that change the prediction from which it counts as unstable: most."""

CHANCE = "Better than chance?"
CARRIED = "Do the marked words carry it?"
FAIR = "Is the test itself fair?"
AGAIN = "Same answer if asked again?"
ADDS_UP = "Does it add up?"
OTHERS = "Do others agree?"


@dataclass(frozen=True, slots=True, eq=False)
class RerunAccess:
    """How explanations are made again, for the questions that need more than answers.

    Attributes:
        again: explainer on another input; ``None`` for scores from elsewhere.
        expensive: whether the method asks too much to be run again; the mask pool is then asked
            again in its place.
        others: explainers of the same question by methods of other families.
    """

    again: Explain | None = None
    expensive: bool = False
    others: tuple[Callable[[], Attribution], ...] = ()


def graded(value: float, passes: float, fails: float) -> Finding:
    """Pass at or beyond ``passes``, fail beyond ``fails``; the order of the two says which way.

    Example:
        >>> graded(0.9, 0.8, 0.5), graded(0.6, 0.8, 0.5), graded(0.03, 0.01, 0.05)
        ('pass', 'caution', 'caution')
    """
    if passes >= fails:
        return "pass" if value >= passes else "caution" if value >= fails else "fail"
    return "pass" if value <= passes else "caution" if value <= fails else "fail"


def not_measured(
    question: str, why: str = "The method that made these scores cannot be run again here."
) -> Quantity:
    """A question that could not be put, and why."""
    return Quantity(question=question, finding="not_measured", says=why)


def better_than_chance(instance: Instance, scores: Float[np.ndarray, " n"]) -> Quantity:
    """Whether the scores tell which masks raise the output, better than the same scores shuffled.

    Pass: p <= 0.01, and p <= 0.05 where scores are shuffled among content words and among stop
    words apart. Caution: p <= 0.05. Cost: none beyond the pool.
    """
    fidelity = PoolFidelity().measure(instance, scores)
    p, least = permutation_test(instance, scores, draws=DRAWS)
    common = instance.common
    # With one kind only, shuffling within kinds is the test that was made already.
    kinds = min(int(common.sum()), int((~common).sum()))
    apart = permutation_test(instance, scores, draws=DRAWS, within=common) if kinds >= 1 else None
    measurements = [fidelity, _p_value(instance, "p-value", p, least, fidelity.n)]
    if apart is not None:
        measurements.append(_p_value(instance, "p-value-within-kinds", *apart, fidelity.n))
    text = (
        "Over random sets of words, the summed scores and the model's answer correlate by "
        f"{fidelity.value:.2f}"
    )
    if least > P_VALUE[1]:
        # So few features, or so many equal scores, that no arrangement can stand out.
        finding: Finding = "caution" if p <= least + 1e-12 and fidelity.value > 0 else "fail"
        text += (
            f"; the scores of these {instance.n} features can be arranged in only "
            f"{round(1 / least)} ways, too few to rule out chance"
        )
        return Quantity(
            question=CHANCE, finding=finding, says=text + ".", measurements=tuple(measurements)
        )
    finding = graded(p, *P_VALUE)
    within = None if apart is None or apart[1] > P_VALUE[1] else apart[0]
    if finding == "pass" and within is not None and within > P_VALUE[1]:
        finding = "caution"
        text += (
            "; the scores separate content words from stop words, but among content words they do "
            f"no better than chance (p = {within:.2g})"
        )
    return Quantity(
        question=CHANCE,
        finding=finding,
        says=f"{text}; shuffled scores do as well with permutation p = {p:.2g}.",
        measurements=tuple(measurements),
    )


def _p_value(instance: Instance, name: str, p: float, least: float, n: int) -> Measurement:
    interval = None
    # Where all arrangements were tried p is exact; only drawn ones leave room around it.
    if least == 1 / (1 + DRAWS):
        interval = share_interval(round(p * (1 + DRAWS)) - 1, DRAWS, f"of {DRAWS} shuffles")
    return Measurement(
        name=name,
        value=p,
        unit="probability",
        n=n,
        direction="lower",
        interval=interval,
        specification=instance.specification("permutation_test", draws=DRAWS, sided="one"),
        random=0.5,
    )


def adds_up(instance: Instance, explanation: Attribution) -> Quantity:
    """Whether additive scores sum to the difference that they are meant to explain.

    Pass: the gap is below 5 % of the difference; caution: below 20 %. Cost: none. Methods whose
    scores add up by construction are not asked: their sum says nothing of their accuracy.
    """
    completeness = explanation.completeness
    output = instance.output
    if completeness is None:
        why = "This method's scores are not meant to add up."
    elif completeness.by_construction:
        why = "The scores of this method always add up, right or wrong."
    elif not np.isfinite(completeness.relative[output]):
        why = "The whole text and the baseline give the same answer; there is nothing to add up to."
    else:
        gap = float(completeness.relative[output])
        measured = Measurement(
            name="completeness-gap",
            value=gap,
            unit="share of the difference",
            n=1,
            direction="lower",
            interval=None,
            specification=instance.specification("completeness_gap"),
        )
        return Quantity(
            question=ADDS_UP,
            finding=graded(gap, *GAP),
            says=f"The sum of the scores misses the difference it explains by {100 * gap:.1f} %.",
            measurements=(measured,),
        )
    return Quantity(question=ADDS_UP, finding="not_measured", says=why)


def carried_by_the_marked(instance: Instance, scores: Float[np.ndarray, " n"]) -> Quantity:
    """Whether the answer needs the highest-scored features, and whether they are enough.

    Both are set against random sets of the same size. Pass: both beyond the 95th percentile;
    caution: one of them; fail: neither. Cost: at most eight evaluations.
    """
    comprehensiveness, sufficiency = Comprehensiveness(), Sufficiency()
    gone = comprehensiveness.erased(instance, scores)
    alone = sufficiency.erased(instance, scores)
    if not gone.sizes:
        return Quantity(
            question=CARRIED,
            finding="not_measured",
            says="There is only one feature, so there is nothing to compare it with.",
        )
    beyond = sum(erasure.percentile >= CARRIED_PERCENTILE for erasure in (gone, alone))
    finding: Finding = "pass" if beyond == 2 else "caution" if beyond else "fail"
    if finding == "pass" and _rankings(instance.n, gone.sizes) < LEAST_RANKINGS:
        # So few ways to be marked that chance comes first more often than once in twenty.
        finding = "caution"
    measurements = (
        comprehensiveness.measured(instance, gone),
        sufficiency.measured(instance, alone),
        _percentile(instance, "comprehensiveness-percentile", gone),
        _percentile(instance, "sufficiency-percentile", alone),
    )
    return Quantity(
        question=CARRIED,
        finding=finding,
        says=(
            "Removing the highest-scored features lowers the answer more than removing "
            f"{100 * gone.percentile:.0f} % of random sets of the same size; keeping only them preserves "
            f"it better than keeping {100 * alone.percentile:.0f} % of such sets."
        ),
        measurements=measurements,
    )


def _rankings(n: int, sizes: tuple[int, ...]) -> int:
    """In how many ways the nested tops of a ranking can fall."""
    edges = (0, *sizes, n)
    return factorial(n) // prod(factorial(b - a) for a, b in pairwise(edges))


def _percentile(instance: Instance, name: str, erasure: Removal) -> Measurement:
    # The sizes' sets are combined, so that no more is known than the fewest of them tell.
    sets = min(len(null) for null in erasure.null_answers)
    how = f"as of the {sets} sets of the size that has fewest"
    return Measurement(
        name=name,
        value=erasure.percentile,
        unit="share of random sets",
        n=sum(len(null) for null in erasure.null_answers),
        direction="higher",
        interval=None
        if instance.pool.complete
        else share_interval(round(erasure.percentile * sets), sets, how),
        specification=instance.specification("removal", bins=BINS, nearest=NEAREST),
        random=0.5,
        best=1.0,
    )


def fair_test(instance: Instance, cache: Cache | None = None) -> Quantity:
    """Whether the pool's answers depend on how words are removed.

    Pass: the answers to masks made otherwise rank them alike (correlation 0.7 or more); caution:
    from 0.4; fail below: then no score by masking is evidence. Cost: twelve evaluations.
    """
    if instance.question is None or len(instance.pool) < 4:
        return Quantity(
            question=FAIR, finding="not_measured", says="There are too few masks to compare."
        )
    try:
        agreement = masker_agreement(instance, cache=cache)
    except (CapabilityError, InputError, ModelOutputError) as error:
        return Quantity(question=FAIR, finding="not_measured", says=f"{error}.")
    finding = graded(agreement.value, *MASKER_CORRELATION)
    if (
        finding == "fail"
        and agreement.interval is not None
        and agreement.interval.high >= MASKER_CORRELATION[0]
    ):
        # A dozen masks leave room for chance: what may still pass is not failed.
        finding = "caution"
    return Quantity(
        question=FAIR,
        finding=finding,
        says=(
            f"With words removed in another way, the answers to {agreement.n} random sets of words "
            f"correlate by {agreement.value:.2f} (ranks) with those of the first way."
        ),
        measurements=(agreement,),
    )


def same_answer_again(stability: Stability) -> Quantity:
    """Whether other seeds, typos and neutral edits leave the ranking as it is.

    The least mean overlap of any axis counts. Pass: 0.8; caution: 0.5.
    """
    least = stability.least
    if least is None:
        return Quantity(
            question=AGAIN,
            finding="not_measured",
            says="Every edit changed the model's answer, so there was nothing to compare.",
        )
    overlaps = [m for m in stability.measurements if m.name.startswith("overlap-")]
    parts = [f"{m.name.removeprefix('overlap-')} {m.value:.2f}" for m in overlaps]
    again, runs = same_top(stability)
    expected = "" if least.random is None else f"; {least.random:.2f} is expected by chance"
    text = (
        f"Explained again, the ranking overlaps with the first: {', '.join(parts)} (1 is the same "
        f"ranking{expected})."
    )
    if runs:
        text += f" After small edits mostly the same words came top in {again} of {runs} runs."
    return Quantity(
        question=AGAIN,
        finding=graded(least.value, *SAME_RANKING),
        says=text,
        measurements=stability.measurements,
    )


def same_top(stability: Stability) -> tuple[int, int]:
    """How often the marked words came up again after small edits, of how many times."""
    # Another seed is no edit of the text, and stands in the sentence about the ranking.
    agreed = [a for axis in ("typo", "neutral") for _, a in stability.repeats.get(axis, ())]
    return sum(a.jaccard >= SAME_TOP for a in agreed), len(agreed)


def instability_reason(stability: Stability) -> str | None:
    """Why the prediction itself is unstable, if most neutral edits change it."""
    share = stability.share_discarded.get("neutral", 0.0)
    if share <= UNSTABLE:
        return None
    return (
        f"the prediction itself is unstable: {100 * share:.0f} % of the neutral edits (letter case, "
        "spaces, a prefix) change it, or move its probability by 0.1 or more"
    )


def agrees_with_others(
    instance: Instance, explanation: Attribution, others: tuple[Attribution, ...]
) -> Quantity:
    """Whether methods of other families rank the features alike.

    The median of the rank-biased overlaps counts. Pass: 0.6; caution: 0.4.
    """
    if not others:
        return Quantity(
            question=OTHERS,
            finding="not_measured",
            says="No other method was tried.",
        )
    output = instance.output
    mine = np.asarray(explanation.scores[:, output], dtype=np.float64)
    overlaps = {
        other.provenance.method.name: rank_biased_overlap(
            mine, np.asarray(other.scores[:, output], dtype=np.float64)
        )
        for other in others
    }
    chance = overlap_chance(mine, mine).value
    parts = ", ".join(f"{name} {value:.2f}" for name, value in overlaps.items())
    # The median: of several methods one that fails on this input does not decide.
    value = float(np.median(list(overlaps.values())))
    measurement = Measurement(
        name="agreement-with-others",
        value=value,
        unit="rank-biased overlap",
        n=len(overlaps),
        direction="higher",
        interval=None,
        specification=instance.specification(
            "agreement", persistence=0.8, others=", ".join(overlaps)
        ),
        random=chance,
        best=1.0,
    )
    return Quantity(
        question=OTHERS,
        finding=graded(value, *OTHERS_OVERLAP),
        says=(
            f"Rankings by other methods overlap with this one: {parts} (1 is the same ranking; "
            f"{chance:.2f} is expected by chance)."
        ),
        measurements=(measurement,),
    )
