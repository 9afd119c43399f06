"""The questions of the trust label: each measured, and answered with a finding and a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, InputError, ModelOutputError
from whence.core.explanations import Attribution
from whence.core.measurements import Measurement
from whence.core.statistics.clopper_pearson import share_interval
from whence.core.trust import Finding, Quantity
from whence.evaluation.instance import Explain, Instance
from whence.evaluation.metrics.permutation_test import (
    Concentrated,
    concentrated,
    noise_share,
    permutation_test,
    random_scores_test,
)
from whence.evaluation.metrics.pool_fidelity import PoolFidelity
from whence.evaluation.robustness.masker_agreement import masker_agreement
from whence.evaluation.robustness.rank_agreement import (
    Chance,
    least_overlap_chance,
    median_overlap_chance,
    rank_biased_overlap,
    without_noise,
)
from whence.evaluation.robustness.stability import Stability
from whence.evaluation.trust.marked import Marked, in_probabilities
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
CARRIED_P = 0.05
MASKER_CORRELATION = (0.7, 0.4)
SAME_RANKING = (0.8, 0.5)
GAP = (0.05, 0.2)
OTHERS_OVERLAP = (0.6, 0.4)
SAME_TOP = 0.5
"""Jaccard overlap of the top words from which they count as the same: two of three in common."""

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
    """Whether the scores tell which masks raise the output, better than chance would.

    Two tests. The scores are shuffled: pass at p <= 0.01, and p <= 0.05 among content words and
    among stop words apart; caution at p <= 0.05. Where so few scores say all there is that they
    have fewer than a hundred arrangements, no shuffle can be rare; there normal scores are drawn in
    their place: pass at p <= 0.01, else fail, and no other arrangement may fit better. Two features
    cannot pass. Cost: none beyond the pool.
    """
    fidelity = PoolFidelity().measure(instance, scores)
    p, least = permutation_test(instance, scores, draws=DRAWS)
    measurements = [fidelity, _p_value(instance, "p-value", p, least, fidelity.n)]
    text = (
        "Over random sets of words, the summed scores and the model's answer correlate by "
        f"{fidelity.value:.2f}"
    )
    few = concentrated(instance, scores)
    rare = few.arrangements * P_VALUE[0] >= 1
    if p > P_VALUE[0] and not rare and few.first:
        return _by_random_scores(instance, scores, few, text, measurements)
    finding = graded(p, *P_VALUE)
    text += f"; shuffled scores do as well with permutation p = {p:.2g}"
    common = instance.common
    # With one kind only, shuffling within kinds is the test that was made already; and few scores
    # have too few arrangements within a kind.
    if rare and 1 <= int(common.sum()) < instance.n:
        within = permutation_test(instance, scores, draws=DRAWS, within=common)
        measurements.append(_p_value(instance, "p-value-within-kinds", *within, fidelity.n))
        if finding == "pass" and within[0] > P_VALUE[1] >= within[1]:
            finding = "caution"
            text += (
                "; the scores separate content words from stop words, but among content words they "
                f"do no better than chance (p = {within[0]:.2g})"
            )
    return Quantity(
        question=CHANCE, finding=finding, says=f"{text}.", measurements=tuple(measurements)
    )


def _by_random_scores(
    instance: Instance,
    scores: Float[np.ndarray, " n"],
    few: Concentrated,
    text: str,
    measurements: list[Measurement],
) -> Quantity:
    """The second test: scores drawn anew, for scores that have few arrangements."""
    p, least = random_scores_test(instance, scores, draws=DRAWS)
    measurement = replace(
        _p_value(instance, "p-value-of-random-scores", p, least, measurements[0].n),
        specification=instance.specification("random_scores_test", draws=DRAWS, sided="one"),
    )
    text += (
        f"; {few.size} of the {instance.n} scores say as much as all, which can be arranged in only "
        f"{few.arrangements} ways, too few to rule out chance by shuffling; no other arrangement fits "
        f"better, and random scores do as well with p = {p:.2g}"
    )
    if instance.n == 2:
        text += "; with two features nothing can be shown"
    return Quantity(
        question=CHANCE,
        # No caution: scores that fit stand out of all random ones, and of so few words one in twenty
        # random ones nearly fits.
        finding="pass" if p <= P_VALUE[0] else "fail",
        says=f"{text}.",
        measurements=(*measurements, measurement),
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


def carried_by_the_marked(instance: Instance, marked: Marked | None) -> Quantity:
    """Whether the answer needs the marked features, and whether they are enough.

    Both are set against random sets of the same size; equal ones count for these. Pass: as good as
    at most 5 % of them by chance on each side; caution: on one side, or no set was better on
    either; else fail. A quick label looks at removal alone. Cost: none beyond
    :func:`~whence.evaluation.trust.marked.marked_words`.
    """
    if marked is None:
        return Quantity(
            question=CARRIED,
            finding="not_measured",
            says="There is only one feature, so there is nothing to compare it with.",
        )
    size, gone, alone = len(marked.features), marked.without, marked.alone
    sides = [gone] if len(alone.others) == 0 else [gone, alone]
    passed = sum(side.p <= CARRIED_P for side in sides)
    unbeaten = all(side.better == 0 for side in sides)
    finding: Finding = (
        "pass" if passed == len(sides) else "caution" if passed or unbeaten else "fail"
    )
    before = in_probabilities(instance, marked.whole)
    measurements: list[Measurement] = []
    for side, name in ((gone, "comprehensiveness"), (alone, "sufficiency")):
        falls = [before - in_probabilities(instance, float(answer)) for answer in side.others]
        measurements.append(
            Measurement(
                name=name,
                value=before - in_probabilities(instance, side.answer),
                unit=instance.unit,
                n=1,
                direction="higher" if side is gone else "lower",
                interval=None,
                specification=instance.specification("marked_words", marked=size),
                random=float(np.mean(falls)) if falls else None,
            )
        )
    measurements += [
        side.measured(instance, f"{name}-percentile", size)
        for side, name in zip(sides, ("comprehensiveness", "sufficiency"), strict=False)
    ]
    text = (
        f"Removing the marked {_features(size)} lowers the answer more than removing "
        f"{100 * gone.worse:.0f} % of {len(gone.others)} other sets of that size"
    )
    if len(sides) == 2:
        text += f"; keeping only them preserves it better than keeping {100 * alone.worse:.0f} %"
    if unbeaten and finding != "pass":
        text += "; no other set was better, but there are too few that differ, or too many as good"
    return Quantity(
        question=CARRIED, finding=finding, says=f"{text}.", measurements=tuple(measurements)
    )


def _features(count: int) -> str:
    return "feature" if count == 1 else f"{count} features"


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


def beyond_chance(
    value: float, limits: tuple[float, float], chance: Chance, n: int
) -> tuple[Finding, str]:
    """The finding on an overlap of rankings: it has to pass its limits and what chance gives.

    Pass: the first limit, and more than 95 % of shuffled scores reach; caution: the second limit,
    or no more than those; not measured: where 5 % of shuffled scores overlap fully, so that no
    overlap could show anything.
    """
    assert chance.high is not None
    expected = (
        f"{chance.value:.2f} is expected by chance, and 5 % of shuffles reach {chance.high:.2f}"
    )
    if chance.high >= 1 - 1e-9:
        return "not_measured", f"{expected}: with {n} features nothing can be shown"
    finding = graded(value, *limits)
    if finding == "pass" and value <= chance.high:
        return "caution", f"{expected}, so this may be chance"
    return finding, expected


def same_answer_again(
    instance: Instance, scores: Float[np.ndarray, " n"], stability: Stability
) -> Quantity:
    """Whether other seeds, typos and neutral edits leave the ranking as it is.

    The least mean overlap of any axis counts. Pass: 0.8; caution: 0.5; and beside chance as in
    :func:`beyond_chance`.
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
    # Three at most: draws from standard errors are averaged, and not the least of hundreds.
    mine = without_noise(scores, noise_share(instance, scores))
    chance = least_overlap_chance(mine, min(least.n, 3), seed=instance.seed)
    finding, expected = beyond_chance(least.value, SAME_RANKING, chance, instance.n)
    text = (
        f"Explained again, the ranking overlaps with the first: {', '.join(parts)} (1 is the same "
        f"ranking; {expected})."
    )
    if runs and finding != "not_measured":
        text += f" After small edits mostly the same words came top in {again} of {runs} runs."
    return Quantity(
        question=AGAIN,
        finding=finding,
        says=text,
        measurements=stability.measurements,
    )


def same_top(stability: Stability) -> tuple[int, int]:
    """How often the marked words came up again after small edits, of how many times."""
    # Another seed is no edit of the text, and stands in the sentence about the ranking.
    agreed = [a for axis in ("typo", "neutral") for _, a in stability.repeats.get(axis, ())]
    return sum(a.jaccard >= SAME_TOP for a in agreed), len(agreed)


def agrees_with_others(
    instance: Instance, explanation: Attribution, others: tuple[Attribution, ...]
) -> Quantity:
    """Whether methods of other families rank the features alike.

    The median of the rank-biased overlaps counts. Pass: 0.6; caution: 0.4; and beside chance as in
    :func:`beyond_chance`.
    """
    if not others:
        return Quantity(
            question=OTHERS,
            finding="not_measured",
            says="No other method was tried.",
        )
    output = instance.output
    scores = np.asarray(explanation.scores[:, output], dtype=np.float64)
    noise = noise_share(instance, scores)
    mine = without_noise(scores, noise)
    theirs = [without_noise(np.array(other.scores[:, output]), noise) for other in others]
    overlaps = {
        other.provenance.method.name: rank_biased_overlap(mine, ranking)
        for other, ranking in zip(others, theirs, strict=True)
    }
    parts = ", ".join(f"{name} {value:.2f}" for name, value in overlaps.items())
    # The median: of several methods one that fails on this input does not decide.
    value = float(np.median(list(overlaps.values())))
    chance = median_overlap_chance(mine, theirs, seed=instance.seed)
    finding, expected = beyond_chance(value, OTHERS_OVERLAP, chance, instance.n)
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
        random=chance.value,
        best=1.0,
    )
    return Quantity(
        question=OTHERS,
        finding=finding,
        says=f"Rankings by other methods overlap with this one: {parts} (1 is the same ranking; {expected}).",
        measurements=(measurement,),
    )
