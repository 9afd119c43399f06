"""What a metric is: a frozen dataclass of settings that judges scores on an instance.

A new metric is one file and one line in :data:`whence.evaluation.metrics.registry.METRICS`; the command line, the
catalogue, the documentation and the battery that every metric must pass follow from its class,
fields and docstring.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError
from whence.core.measurements import Interval, Measurement
from whence.evaluation.instance import Instance

__all__ = ["Direction", "Metric"]

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric(ABC):
    """Base of all metrics that judge scores by a model's answers; subclasses are final."""

    name: ClassVar[str]
    """As the command line spells it: ``"pool-fidelity"``."""
    direction: ClassVar[Direction]
    """Whether more is better."""
    question: ClassVar[str]
    """What it asks, in a reader's words: ``"Better than chance?"``."""

    @abstractmethod
    def cost(self, n: int) -> int:
        """Evaluations asked beyond the pool, at most, for ``n`` features."""

    @abstractmethod
    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """Judge the scores of one output.

        Raises:
            OptionError: the scores are not one finite number for each feature.
        """

    def _checked(
        self, instance: Instance, scores: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        if scores.shape != (instance.n,):
            raise OptionError(
                f"{self.name}: {scores.shape} scores given for {instance.n} features; one for "
                "each is due"
            )
        if not np.all(np.isfinite(scores)):
            bad = int(np.argmin(np.isfinite(scores)))
            raise OptionError(
                f"{self.name}: the score of feature {bad} is {scores[bad]}; finite numbers are due"
            )
        return np.asarray(scores, dtype=np.float64)

    def _measurement(
        self,
        instance: Instance,
        value: float,
        *,
        unit: str,
        n: int,
        interval: Interval | None = None,
        random: float | None = None,
        best: float | None = None,
    ) -> Measurement:
        options = {f.name: getattr(self, f.name) for f in fields(self)}
        settings = {
            k: v if isinstance(v, str | int | float | bool) or v is None else repr(v)
            for k, v in options.items()
        }
        return Measurement(
            name=self.name,
            value=float(value),
            unit=unit,
            n=n,
            direction=self.direction,
            interval=interval,
            specification=instance.specification(type(self).__name__, **settings),
            random=random,
            best=best,
        )
