"""How far two explanations agree: overlap of the top, signs, order; each beside chance.

The second explanation may be of another text: ``pairs[:, 0]`` are features of the first and
``pairs[:, 1]`` their partners in the second; a feature without a partner agrees with nothing.
Equal scores have no order. Each function says how it takes them. Chance is the mean over all
orders in which the second's scores could stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import ceil
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import hypergeom, kendalltau, rankdata

from whence.core.errors import OptionError

__all__ = [
    "PERSISTENCE",
    "Agreement",
    "Chance",
    "agreement",
    "align_features",
    "jaccard_chance",
    "kendall_tau",
    "least_overlap_chance",
    "median_overlap_chance",
    "overlap_chance",
    "rank_biased_overlap",
    "sign_agreement",
    "sign_chance",
    "spearman",
    "top_jaccard",
    "top_size",
    "without_noise",
]

PERSISTENCE = 0.8
"""Of rank-biased overlap: the first five places carry 86 % of the weight. As in Burger, Chen & Le
(2023), arXiv:2305.12351."""
TOP = 0.2
"""Share of the features that count as the top: one of the bins of comprehensiveness. Chosen by hand."""
DRAWS = 2000
"""Shuffles that a chance level is simulated from: the standard error of a number between 0 and 1 is
then at most 0.012."""

Pairs = Int[np.ndarray, "pairs 2"]


@dataclass(frozen=True, slots=True)
class Chance:
    """What random rankings give.

    Attributes:
        value: mean.
        error: standard error of the mean where it was simulated, else 0.
        high: value that 5 % of random rankings reach or pass; ``None`` where it was not simulated.
    """

    value: float
    error: float = 0.0
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a second explanation agrees with a first."""

    overlap: float
    jaccard: float
    signs: float
    tau: float


def agreement(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " m"],
    pairs: Pairs | None = None,
) -> Agreement:
    """Rank-biased overlap, top-k Jaccard, sign agreement and Kendall's tau_b of two explanations.

    Example:
        >>> agreement(np.array([3.0, -2.0, 1.0]), np.array([3.0, -2.0, 1.0])).overlap
        1.0
    """
    return Agreement(
        overlap=rank_biased_overlap(first, second, pairs),
        jaccard=top_jaccard(first, second, pairs),
        signs=sign_agreement(first, second, pairs),
        tau=kendall_tau(first, second, pairs),
    )


def without_noise(scores: Float[np.ndarray, " n"], share: float) -> Float[np.ndarray, " n"]:
    """Scores of at most a share of the largest set to zero: level, so that no order is read in them.

    Example:
        >>> without_noise(np.array([3.0, -0.01, 0.02]), 0.01).tolist()
        [3.0, 0.0, 0.0]
    """
    size = np.abs(scores)
    return np.where(size <= share * size.max(initial=0.0), 0.0, scores)


def align_features(first: Sequence[str], second: Sequence[str]) -> Pairs:
    """Which features of two texts stand for each other, by an alignment of least edits.

    Equal features (letter case apart) cost nothing; a feature inserted or deleted costs 1, one
    that became another between 1 and 2, less the more letters are shared. A feature that was
    inserted gets no partner.

    Example:
        >>> align_features(["bad", "food"], ["well", "bad", "foood"]).tolist()
        [[0, 1], [1, 2]]
    """
    a, b = [text.casefold() for text in first], [text.casefold() for text in second]
    # Edits touch a word or two: what both texts share at their ends needs no table, whose size is
    # the product of the two lengths.
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    inner_a, inner_b = a[start : len(a) - end], b[start : len(b) - end]
    cost = np.zeros((len(inner_a) + 1, len(inner_b) + 1))
    cost[:, 0], cost[0] = np.arange(len(inner_a) + 1), np.arange(len(inner_b) + 1)
    change = np.array([[_change(x, y) for y in inner_b] for x in inner_a])
    for i in range(1, len(inner_a) + 1):
        for j in range(1, len(inner_b) + 1):
            swapped = cost[i - 1, j - 1] + change[i - 1, j - 1]
            cost[i, j] = min(swapped, cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    partners: list[tuple[int, int]] = []
    i, j = len(inner_a), len(inner_b)
    while i and j:
        # The same sums in another order may differ in the last digit.
        if cost[i, j] >= cost[i - 1, j - 1] + change[i - 1, j - 1] - 1e-12:
            partners.append((start + i - 1, start + j - 1))
            i, j = i - 1, j - 1
        elif cost[i, j] >= cost[i - 1, j] + 1 - 1e-12:
            i -= 1
        else:
            j -= 1
    before = [(k, k) for k in range(start)]
    after = [(len(a) - end + k, len(b) - end + k) for k in range(end)]
    return np.array([*before, *reversed(partners), *after], dtype=np.int64).reshape(-1, 2)


def _change(one: str, other: str) -> float:
    # Below 2, the price of a deletion and an insertion, so that a changed word keeps its partner.
    # Without autojunk, which drops frequent letters from texts of 200 characters or more.
    return 0.0 if one == other else 2.0 - SequenceMatcher(None, one, other, False).ratio()


def top_size(n: int) -> int:
    """How many features are the top: a fifth of them, rounded up, at least one."""
    # 0.2 is not exact in binary: a product that is whole but for rounding must not be rounded up.
    return max(1, ceil(TOP * n - 1e-9))


def rank_biased_overlap(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " m"],
    pairs: Pairs | None = None,
    *,
    p: float = PERSISTENCE,
) -> float:
    """Agreement of two rankings by absolute score, the top counting most; 1: alike, 0: disjoint.

    Formula: (1 - p) / p sum over d of A_d p^d + A_s p^s, for depths d = 1 .. s, the features of
    the shorter list: the agreement at the last depth is held to go on. A_d = sum of a_i b_i /
    sqrt(sum a_i^2 sum b_i^2), where a_i and b_i are the chances that feature i is among the first
    d of either list when equal scores are ordered at random; without equal scores this is the
    shared part of both tops, and an explanation always agrees fully with itself. No unit.

    Source: Webber, Moffat & Zobel (2010), doi:10.1145/1852102.1852106; ties as in RBO^b of Corsi
    & Urbano (2024), doi:10.1145/3626772.3657700.

    Example:
        >>> round(rank_biased_overlap(np.array([3.0, 2, 1]), np.array([3.0, 1, 2])), 3)
        0.92
    """
    chosen = _pairs(first, second, pairs)
    one, other = _among_first(first), _among_first(second)
    return float(_overlaps(one, other[:, None], chosen, p)[0])


def overlap_chance(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " m"],
    pairs: Pairs | None = None,
    *,
    p: float = PERSISTENCE,
) -> Chance:
    """The mean rank-biased overlap with shuffled scores: exact.

    Without equal scores or missing partners A_d is d / n on average.
    """
    chosen = _pairs(first, second, pairs)
    one, other = _among_first(first), _among_first(second)
    depths = np.arange(1, len(other) + 1)
    # After a shuffle every feature is among the first d with chance d / n, and A_d is linear in the
    # shuffled side, whose norm a shuffle does not change.
    shuffled = np.repeat((depths / len(second))[:, None], len(second), axis=1)
    norms = np.sqrt((other**2).sum(axis=1))
    return Chance(float(_overlaps(one, shuffled[:, None], chosen, p, norms)[0]))


def least_overlap_chance(
    first: Float[np.ndarray, " n"], repeats: int, *, p: float = PERSISTENCE, seed: int = 0
) -> Chance:
    """The least rank-biased overlap among several shuffles of the scores; simulated."""
    one = _among_first(first)
    everyone = _pairs(first, first, None)

    def least(orders: Int[np.ndarray, "_ n"]) -> Float[np.ndarray, " draws"]:
        overlaps = _overlaps(one, one[:, orders], everyone, p)
        return overlaps.reshape(-1, repeats).min(axis=1)

    return _shuffled(least, len(first), repeats, repeats, seed)


def median_overlap_chance(
    first: Float[np.ndarray, " n"],
    others: Sequence[Float[np.ndarray, " n"]],
    *,
    p: float = PERSISTENCE,
    seed: int = 0,
) -> Chance:
    """The median rank-biased overlap of a shuffle of the scores with some others; simulated.

    The others stay as they are: that two of them are alike is no chance.
    """
    one, rest = _among_first(first), [_among_first(other) for other in others]
    everyone = _pairs(first, first, None)

    def median(orders: Int[np.ndarray, "draws n"]) -> Float[np.ndarray, " draws"]:
        shuffled = one[:, orders]
        return np.median([_overlaps(other, shuffled, everyone, p) for other in rest], axis=0)

    return _shuffled(median, len(first), 1, len(rest), seed)


def _shuffled(
    measure: Callable[[Int[np.ndarray, "_ n"]], Float[np.ndarray, " draws"]],
    n: int,
    orders: int,
    overlaps: int,
    seed: int,
) -> Chance:
    """The mean of a drawn number, and what it reaches in 5 % of the draws.

    Args:
        measure: function from orders of the features to the numbers that are drawn.
        n: number of features.
        orders: orders that one number takes.
        overlaps: overlaps that one number takes.
        seed: seed of the orders.
    """
    rng = np.random.default_rng(seed)
    # A shuffle costs n^2 products for each overlap, so long texts get fewer. Chosen by hand.
    draws = max(50, min(500, 4_000_000 // max(1, n * n * overlaps)))
    # Some at a time: the memberships of one order are n^2 numbers.
    most = max(1, 1_000_000 // max(1, n * n * orders))
    values = np.concatenate(
        [
            measure(np.stack([rng.permutation(n) for _ in range(orders * count)]))
            for count in np.diff([*range(0, draws, most), draws]).tolist()
        ]
    )
    error = float(values.std(ddof=1) / np.sqrt(draws))
    return Chance(float(values.mean()), error, float(np.quantile(values, 0.95, method="higher")))


def _overlaps(
    one: Float[np.ndarray, "depths n"],
    others: Float[np.ndarray, "_ r m"],
    pairs: Pairs,
    p: float,
    norms: Float[np.ndarray, " _"] | None = None,
) -> Float[np.ndarray, " r"]:
    if not 0 < p < 1:
        raise OptionError(f"expected a persistence p above 0 and below 1, got p={p}")
    depth = min(len(one), len(others))
    one, others = one[:depth], others[:depth]
    shared = np.einsum("di,dri->dr", one[:, pairs[:, 0]], others[:, :, pairs[:, 1]])
    mine = np.sqrt((one**2).sum(axis=1))
    theirs = np.sqrt((others**2).sum(axis=2)) if norms is None else norms[:depth, None]
    overlaps = shared / (mine[:, None] * theirs)
    # What is left of the geometric series beyond the last depth is p^depth: it goes to the last
    # agreement (RBO_ext of Webber et al.).
    weights = (1 - p) / p * p ** np.arange(1, depth + 1)
    return np.minimum(1.0, weights @ overlaps + overlaps[-1] * p**depth)


def _among_first(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
    """``[d - 1, i]``: the chance that feature i is among the first d by absolute score."""
    size = np.abs(scores)
    above = (size[None] > size[:, None]).sum(axis=1)
    level = (size[None] == size[:, None]).sum(axis=1)
    depths = np.arange(1, len(scores) + 1)
    # Of `level` equal scores below `above` larger ones, each is as likely at any of their places.
    return np.clip((depths[:, None] - above[None]) / level[None], 0.0, 1.0)


def top_jaccard(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " m"],
    pairs: Pairs | None = None,
    *,
    k: int | None = None,
) -> float:
    """Shared part of the two tops by absolute score: |both| / |either|.

    ``k`` is a fifth of the first's features, rounded up, and at least 1. Features that are level
    at the edge belong to the top by the chance they have when ordered at random, and the measure
    is the sum of the lesser over the sum of the greater of the two memberships.

    Example:
        >>> top_jaccard(np.array([9.0, 8, 1, 0, 0]), np.array([8.0, 9, 1, 0, 0]), k=2)
        1.0
    """
    k = top_size(len(first)) if k is None else k
    one, other = _top(first, k), _top(second, k)
    chosen = _pairs(first, second, pairs)
    return _jaccard(one, other, chosen)


def _jaccard(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " m"], pairs: Pairs) -> float:
    both = float(np.minimum(one[pairs[:, 0]], other[pairs[:, 1]]).sum())
    return both / (float(one.sum()) + float(other.sum()) - both)


def jaccard_chance(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " m"],
    pairs: Pairs | None = None,
    *,
    k: int | None = None,
) -> Chance:
    """The mean top-k Jaccard with shuffled scores: hypergeometric, or simulated where tops are level."""
    k = top_size(len(first)) if k is None else k
    one, other = _top(first, k), _top(second, k)
    chosen = _pairs(first, second, pairs)
    if np.all((one == 0) | (one == 1)) and np.all((other == 0) | (other == 1)):
        inside, drawn = int(one[chosen[:, 0]].sum()), int(other.sum())
        shared = np.arange(min(inside, drawn) + 1)
        # A shuffle puts the second's top on `drawn` of its features at random.
        chances = cast("Any", hypergeom).pmf(shared, len(second), inside, drawn)
        return Chance(float((chances * shared / (one.sum() + drawn - shared)).sum()))

    def draw(rng: np.random.Generator) -> float:
        return _jaccard(one, rng.permutation(other), chosen)

    return _simulated(draw)


def sign_agreement(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " m"],
    pairs: Pairs | None = None,
    *,
    k: int | None = None,
) -> float:
    """Of the first's top k that have a partner, the share that point the same way; 0 if none has.

    A score of zero agrees with zero only. Level features count by their chance of being in the
    top.
    """
    k = top_size(len(first)) if k is None else k
    chosen = _pairs(first, second, pairs)
    weight = _top(first, k)[chosen[:, 0]]
    same = np.sign(first[chosen[:, 0]]) == np.sign(second[chosen[:, 1]])
    return float((weight * same).sum() / weight.sum()) if weight.sum() > 0 else 0.0


def sign_chance(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " m"],
    pairs: Pairs | None = None,
    *,
    k: int | None = None,
) -> Chance:
    """The mean sign agreement with shuffled scores: exact."""
    k = top_size(len(first)) if k is None else k
    chosen = _pairs(first, second, pairs)
    weight = _top(first, k)[chosen[:, 0]]
    likely = np.array([np.mean(np.sign(second) == s) for s in np.sign(first[chosen[:, 0]])])
    return Chance(float((weight * likely).sum() / weight.sum()) if weight.sum() > 0 else 0.0)


def _top(scores: Float[np.ndarray, " n"], k: int) -> Float[np.ndarray, " n"]:
    if k < 1:
        raise OptionError(f"expected k of 1 or more, got k={k}")
    return _among_first(scores)[min(k, len(scores)) - 1]


def kendall_tau(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " m"],
    pairs: Pairs | None = None,
) -> float:
    """Kendall's tau_b of the signed scores of partners; 0 where either side is all level.

    With shuffled scores it is 0 on average.
    """
    chosen = _pairs(first, second, pairs)
    a, b = first[chosen[:, 0]], second[chosen[:, 1]]
    if not (_varies(a) and _varies(b)):
        return 0.0
    return float(cast("Any", kendalltau(a, b)).statistic)


def spearman(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> float:
    """Spearman's correlation, equal values at their mean rank; 0 where either side is all level.

    Example:
        >>> spearman(np.array([1.0, 2, 3]), np.array([10.0, 20, 15]))
        0.5
    """
    if not (_varies(first) and _varies(second)):
        return 0.0
    correlation = float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
    # The last digits are rounding; ranks that agree fully are to give 1.
    return round(correlation, 12)


def _varies(values: Float[np.ndarray, " n"]) -> bool:
    return len(values) > 1 and bool(np.any(values != values[0]))


def _pairs(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"], pairs: Pairs | None
) -> Pairs:
    if not len(first) or not len(second):
        raise OptionError("an explanation without a feature agrees with none")
    if pairs is not None:
        return pairs
    if len(first) != len(second):
        raise OptionError(
            f"explanations of {len(first)} and {len(second)} features compared; say which "
            "features stand for each other: align_features"
        )
    return np.repeat(np.arange(len(first))[:, None], 2, axis=1)


def _simulated(draw: Callable[[np.random.Generator], float]) -> Chance:
    rng = np.random.default_rng(0)
    values = np.array([draw(rng) for _ in range(DRAWS)])
    return Chance(float(values.mean()), float(values.std(ddof=1) / np.sqrt(DRAWS)))
