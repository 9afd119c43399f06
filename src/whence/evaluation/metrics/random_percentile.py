"""Where the marked features stand among random sets of the same size."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError, UndefinedError
from whence.core.measurements import Measurement
from whence.core.statistics.clopper_pearson import share_interval
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric
from whence.evaluation.metrics.removal import BINS, bin_sizes, descending, random_sets

__all__ = ["ComprehensivenessPercentile", "SufficiencyPercentile"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _RandomPercentile(Metric):
    """Share of random sets of the same size that the highest-scored features beat."""

    bins: str = BINS
    extra: int = 19
    direction: ClassVar[Direction] = "higher"
    keep: ClassVar[bool]
    """Whether the highest-scored features are kept alone, in place of being removed."""

    def cost(self, n: int) -> int:
        """Each bin, and fresh sets for it: see :meth:`Metric.cost`."""
        # The whole pool may lie at other sizes; then a set of its own is asked for each bin.
        return len(self.bins.split(",")) * (2 + self.extra)

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            UndefinedError: one feature has no other set of its size.
        """
        phi, n = self._checked(instance, scores), instance.n
        if self.extra < 1:
            raise OptionError(f"{self.name}: expected extra of 1 or more, got {self.extra}")
        sizes = bin_sizes(n, self.bins)
        if not sizes:
            raise UndefinedError(f"{self.name}: one feature has no other set of its size beside it")
        order = descending(phi, instance.seed)
        rng = np.random.default_rng([instance.seed, 9])
        shares: list[float] = []
        count, complete = 0, True
        for size in sizes:
            # Masks say what is present: all but the top where it is removed, the top alone where it
            # is kept.
            marked = np.full(n, not self.keep)
            marked[order[:size]] = self.keep
            answer = float(instance.decided(marked[None])[0])
            known = int(np.count_nonzero(instance.pool.masks.sum(axis=1) == marked.sum()))
            null = instance.decided(random_sets(instance, marked, known + self.extra, rng))
            # All other sets of the size were compared, so the share is exact and needs no interval.
            complete &= len(null) == comb(n, size) - 1
            worse = null < answer if self.keep else null > answer
            # Answers of equal sets differ by the rounding of a sum in double precision.
            equal = np.isclose(null, answer, rtol=0, atol=1e-12)
            shares.append(float(np.mean(np.where(equal, 0.5, worse))))
            count += len(null)
        value = float(np.mean(shares))
        return self._measurement(
            instance,
            value,
            unit="share of random sets",
            n=count,
            interval=None if complete else share_interval(value * count, count, f"{count} sets"),
            random=0.5,
            best=1.0,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ComprehensivenessPercentile(_RandomPercentile):
    """Share of random sets of features whose removal lowers the answer less than the marked.

    Formula: over the bins the mean share of random sets of the same size whose removal leaves a
    higher answer; equal ones count half. Random sets have exactly the size: those of the
    pool, and ``extra`` fresh ones. Sign: higher is better,
    0.5 is chance. Unit: share of random sets. Cost: bins x (2 + extra) evaluations at most. The
    interval is Clopper and Pearson's for the sets of all bins together, and missing where all
    sets of every size were compared.

    When it misleads: it tells a rank, not a size: an answer that hardly moves has a first place
    too. Read it beside ``comprehensiveness``.

    Args:
        bins: shares removed, separated by commas.
        extra: number of fresh random sets asked for each size.

    Source: the second question of the trust label (decision 8); the answers that are compared
    are those of DeYoung et al. (2020), arXiv:1911.03429.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(4, lambda S: S @ np.array([3.0, 0.0, -1.0, 0.5]))
        >>> instance = Instance(game, pool_of(game))
        >>> ComprehensivenessPercentile().measure(instance, np.array([3.0, 0, -1, 0.5])).value
        1.0
    """

    name: ClassVar[str] = "comprehensiveness-percentile"
    question: ClassVar[str] = "Does removing other words do as much?"
    rank: ClassVar[int] = 32
    keep: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SufficiencyPercentile(_RandomPercentile):
    """Share of random sets of features that alone hold the answer less than the marked do.

    Formula: over the bins the mean share of random sets of the same size that, kept alone, give
    a lower answer; equal ones count half. Sets, interval and cost are those of
    :class:`ComprehensivenessPercentile`. Sign: higher is better, 0.5 is chance. Unit: share of
    random sets. Cost: bins x (2 + extra) evaluations at most.

    When it misleads: a few words alone are texts the model never saw, for the marked and the
    random sets alike.

    Args:
        bins: shares kept, separated by commas.
        extra: number of fresh random sets asked for each size.

    Source: the second question of the trust label (decision 8); the answers that are compared
    are those of DeYoung et al. (2020), arXiv:1911.03429.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(4, lambda S: S @ np.array([3.0, 0.0, -1.0, 0.5]))
        >>> instance = Instance(game, pool_of(game))
        >>> SufficiencyPercentile().measure(instance, np.array([3.0, 0, -1, 0.5])).value
        1.0
    """

    name: ClassVar[str] = "sufficiency-percentile"
    question: ClassVar[str] = "Do other words alone do as much?"
    rank: ClassVar[int] = 34
    keep: ClassVar[bool] = True
