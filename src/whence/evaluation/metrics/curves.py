"""Curves of removal: the answer as features go one by one, and the best and mean such curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from whence.evaluation.additive_surrogate import additive_fit
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.removal import descending, random_answers

__all__ = [
    "MOST_EXACT",
    "Limits",
    "area",
    "best_along",
    "chain_limits",
    "kept_along",
    "random_along",
    "removed_along",
]

MOST_EXACT = 12
"""Features up to which every order of removal is compared: 4,096 evaluations then suffice for all
12! orders."""


def removed_along(
    instance: Instance, scores: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " steps"]:
    """The answer with the 0, 1, .., n highest-scored features removed.

    Equal scores follow an order drawn from the seed. Cost: n evaluations at most.
    """
    return instance.decided(_nested(descending(scores, instance.seed), present_first=True))


def kept_along(instance: Instance, scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " steps"]:
    """The answer with only the 0, 1, .., n highest-scored features present.

    Equal scores follow an order drawn from the seed. Cost: n evaluations at most.
    """
    return instance.decided(_nested(descending(scores, instance.seed), present_first=False))


def _nested(order: np.ndarray, *, present_first: bool) -> Bool[np.ndarray, "steps n"]:
    masks = np.full((len(order) + 1, len(order)), present_first)
    for step, feature in enumerate(order):
        # Row k holds the first k changes, so a feature is changed from its own row on.
        masks[step + 1 :, feature] = not present_first
    return masks


def random_along(instance: Instance) -> Float[np.ndarray, " steps"]:
    """The mean answer of random sets with 0, 1, .., n features present.

    Exact where the pool is complete; else estimated from it, see
    :func:`~whence.evaluation.metrics.removal.random_answers`. Cost: one evaluation, of no feature.
    """
    n = instance.n
    ends = instance.decided(np.stack([np.zeros(n, dtype=bool), np.ones(n, dtype=bool)]))
    means = np.empty(n + 1)
    means[0], means[n] = ends
    if instance.pool.complete:
        sizes, answers = instance.pool.masks.sum(axis=1), instance.decided(instance.pool.masks)
        for size in range(1, n):
            means[size] = answers[sizes == size].mean()
        return means
    for size in range(1, n):
        # Which features are in the set does not matter, only that it is not itself in the pool.
        means[size] = random_answers(instance, np.arange(n) < size).mean()
    return means


def area(answers: Float[np.ndarray, " steps"]) -> float:
    """Area under a curve over 0 .. 1 by trapezoids, both ends in.

    Example:
        >>> area(np.array([1.0, 0.5, 0.0]))
        0.5
    """
    steps = len(answers) - 1
    return float((answers.sum() - (answers[0] + answers[-1]) / 2) / steps)


def best_along(
    instance: Instance, curve: Float[np.ndarray, " steps"], *, lowest: bool, keep: bool
) -> Float[np.ndarray, " steps"]:
    """The better of a curve and that of the pool's best additive fit.

    Cost: n evaluations at most, none where the pool is complete.

    Args:
        instance: input.
        curve: curve of the scores that are judged.
        lowest: whether a lower area is better.
        keep: whether the curve is of keeping rather than of removing.
    """
    weights = additive_fit(instance.pool, instance.output).weights
    follow = kept_along if keep else removed_along
    other = follow(instance, weights)
    better = area(other) < area(curve) if lowest else area(other) > area(curve)
    return other if better else curve


@dataclass(frozen=True, slots=True)
class Limits:
    """The least and the greatest mean answer along any order of removal, full input left out.

    Attributes:
        low, high: means over the answers with 1 .. n features removed.
        exact: no order was left out; else the best that a beam search met.
    """

    low: float
    high: float
    exact: bool


def chain_limits(instance: Instance, *, beam: int = 5) -> Limits:
    """Limits over all n! orders of removal.

    Up to twelve features by dynamic programming over subsets: the best chain down to a set is its
    own answer and the best chain down to a set with one feature more. Beyond, by beam search.

    Cost: 2^n evaluations, or at most beam x n (n + 1) by search.
    """
    if instance.n <= MOST_EXACT:
        return _exact(instance)
    low, high = _search(instance, beam, -1.0), _search(instance, beam, 1.0)
    return Limits(low, high, exact=False)


def _exact(instance: Instance) -> Limits:
    n = instance.n
    numbers = np.arange(1 << n)
    masks = (numbers[:, None] >> np.arange(n)) & 1 == 1
    answers = instance.decided(masks)
    sizes = masks.sum(axis=1)
    low, high = np.full(1 << n, np.inf), np.full(1 << n, -np.inf)
    # The full input begins every order, so it adds the same to all and is left out of the mean.
    low[-1] = high[-1] = 0.0
    # From large sets to small: what is above a set is final when the set is reached.
    for size in range(n - 1, -1, -1):
        here = numbers[sizes == size]
        for feature in range(n):
            absent = here[(here >> feature) & 1 == 0]
            above = absent | (1 << feature)
            low[absent] = np.minimum(low[absent], low[above])
            high[absent] = np.maximum(high[absent], high[above])
        low[here] += answers[here]
        high[here] += answers[here]
    return Limits(float(low[0]) / n, float(high[0]) / n, exact=True)


def _search(instance: Instance, beam: int, sign: float) -> float:
    """The mean along the best order that a beam search meets."""
    n = instance.n
    front: list[tuple[float, np.ndarray]] = [(0.0, np.ones(n, dtype=bool))]
    for _ in range(n):
        grown: dict[bytes, tuple[float, np.ndarray]] = {}
        for total, mask in front:
            for feature in np.flatnonzero(mask):
                child = mask.copy()
                child[feature] = False
                key = child.tobytes()
                # Two orders that have removed the same set continue alike; only the better one can
                # be best.
                if key not in grown or sign * total > sign * grown[key][0]:
                    grown[key] = (total, child)
        answers = instance.decided(np.stack([child for _, child in grown.values()]))
        scored = [
            (total + float(answer), child)
            for (total, child), answer in zip(grown.values(), answers, strict=True)
        ]
        front = sorted(scored, key=lambda pair: -sign * pair[0])[:beam]
    return front[0][0] / n
