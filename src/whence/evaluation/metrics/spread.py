"""Entropy and Gini coefficient of scores: over how many features they are spread."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.errors import UndefinedError
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric

__all__ = ["Entropy", "Gini"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spread(Metric):
    """A number of the sizes of the scores alone; the model is not asked."""

    direction: ClassVar[Direction] = "none"
    unit: ClassVar[str]

    def cost(self, n: int) -> int:
        """None: see :meth:`Metric.cost`."""
        return 0

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            UndefinedError: all scores are 0.
        """
        size = np.abs(self._checked(instance, scores))
        largest = float(size.max())
        if largest == 0.0:
            raise UndefinedError(f"{self.name}: all {len(size)} scores are 0; nothing to share out")
        # Divided by the largest first, so that a sum of huge scores does not overflow.
        shares = size / largest
        shares /= shares.sum()
        return self._measurement(instance, self._of(shares), unit=self.unit, n=instance.n)

    @abstractmethod
    def _of(self, shares: Float[np.ndarray, " n"]) -> float:
        """The number, of shares that sum to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entropy(_Spread):
    """Entropy of the scores' sizes, as a share of the most that so many features can have.

    Formula: -sum of p_i log p_i / log n, p_i = |phi_i| / sum of |phi|; 0 for one feature.
    Sign: 0 all on one feature, 1 spread evenly; neither is better, it tells how much there is to read.
    No unit. Cost: none, the model is not asked. Exact, so without an interval; ``random`` and
    ``best`` have no meaning, as shuffled scores have the same.

    When it misleads: few words marked are not the right words marked. Undivided by
    log n it would grow with the length of the text.
    Undefined where all scores are 0.

    Source: Bhatt et al. (2020), arXiv:2005.00631.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(4, lambda S: S.sum(axis=1))
        >>> instance = Instance(game, pool_of(game))
        >>> [Entropy().measure(instance, np.array(phi)).value for phi in ([1.0] * 4, [0.0, 0, -5, 0])]
        [1.0, 0.0]
    """

    name: ClassVar[str] = "entropy"
    question: ClassVar[str] = "Over how many words is it spread?"
    rank: ClassVar[int] = 150
    unit: ClassVar[str] = "share of log n"

    def _of(self, shares: Float[np.ndarray, " n"]) -> float:
        n = len(shares)
        present = shares[shares > 0]
        # log 1 = 0 would divide; and a single share gives -0.0, which prints with a sign.
        if n == 1 or len(present) == 1:
            return 0.0
        return float(-(present * np.log(present)).sum() / np.log(n))


@dataclass(frozen=True, kw_only=True, slots=True)
class Gini(_Spread):
    """Gini coefficient of the scores' sizes.

    Formula: sum of (2 i - n - 1) |phi|_(i) / (n sum of |phi|), |phi|_(i) in ascending order.
    Sign: 0 all equal, 1 - 1/n all on one feature; neither is better, it tells how much there is to read.
    No unit. Cost: none, the model is not asked. Exact, so without an interval; ``random`` and
    ``best`` have no meaning, as shuffled scores have the same.

    When it misleads: few words marked are not the right words marked. Its
    greatest value depends on n.
    Undefined where all scores are 0.

    Source: Chalasani et al. (2020), arXiv:1810.06583.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(4, lambda S: S.sum(axis=1))
        >>> instance = Instance(game, pool_of(game))
        >>> [Gini().measure(instance, np.array(phi)).value for phi in ([1.0] * 4, [0.0, 0, -5, 0])]
        [0.0, 0.75]
    """

    name: ClassVar[str] = "gini"
    question: ClassVar[str] = "Do few words carry most of the scores?"
    rank: ClassVar[int] = 160
    unit: ClassVar[str] = "coefficient"

    def _of(self, shares: Float[np.ndarray, " n"]) -> float:
        n = len(shares)
        ranks = 2 * np.arange(1, n + 1) - n - 1
        return float((ranks * np.sort(shares)).sum() / n)
