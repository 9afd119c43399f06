"""Decision flip: the smallest share of the highest-scored features whose removal turns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import OptionError
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance, on_a_scale_of_decisions
from whence.evaluation.metrics.base import Direction, Metric
from whence.evaluation.metrics.removal import descending

__all__ = ["CENSORED", "DecisionFlip"]

CENSORED = "share removed without a flip (right-censored)"
"""The unit where nothing flips: the value is then how much was removed, not where it flipped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionFlip(Metric):
    """Share of the features, highest-scored first, whose removal changes the decision.

    Formula: k / n, k the smallest number of top features without which the output lies on the
    other side: of 1/2 where it is a probability or tells one, else of 0. Where the output is not
    decided for to begin with, the lowest-scored features, which hold it back, go first. Of
    equal scores the order is drawn from the seed. Sign: lower is better. Exact, so without an
    interval. Cost: (orders + 1) n evaluations at most. ``random``: the median over random
    orders; missing where more than half never flip. ``best``: the smallest set known to flip.

    Where no removal flips the decision the value is right-censored: it is 1, the share that was
    removed in vain, and the unit says so, by which a comparison with a flip is refused.

    When it misleads: one output of more than two labels can lose its lead above 1/2. A decision
    near the edge flips at anything.

    Args:
        orders: random ones for comparison; 0: none.

    Source: Serrano & Smith (2019), arXiv:1906.03731.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(4, lambda S: S @ np.array([3.0, 0.0, 1.0, 2.0]) - 2.5)
        >>> instance = Instance(game, pool_of(game))
        >>> DecisionFlip().measure(instance, np.array([3.0, 0.0, 1.0, 2.0])).value
        0.5
    """

    orders: int = 5
    name: ClassVar[str] = "decision-flip"
    direction: ClassVar[Direction] = "lower"
    question: ClassVar[str] = "How many of the marked words must go to change the decision?"
    rank: ClassVar[int] = 130

    def cost(self, n: int) -> int:
        """Removal in every order: see :meth:`Metric.cost`."""
        return (self.orders + 1) * n

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        if self.orders < 0:
            raise OptionError(
                f"{self.name}: expected orders of 0 or more, got orders={self.orders}"
            )
        flip = self.flips_at(instance, scores)
        rng = np.random.default_rng([instance.seed, 8])
        n = instance.n
        others = [_flip(instance, rng.permutation(n)) for _ in range(self.orders)]
        median = None
        if others:
            # An order without a flip lies beyond all others: the median is exact as long as fewer
            # than half are such, and infinite beyond that.
            median = float(np.median([np.inf if k is None else k for k in others])) / n
        flipped = _turned(instance, instance.responses)
        # The pool has removed sets at random anyway; one that flips bounds the smallest from above.
        known = (~instance.pool.masks).sum(axis=1)[flipped].tolist()
        known += [k for k in (flip, *others) if k is not None]
        return self._measurement(
            instance,
            1.0 if flip is None else flip / n,
            unit=CENSORED if flip is None else "share removed",
            n=n,
            random=median if median is not None and np.isfinite(median) else None,
            best=min(known) / n if known else None,
        )

    def flips_at(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> int | None:
        """How many of the top features must go; ``None`` where even all do not change it."""
        phi = self._checked(instance, scores)
        decided_for = _above(instance, np.array([instance.full]))[0]
        return _flip(instance, descending(phi if decided_for else -phi, instance.seed))


def _flip(instance: Instance, order: np.ndarray) -> int | None:
    masks = np.ones((instance.n, instance.n), dtype=bool)
    for step, feature in enumerate(order):
        masks[step:, feature] = False
    flipped = np.flatnonzero(_turned(instance, instance.value(masks)))
    return int(flipped[0]) + 1 if len(flipped) else None


def _above(instance: Instance, values: Float[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
    # Of a bare score or logit zero is the only point that has a meaning without its rivals.
    edge = 0.5 if instance.unit == "probability" else 0.0
    return on_a_scale_of_decisions(values, instance.what) > edge


def _turned(instance: Instance, values: Float[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
    return _above(instance, values) != _above(instance, np.array([instance.full]))
