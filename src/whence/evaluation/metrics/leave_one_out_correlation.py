"""Leave-one-out correlation: whether scores order features as their single removals do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Float
from scipy.stats import kendalltau

from whence.core.errors import UndefinedError
from whence.core.measurements import Measurement
from whence.core.provenance import MethodSpec
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric

__all__ = ["LeaveOneOutCorrelation", "one_at_a_time", "single_falls"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaveOneOutCorrelation(Metric):
    """Kendall's tau_b of the scores with the falls of the answer when each feature alone goes.

    Formula: tau_b(phi_i, v(all) - v(all but i)); equal values are ties, and scores all equal
    give 0. Sign: +1 the same order. No unit; exact, so without an interval. Cost: n + 1
    evaluations. ``random`` is 0; ``best`` 1, which leave-one-out scores reach by definition:
    this metric cannot judge them.

    When it misleads: where features stand in for each other, no single removal changes
    anything. Then single falls do not add up to the whole one, and ``redundant`` in the
    specification is true: do not read the value. Undefined where no single removal changes
    the answer, or all change it alike.

    Source: Jain & Wallace (2019), arXiv:1902.10186.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(3, lambda S: S @ np.array([3.0, 0.0, 1.0]))
        >>> instance = Instance(game, pool_of(game))
        >>> result = LeaveOneOutCorrelation().measure(instance, np.array([9.0, 1.0, 2.0]))
        >>> round(result.value, 9), result.specification.options["redundant"]
        (1.0, False)
    """

    name: ClassVar[str] = "leave-one-out-correlation"
    direction: ClassVar[Direction] = "higher"
    question: ClassVar[str] = "Do the scores order words as their single removals do?"
    rank: ClassVar[int] = 120

    def cost(self, n: int) -> int:
        """Each feature alone, and all: see :meth:`Metric.cost`."""
        return n + 1

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            UndefinedError: single removals all change the answer alike.
        """
        phi = self._checked(instance, scores)
        falls = single_falls(instance)
        scale = max(1.0, abs(instance.full)) * 1e-9
        if np.ptp(falls) <= scale:
            raise UndefinedError(
                f"{self.name}: the single removals of {instance.n} features all lower the answer "
                f"by {float(falls.mean()):.3g}; there is no order to compare with"
            )
        # Falls that differ by rounding alone are ties.
        tau = float(cast("Any", kendalltau(phi, np.round(falls / scale))).statistic)
        measurement = self._measurement(
            instance,
            tau if np.isfinite(tau) else 0.0,
            unit="tau_b",
            n=instance.n,
            random=0.0,
            best=1.0,
        )
        # Single falls that add up to less than half of the whole fall: chosen by hand; not
        # calibrated.
        settings = {**measurement.specification.options, "redundant": one_at_a_time(instance) < 0.5}
        return replace(
            measurement, specification=MethodSpec(name=type(self).__name__, options=settings)
        )


def single_falls(instance: Instance) -> Float[np.ndarray, " n"]:
    """v(all) - v(all but i), in the output's own unit; n evaluations."""
    return instance.full - instance.value(~np.eye(instance.n, dtype=bool))


def one_at_a_time(instance: Instance) -> float:
    """The share of the whole fall that single removals add up to: 1 where features are additive.

    Near 0 features stand in for each other (one of two sufficient words may go); above 1 they
    are needed together. 1 where there is no fall to share. Cost: n + 1 evaluations.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> game = FunctionGame(2, lambda S: S.any(axis=1).astype(float))
        >>> one_at_a_time(Instance(game, pool_of(game)))
        0.0
    """
    whole = instance.full - instance.empty
    if abs(whole) <= 1e-9 * max(1.0, abs(instance.full)):
        return 1.0
    return float(single_falls(instance).sum()) / whole
