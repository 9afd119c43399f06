"""Removing the marked features, or all others: the answer, and how random sets of that size fare.

What a fall means is only known beside the falls that sets of the same size give. The pool has
answered masks of every size already, so these cost nothing: where it holds few of exactly the
size in question, an additive fit to the whole pool moves the answers of other sizes to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtr

from whence.core.errors import OptionError
from whence.evaluation.instance import Instance, on_a_scale_of_decisions

__all__ = [
    "BINS",
    "NEAREST",
    "Removal",
    "bin_sizes",
    "descending",
    "random_answers",
    "random_sets",
    "removal",
]

BINS = "0.05,0.1,0.2,0.5"
"""Shares removed or kept: those of DeYoung et al. (2020) up to one half; their 1 % is less than one
word of most texts."""

RANGES = {"log_probability": (-np.inf, 0.0), "probability": (0.0, 1.0)}
"""What a link's values cannot pass."""

COMBINED = 2_000
"""Random choices of one set for each size: a percentile of 95 % then has a standard error of 0.5 %."""

NEAREST = 12
"""Masks of the pool that stand for random sets of a size, at least: the nearest in size. Chosen by
hand for pools of 32 to 64 masks; not calibrated."""


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """The marked features removed (or kept alone), bin by bin.

    Attributes:
        sizes: features removed, or kept, in each bin that differs.
        falls: falls of the answer at each.
        answers: answer at each.
        null_answers: for each bin the answers of random sets near its size, moved to it.
        percentile: share of random sets (one of each size, their answers averaged) that fare worse
            than the marked ones, half of the equal ones counted: 1 is better than all of them.
        value, random, best: mean falls of the marked, the random, and the best set known.
    """

    sizes: tuple[int, ...]
    falls: Float[np.ndarray, " bins"]
    answers: Float[np.ndarray, " bins"]
    null_answers: tuple[Float[np.ndarray, " _"], ...]
    percentile: float
    value: float
    random: float | None
    best: float | None


def bin_sizes(n: int, bins: str) -> tuple[int, ...]:
    """How many features each share stands for, at least one, without repetition.

    Example:
        >>> bin_sizes(12, "0.05,0.1,0.2,0.5")
        (1, 2, 6)
    """
    try:
        shares = [float(part) for part in bins.split(",")]
    except ValueError as error:
        raise OptionError(
            f"expected bins as shares separated by commas, such as {BINS!r}; got {bins!r}"
        ) from error
    if not shares or any(not 0 < share < 1 for share in shares):
        raise OptionError(f"expected bins above 0 and below 1, got {bins!r}")
    # Half up: round() goes to the even neighbour, and 0.5 of 5 words and of 7 would be 2 and 4.
    sizes = {max(1, int(share * n + 0.5)) for share in shares}
    # With everything removed the answer is the same for all scores, and so compares none.
    return tuple(sorted(size for size in sizes if size < n))


def descending(scores: Float[np.ndarray, " n"], seed: int) -> Int[np.ndarray, " n"]:
    """Features from the highest score to the lowest; equal ones in an order drawn from the seed.

    Reading order would favour whatever stands first in the text.
    """
    shuffled = np.random.default_rng([seed, 3]).permutation(len(scores))
    return shuffled[np.argsort(-scores[shuffled], kind="stable")]


def removal(
    instance: Instance, scores: Float[np.ndarray, " n"], bins: str, *, keep: bool
) -> Removal:
    """Remove the top of a ranking, or keep only it, at several sizes.

    Cost: one evaluation for each size that differs.

    Args:
        instance: input.
        scores: scores of its features.
        bins: shares, separated by commas.
        keep: whether only the top is kept, in place of removed.
    """
    sizes = bin_sizes(instance.n, bins)
    order = descending(scores, instance.seed)
    masks = np.full((len(sizes), instance.n), not keep)
    for row, size in zip(masks, sizes, strict=True):
        row[order[:size]] = keep
    whole = float(instance.decided(np.ones((1, instance.n), dtype=bool))[0])
    if not sizes:
        none = np.zeros(0)
        return Removal((), none, none, (), 0.5, 0.0, None, None)
    answers = instance.decided(masks)
    nulls = tuple(random_answers(instance, row) for row in masks)
    # Answers of random sets, one of each size, on average: what the marked ones have to beat.
    null = _combined(sizes, instance, nulls)
    mine = float(np.mean(answers))
    # Removed, the marked should leave a lower answer than other sets; kept, a higher one.
    worse = null < mine if keep else null > mine
    equal = np.isclose(null, mine, rtol=0, atol=1e-9)
    best = [float(null.max() if keep else null.min()) for null in nulls]
    extreme = np.maximum if keep else np.minimum
    return Removal(
        sizes=sizes,
        falls=whole - answers,
        answers=answers,
        null_answers=nulls,
        percentile=float(np.mean(np.where(equal, 0.5, worse))),
        value=float(np.mean(whole - answers)),
        random=float(np.mean([whole - null.mean() for null in nulls])),
        best=float(np.mean(whole - extreme(np.array(best), answers))),
    )


def _combined(
    sizes: tuple[int, ...], instance: Instance, nulls: tuple[Float[np.ndarray, " _"], ...]
) -> Float[np.ndarray, " draws"]:
    """Mean answers of random *rankings*: the top s of one lies within its top t.

    Sums over nested random sets of s < t of n features correlate by sqrt(s (n - t) / (t (n - s)));
    normal variables of that correlation choose the quantiles of each size's answers. Sets drawn
    apart would vary too little together, and random scores would pass three times too often.
    """
    n = instance.n
    s = np.array(sizes, dtype=np.float64)
    small, large = np.minimum(s[:, None], s[None]), np.maximum(s[:, None], s[None])
    together = np.sqrt(small * (n - large) / (large * (n - small)))
    rng = np.random.default_rng([instance.seed, 5])
    drawn = ndtr(rng.multivariate_normal(np.zeros(len(s)), together, size=COMBINED))
    answers = [np.quantile(null, drawn[:, i]) for i, null in enumerate(nulls)]
    return np.mean(answers, axis=0)


def random_answers(
    instance: Instance, marked: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " sets"]:
    """Answers of random sets with as many features present as in ``marked``, itself left out.

    Sets of exactly that size where the pool has enough; else the nearest, each moved to the size:
    the pool's answers against size (a parabola) give the mean, and what is left is scaled as the
    spread of a sum over a random set of s of n is, by the root of s (n - s). On the scale of the
    output, where this is straighter than among probabilities.
    """
    masks, values = instance.pool.masks, instance.responses
    others = ~np.all(masks == marked, axis=1)
    masks, values = masks[others], values[others]
    sizes, present, n = masks.sum(axis=1), int(marked.sum()), instance.n
    exact = sizes == present
    if exact.sum() >= NEAREST or (instance.pool.complete and exact.any()):
        return on_a_scale_of_decisions(values[exact], instance.what)
    if len(values) == 0:
        return instance.decided(marked[None])
    distance = np.abs(sizes - present)
    # All that are as near as the twelfth: which of equals came first in the pool is chance.
    near = np.flatnonzero(distance <= np.sort(distance)[:NEAREST].max())
    # Polynomial.fit maps the sizes to -1 .. 1 first; powers of sizes in the hundreds would be badly
    # conditioned.
    mean = np.polynomial.Polynomial.fit(sizes, values, min(2, len(np.unique(sizes)) - 1))
    # Sums over s of n without replacement have a variance of s (n - s) / (n - 1) times that of a
    # term.
    spread = np.sqrt(present * (n - present) / (sizes[near] * (n - sizes[near])))
    moved = mean(float(present)) + spread * (values[near] - mean(sizes[near].astype(np.float64)))
    lowest, highest = RANGES.get(instance.what.link, (-np.inf, np.inf))
    moved = np.clip(moved, lowest, highest)
    return on_a_scale_of_decisions(moved, instance.what)


def random_sets(
    instance: Instance, marked: Bool[np.ndarray, " n"], least: int, rng: np.random.Generator
) -> Bool[np.ndarray, "m n"]:
    """Distinct masks with as many features present as in ``marked``, itself left out.

    Those of the pool, and random ones up to ``least`` in all. Fewer where there are no more.
    """
    n, present = instance.n, int(marked.sum())
    pool = instance.pool.masks
    rows = {row.tobytes(): row for row in pool[pool.sum(axis=1) == present]}
    rows.pop(marked.tobytes(), None)
    # No more than there are besides the marked one, else the loop would never end.
    target = min(max(len(rows), least), comb(n, present) - 1)
    while len(rows) < target:
        row = np.zeros(n, dtype=bool)
        row[rng.permutation(n)[:present]] = True
        if row.tobytes() != marked.tobytes():
            rows[row.tobytes()] = row
    return np.stack(list(rows.values()))
