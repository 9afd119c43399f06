"""Tests of scores against chance on one pool: the scores shuffled, or the answers.

Scores that rest on one word of n have n arrangements that differ, whatever noise the other words
have: no shuffle of them can be rarer than 1 in n. There the answers are shuffled in their place.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from math import factorial, prod

import numpy as np
from jaxtyping import Bool, Float

from whence.evaluation.additive_surrogate import beyond_size
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.pool_fidelity import fidelities

__all__ = ["Concentrated", "answer_test", "concentrated", "noise_share", "permutation_test"]

TIE = 0.01
"""Fall of the fidelity up to which scores that are made equal say as much as before: equal within
their error. The bootstrap's standard error of a fidelity of 0.99 on 32 pairs is about as large."""

EXACT_UP_TO = 5_040
"""Arrangements that are tried one by one; beyond, some are drawn. 7!: all arrangements of seven
different scores, at the price of five times the draws."""


def permutation_test(
    instance: Instance,
    scores: Float[np.ndarray, " n"],
    *,
    draws: int = 999,
    within: Bool[np.ndarray, " n"] | None = None,
) -> tuple[float, float]:
    """The chance that shuffled scores do as well, and the least chance that could be found.

    One-sided. All distinct arrangements of the scores are tried where there are few (equal scores
    have fewer: one word alone marked of twelve has twelve); else p = (1 + as good) / (1 + draws),
    which is valid at any number of draws.

    Args:
        instance: input that the scores are judged on.
        scores: scores of the features.
        draws: shuffles, where not all are tried.
        within: two kinds of features; scores are shuffled within each kind only, so that telling
            content from stop words is not enough to pass.

    Cost: no evaluation.
    """
    n = instance.n
    if len(instance.pool) == 0:
        return 1.0, 1.0
    scores = _without_rounding(scores)
    kinds = np.zeros(n, dtype=bool) if within is None else within
    places = [group for group in (np.flatnonzero(~kinds), np.flatnonzero(kinds)) if len(group)]
    count = prod(_count(scores[group]) for group in places)
    exact = count <= EXACT_UP_TO
    if exact:
        tables = [_arrangements(scores[group]) for group in places]
        rows = [np.concatenate(parts) for parts in product(*tables)]
        shuffled = np.empty((count, n))
        shuffled[:, np.concatenate(places)] = np.stack(rows)
    else:
        rng = np.random.default_rng([instance.seed, 1])
        shuffled = np.empty((draws, n))
        for row in shuffled:
            # Over the kinds apart: an arrangement never moves a score from a content word to a stop
            # word.
            for group in places:
                row[group] = rng.permutation(scores[group])
    null = fidelities(instance.pool.masks, instance.responses, shuffled)
    mine = fidelities(instance.pool.masks, instance.responses, scores[None])[0]
    # Equal arrangements may differ in the last digits; one that is equal is as good.
    as_good = int(np.count_nonzero(null >= mine - 1e-9))
    if exact:
        return as_good / count, 1.0 / count
    # The scores themselves are one of the arrangements; without the ones p could be 0, which no
    # number of draws can show (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585).
    return (1 + as_good) / (1 + draws), 1.0 / (1 + draws)


@dataclass(frozen=True, slots=True, eq=False)
class Concentrated:
    """The fewest scores that say as much as all.

    Attributes:
        scores: scores, with all but the ``size`` most outlying ones made equal.
        fidelity: fidelity of all the scores as they were.
        arrangements: number of distinct arrangements of them.
        first: whether no other arrangement has a greater fidelity; ``None`` where there are too
            many to try.
    """

    scores: Float[np.ndarray, " n"]
    size: int
    fidelity: float
    arrangements: int
    first: bool | None


def concentrated(instance: Instance, scores: Float[np.ndarray, " n"]) -> Concentrated:
    """Make equal whatever scores can be without a fall of the fidelity by more than :data:`TIE`.

    Differences below the noise of the model or of the scores vanish, so what is left shows how many
    arrangements there are that anybody could tell apart. Cost: no evaluation.
    """
    masks, responses = instance.pool.masks, instance.responses
    scores = _without_rounding(scores)
    # From the value of most features: an outlier below it is as telling as one above.
    order = np.argsort(-np.abs(scores - np.median(scores)), kind="stable")
    rows = np.tile(scores, (instance.n, 1))
    for size, row in enumerate(rows):
        row[order[size:]] = scores[order[size:]].mean()
    values = fidelities(masks, responses, np.concatenate([rows, scores[None]]))
    size = int(np.argmax(np.append(np.abs(values[:-1] - values[-1]) <= TIE, True)))
    fewest = rows[size] if size < instance.n else scores
    count = _count(fewest)
    first = None
    if count <= EXACT_UP_TO:
        null = fidelities(masks, responses, _arrangements(fewest))
        first = bool(values[size] > 0 and null.max() <= values[size] + 1e-9)
    return Concentrated(fewest, size, float(values[-1]), count, first)


def noise_share(instance: Instance, scores: Float[np.ndarray, " n"]) -> float:
    """Share of the largest score up to which scores are noise: they say nothing that others lack.

    0 where the scores as a whole say less than half: then nothing tells noise from the rest. The
    order of such scores is no part of an explanation, so rankings are compared without it.
    """
    few = concentrated(instance, scores)
    if few.fidelity < SAYS_MOST or not 0 < few.size < instance.n:
        return 0.0
    size = np.abs(scores)
    rest = np.sort(size)[: instance.n - few.size]
    return float(rest[-1] / size.max()) if rest[-1] < size.max() else 0.0


SAYS_MOST = 0.7
"""Fidelity from which scores explain half of the variance of the answers: the root of a half."""


def answer_test(
    instance: Instance, scores: Float[np.ndarray, " n"], *, draws: int = 999
) -> tuple[float, float]:
    """The chance that answers without regard to these scores correlate with them as well.

    The answers to a mask and its complement are swapped at random, beyond the size of the mask:
    where no word of those marked matters, either could have been given to either. One-sided. All
    swaps are tried where there are few, else p = (1 + as good) / (1 + draws). Cost: no evaluation.

    Returns:
        The chance, and the least that could be found.
    """
    pairs = len(instance.pool) // 2
    if pairs == 0:
        return 1.0, 1.0
    design, response = beyond_size(instance.pool.masks, instance.responses)
    sums = design @ scores
    # What a pair holds of a sum is in its difference: a swap turns its sign round.
    products = (sums[0::2] - sums[1::2]) * (response[0::2] - response[1::2])
    exact = 1 << pairs <= EXACT_UP_TO
    if exact:
        signs = 1 - 2 * ((np.arange(1 << pairs)[:, None] >> np.arange(pairs)) & 1)
    else:
        signs = np.random.default_rng([instance.seed, 31]).choice((-1, 1), size=(draws, pairs))
    # Sums of equal terms may differ in the last digits.
    floor = 1e-9 * float(np.abs(products).sum())
    as_good = int(np.count_nonzero(signs @ products >= products.sum() - floor))
    if exact:
        return as_good / (1 << pairs), 1.0 / (1 << pairs)
    return (1 + as_good) / (1 + draws), 1.0 / (1 + draws)


def _without_rounding(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Values to nine decimals of the largest: sums of the same terms in another order are equal."""
    scale = float(np.abs(values).max(initial=0.0))
    return np.round(values / scale, 9) * scale if scale > 0 else values


def _count(values: Float[np.ndarray, " n"]) -> int:
    """Distinct arrangements: n! over the product of m! for each value that stands m times."""
    repeats = np.unique(values, return_counts=True)[1]
    return factorial(len(values)) // prod(factorial(int(m)) for m in repeats)


def _arrangements(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, "r n"]:
    """Every distinct arrangement of some values, each once."""
    kinds, repeats = np.unique(values, return_counts=True)
    # NaN marks a place that is still free; scores are finite (see Metric._checked).
    rows = [np.full(len(values), np.nan)]
    for kind, times in zip(kinds, repeats, strict=True):
        grown: list[np.ndarray] = []
        for row in rows:
            for chosen in combinations(np.flatnonzero(np.isnan(row)), int(times)):
                filled = row.copy()
                filled[list(chosen)] = kind
                grown.append(filled)
        rows = grown
    return np.stack(rows)
