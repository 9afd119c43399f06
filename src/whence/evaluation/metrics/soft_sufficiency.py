"""Soft sufficiency: how far the answer falls as embeddings are kept in step with scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric
from whence.evaluation.metrics.soft_removal import softened

__all__ = ["SoftSufficiency"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftSufficiency(Metric):
    """How well the answer holds when embeddings keep elements in step with their scores.

    Formula: each element of a token's embedding is kept with probability phi~, phi~ the scores
    moved and stretched to 0 .. 1 over the features (all 1/2 where they are equal);
    with S = 1 - max(0, f(x) - f(x')): max(0, (S - S(zero)) / (1 - S(zero))),
    in which f(zero) is the answer with every feature's embedding zero. The mean over ``draws``,
    with its standard error. Sign: higher is better. No unit. Cost: 2 draws + 2 passes through
    embeddings beside the pool; half of them are for ``random``, the same with the
    scores shuffled. The model must give gradients.

    When it misleads: it hangs on how scores are brought to 0 .. 1: a single low score lifts all
    others. An embedding in part zero is nothing the model has seen. Undefined where zeroing
    everything does not lower the answer.

    Args:
        draws: of what is kept; at least eight.

    Source: Zhao & Aletras (2023), arXiv:2305.10496.

    Example:
        >>> SoftSufficiency().cost(12), SoftSufficiency(draws=16).cost(12)
        (34, 34)
    """

    draws: int = 16
    name: ClassVar[str] = "soft-sufficiency"
    direction: ClassVar[Direction] = "higher"
    question: ClassVar[str] = "Is what the scores point at enough?"

    def cost(self, n: int) -> int:
        """Passes, whatever the number of features: see :meth:`Metric.cost`."""
        return 2 * self.draws + 2

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            CapabilityError: the model gives no embeddings.
            UndefinedError: zeroing everything does not lower the answer.
        """
        phi = self._checked(instance, scores)
        found = softened(instance, phi, keep=True, draws=self.draws, name=self.name)
        values = np.maximum(0.0, 1.0 - found.shares)
        return self._measurement(
            instance,
            float(values.mean()),
            unit="share of the fall to zeroed embeddings",
            n=self.draws,
            interval=found.interval(values),
            random=float(np.maximum(0.0, 1.0 - found.random).mean()),
        )
