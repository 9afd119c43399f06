"""Stability of a method that is expensive to run again, measured on the game its scores rest on.

Explaining a text of fifty words by sampling takes hundreds of evaluations; doing so again for
every small edit would cost more than all the rest of a trust label. What an edit does to such
scores it does through the model's answers to masks. So the pool's own masks are asked again after
the edit, and the additive weights that explain the answers before and after are compared: chance
enters both alike, and what differs is the edit's doing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from whence.core.explanations import Attribution
from whence.core.measurements import Interval, Measurement
from whence.core.provenance import Cost
from whence.evaluation.additive_surrogate import additive_fit
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import Pool
from whence.evaluation.metrics.permutation_test import noise_share
from whence.evaluation.robustness.rank_agreement import (
    Agreement,
    agreement,
    align_features,
    least_overlap_chance,
    overlap_chance,
    rank_biased_overlap,
    without_noise,
)
from whence.evaluation.robustness.stability import Axis, Stability
from whence.evaluation.robustness.text_perturbations import (
    decides,
    kept_edits,
    neutral_edits,
    typos,
)
from whence.games.cache import Cache
from whence.games.question import ask_otherwise
from whence.models.protocols import Input

__all__ = ["paired_stability"]


def paired_stability(
    instance: Instance,
    explanation: Attribution,
    *,
    repeats: int = 1,
    draws: int = 200,
    cache: Cache | None = None,
) -> Stability:
    """Compare what the pool's masks say before and after typos and neutral edits.

    For another seed, two sets of scores are drawn from the standard errors, ``draws`` times, and
    the mean overlap is given with its 95 % range; exact scores do not vary and overlap fully.

    Cost: for each edit the pool's size in evaluations and a pass, in place of an explanation.

    Args:
        instance: input, of a model.
        explanation: its explanation.
        repeats: edits of each kind that leave the prediction as it was.
        draws: pairs of scores drawn.
        cache: store of evaluations.
    """
    question = instance.question
    assert question is not None
    scores = np.asarray(explanation.scores[:, instance.output], dtype=np.float64)
    noise = noise_share(instance, scores)
    seeded = _another_seed(instance, explanation, noise, draws)
    scores = without_noise(scores, noise)
    measurements = [] if seeded is None else [seeded]
    before = decides(question, question.source)
    fit = instance.additive
    agreements: dict[Axis, tuple[tuple[str, Agreement], ...]] = {}
    shares: dict[Axis, float] = {}
    discarded: list[str] = []
    open_ = ["seed: the scores' errors are not known"] if seeded is None else []
    kinds: tuple[Axis, ...] = ("typo", "neutral")
    for axis in kinds:
        edits = (
            typos(question, scores, seed=instance.seed)
            if axis == "typo"
            else neutral_edits(question)
        )
        perturbations = kept_edits(question, before, edits, repeats)
        discarded += perturbations.discarded
        shares[axis] = perturbations.share_discarded
        rows: list[tuple[str, Agreement]] = []
        for edit in perturbations.kept:
            again = _same_masks(instance, edit.source, cache)
            instance.spent.append(again.cost)
            after = additive_fit(again.pool, instance.output)
            # Scores of features that the edit left; with the mean feature's effect, since ranks are
            # by absolute size.
            first = (fit.weights + fit.slope)[again.partners]
            second = without_noise(after.weights + after.slope, noise)
            rows.append((edit.says, agreement(without_noise(first, noise), second)))
        agreements[axis] = tuple(rows)
        if rows:
            chance = least_overlap_chance(scores, len(rows), seed=instance.seed).value
            least = min(each.overlap for _, each in rows)
            measurements.append(_measured(instance, axis, least, len(rows), chance, None))
        else:
            open_.append(f"{axis}: no change left the prediction as it was")
    return Stability(
        measurements=tuple(measurements),
        repeats=agreements,
        discarded=tuple(discarded),
        open=tuple(open_),
        explanations=0,
        share_discarded=shares,
    )


def _another_seed(
    instance: Instance, explanation: Attribution, share: float, draws: int
) -> Measurement | None:
    scores = without_noise(
        np.asarray(explanation.scores[:, instance.output], dtype=np.float64), share
    )
    chance = overlap_chance(scores, scores).value
    if explanation.std_errors is None:
        return _measured(instance, "seed", 1.0, 1, chance, None)
    errors = np.asarray(explanation.std_errors[:, instance.output], dtype=np.float64)
    # A short budget leaves errors of NaN: the bias is unknown, so nothing can be drawn from them.
    if not np.all(np.isfinite(errors)):
        return None
    rng = np.random.default_rng([instance.seed, 4])
    # Two runs with other seeds both err; one drawn set beside the scores would count half of it.
    noise = errors * rng.normal(size=(draws, 2, len(scores)))
    overlaps = [
        rank_biased_overlap(without_noise(scores + one, share), without_noise(scores + two, share))
        for one, two in noise
    ]
    low, high = np.quantile(overlaps, [0.025, 0.975])
    interval = Interval(
        low=float(low), high=float(high), level=0.95, how=f"{draws} draws from the standard errors"
    )
    return _measured(instance, "seed", float(np.mean(overlaps)), draws, chance, interval)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The pool's masks on an edited text, by the features of the first that have a partner."""

    pool: Pool
    partners: Int[np.ndarray, " m"]
    cost: Cost


def _same_masks(instance: Instance, source: Input, cache: Cache | None) -> _Asked:
    question = instance.question
    assert question is not None
    edited = ask_otherwise(question, source)
    left, right = align_features(
        [feature.text for feature in question.segmentation.features],
        [feature.text for feature in edited.segmentation.features],
    ).T
    # Inserted features are always there: the two games differ by the edit alone.
    masks = np.ones((len(instance.pool), len(edited.segmentation)), dtype=bool)
    masks[:, right] = instance.pool.masks[:, left]
    game = edited.game(cache=cache)
    values = game(masks)
    # Without one of the features the masks are all sets of the others several times over.
    whole = instance.pool.complete and len(left) == instance.n
    # The answer to the whole text is in no fit.
    full = instance.pool.full
    pool = Pool(instance.pool.masks[:, left], values, full, whole, instance.pool.seed)
    return _Asked(pool, left, game.cost)


def _measured(
    instance: Instance, axis: Axis, value: float, n: int, chance: float, interval: Interval | None
) -> Measurement:
    return Measurement(
        name=f"overlap-{axis}",
        value=value,
        unit="rank-biased overlap",
        n=n,
        direction="higher",
        interval=interval,
        specification=instance.specification("paired_stability", axis=axis),
        random=chance,
        best=1.0,
    )
