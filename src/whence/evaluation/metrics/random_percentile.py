"""Where the marked features stand among random sets of the same size."""

from __future__ import annotations

from math import comb

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import UndefinedError
from whence.core.measurements import Measurement
from whence.core.statistics.clopper_pearson import share_interval
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.removal import BINS, bin_sizes, descending, random_answers

__all__ = ["percentile_among_random"]


def percentile_among_random(
    instance: Instance,
    scores: Float[np.ndarray, " n"],
    *,
    keep: bool = False,
    bins: str = BINS,
    extra: int = 0,
) -> Measurement:
    """Share of random sets of the same size that the marked features beat, over the bins.

    A set is beaten when its removal leaves a higher answer (``keep``: when it alone gives a
    lower one); equal ones count half. Random sets come from the pool: those of exactly the size
    where it has enough, else the nearest, moved to the size; with ``extra`` also fresh sets of
    exactly the size, and then only sets of exactly that size count. Sign: higher is better.
    Cost: bins x (1 + extra) evaluations at most. The interval is Clopper and Pearson's for the
    sets of all bins together, and missing where all sets of every size were compared.

    Args:
        instance: the input.
        scores: of its features.
        keep: keep only the marked, rather than remove them.
        bins: shares marked, separated by commas.
        extra: fresh random sets asked for each size.

    Raises:
        UndefinedError: one feature has no other set of its size.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(4, lambda S: S @ np.array([3.0, 0.0, -1.0, 0.5]))
        >>> percentile_among_random(Instance(game, pool_of(game)), np.array([3.0, 0, -1, 0.5])).value
        1.0
    """
    n = instance.n
    sizes = bin_sizes(n, bins)
    if not sizes:
        raise UndefinedError("percentile: one feature has no other set of its size beside it")
    order = descending(scores, instance.seed)
    rng = np.random.default_rng([instance.seed, 9])
    shares: list[float] = []
    count, complete = 0, True
    for size in sizes:
        marked = np.full(n, not keep)
        marked[order[:size]] = keep
        answer = float(instance.decided(marked[None])[0])
        if extra:
            null = instance.decided(_same_size(instance, marked, extra, rng))
        else:
            null = random_answers(instance, marked)
        complete &= len(null) == comb(n, size) - 1
        worse = null < answer if keep else null > answer
        equal = np.isclose(null, answer, rtol=0, atol=1e-12)
        shares.append(float(np.mean(np.where(equal, 0.5, worse))))
        count += len(null)
    value = float(np.mean(shares))
    interval = None
    if not complete:
        interval = share_interval(value * count, count, f"{count} sets")
    return Measurement(
        name="sufficiency-percentile" if keep else "comprehensiveness-percentile",
        value=value,
        unit="share of random sets",
        n=count,
        direction="higher",
        interval=interval,
        specification=instance.specification(
            "percentile_among_random", keep=keep, bins=bins, extra=extra
        ),
        random=0.5,
        best=1.0,
    )


def _same_size(
    instance: Instance, marked: Bool[np.ndarray, " n"], extra: int, rng: np.random.Generator
) -> Bool[np.ndarray, "m n"]:
    """The pool's sets of exactly the marked one's size, and fresh ones; itself is left out."""
    n, present = instance.n, int(marked.sum())
    pool = instance.pool.masks
    rows = {row.tobytes(): row for row in pool[pool.sum(axis=1) == present]}
    rows.pop(marked.tobytes(), None)
    wanted = min(len(rows) + extra, comb(n, present) - 1)
    while len(rows) < wanted:
        row = np.zeros(n, dtype=bool)
        row[rng.permutation(n)[:present]] = True
        if row.tobytes() != marked.tobytes():
            rows[row.tobytes()] = row
    return np.stack(list(rows.values()))
