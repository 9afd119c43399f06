"""Which of several shares are the largest, by as few draws as it takes: KL-LUCB.

Kaufmann & Kalyanakrishnan (2013), "Information complexity in bandit subset selection".
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np

__all__ = ["Arm", "best_arms", "lower", "upper"]

# Of the paper's exploration rate: alpha > 1 and k1 > 1 + 1 / (alpha - 1), as Ribeiro et al. set them.
ALPHA, K1 = 1.1, 405.5


class Arm:
    """A share that is drawn from: ``hits`` of ``n`` draws."""

    def __init__(self, features: tuple[int, ...]) -> None:
        self.features = features
        self.hits = 0
        self.n = 0

    @property
    def mean(self) -> float:
        """Share of hits; 0 before the first draw."""
        return self.hits / self.n if self.n else 0.0


def divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two Bernoulli distributions, in nat."""
    p, q = (min(max(x, 1e-12), 1 - 1e-12) for x in (p, q))
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))


def upper(arm: Arm, rate: float) -> float:
    """Largest q with ``n KL(mean, q) <= rate``.

    Example:
        >>> arm = Arm(()); arm.hits, arm.n = 5, 10
        >>> round(upper(arm, 1.0), 3), round(lower(arm, 1.0), 3)
        (0.713, 0.287)
    """
    return _bound(arm, rate, 1.0)


def lower(arm: Arm, rate: float) -> float:
    """Smallest q with ``n KL(mean, q) <= rate``."""
    return _bound(arm, rate, 0.0)


def _bound(arm: Arm, rate: float, end: float) -> float:
    if arm.n == 0:
        return end
    inside, outside = arm.mean, end
    # Halved 30 times, an interval of length 1 is known to 1e-9.
    for _ in range(30):
        middle = (inside + outside) / 2
        if arm.n * divergence(arm.mean, middle) <= rate:
            inside = middle
        else:
            outside = middle
    return inside


def best_arms(
    arms: list[Arm],
    count: int,
    draw: Callable[[Arm], bool],
    *,
    tolerance: float,
    failure: float,
) -> list[Arm]:
    """The ``count`` arms of the largest shares, up to ``tolerance``, with probability 1 - failure.

    Args:
        arms: arms.
        count: number of arms that are wanted.
        draw: function that draws from an arm; false: no draws are left, and the best so far are returned.
        tolerance: difference of shares that does not matter.
        failure: probability of an error.
    """
    for arm in arms:
        if arm.n == 0 and not draw(arm):
            break
    turn = 1
    while count < len(arms):
        rate = exploration(len(arms), turn, failure)
        order = sorted(arms, key=lambda arm: -arm.mean)
        top, rest = order[:count], order[count:]
        weakest = top[int(np.argmin([lower(arm, rate) for arm in top]))]
        strongest = rest[int(np.argmax([upper(arm, rate) for arm in rest]))]
        if upper(strongest, rate) - lower(weakest, rate) < tolerance:
            break
        if not draw(weakest) or not draw(strongest):
            break
        turn += 1
    return sorted(arms, key=lambda arm: -arm.mean)[:count]


def exploration(arms: int, turn: int, failure: float) -> float:
    """Rate of exploration at a turn: ``log(x) + log(log(x))``, ``x = k1 arms turn^alpha / failure``."""
    first = log(K1 * arms * turn**ALPHA / failure)
    return first + log(first)
