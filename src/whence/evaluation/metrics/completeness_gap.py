"""Completeness gap: how far scores are from adding up to the difference they explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.errors import UndefinedError
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric

__all__ = ["CompletenessGap"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletenessGap(Metric):
    """Distance of the scores' sum from the difference between all features and none, as a share.

    Formula: |sum of phi - (v(all) - v(none))| / |v(all) - v(none)|, a number and not a yes or
    no. Sign: lower is better. Unit: share of the difference. Exact, so without an interval.
    Cost: one evaluation. ``best`` is 0; ``random`` is missing, as shuffled scores have the same
    sum.

    When it misleads: only for scores that are meant to add up to the difference made by *this*
    way of removing; scores against another baseline add up to another difference. Methods that
    add up by construction have no gap, right or wrong. Undefined where there is no difference.

    Source: Sundararajan et al. (2017), arXiv:1703.01365.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(2, lambda S: S @ np.array([3.0, 1.0]))
        >>> instance = Instance(game, pool_of(game))
        >>> CompletenessGap().measure(instance, np.array([3.0, 0.0])).value
        0.25
    """

    name: ClassVar[str] = "completeness-gap"
    direction: ClassVar[Direction] = "lower"
    question: ClassVar[str] = "Does it add up?"
    rank: ClassVar[int] = 140

    def cost(self, n: int) -> int:
        """The answer to no feature: see :meth:`Metric.cost`."""
        return 1

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            UndefinedError: all features and none give the same answer.
        """
        phi = self._checked(instance, scores)
        difference = instance.full - instance.empty
        # The floor of 1: log-odds near 0 have rounding of the size of their summands, not of their
        # own.
        if abs(difference) <= 1e-9 * max(1.0, abs(instance.full)):
            raise UndefinedError(
                f"{self.name}: all features and none both give {instance.full:.4g}; there is no "
                "difference to add up to"
            )
        return self._measurement(
            instance,
            abs(float(phi.sum()) - difference) / abs(difference),
            unit="share of the difference",
            n=1,
            best=0.0,
        )
