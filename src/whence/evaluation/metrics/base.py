"""What a metric is: a frozen dataclass of settings that judges scores on an instance.

A new metric is one file in ``whence/evaluation/metrics`` (or ``robustness``) with a final class
that stands in the file's ``__all__``. ``whence evaluate --metric``, ``whence metrics``, the
reference page, the battery of tests and the rows of the benchmark follow from its class, fields
and docstring.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, OptionError
from whence.core.measurements import Interval, Measurement
from whence.evaluation.instance import Instance

__all__ = ["Direction", "Metric", "Need"]

Direction = Literal["higher", "lower", "none"]

Need = Literal["embeddings", "explain", "explain_at", "value_at", "explanation", "spans"]
"""What a metric reads of an instance beside its game and its pool."""

_ABSENT: dict[Need, tuple[str, str]] = {
    "explain": ("runs the explainer again", "pass whence.measure(model, explanation, [...])"),
    "explain_at": (
        "runs the explainer on displaced embeddings",
        "pass whence.measure(model, explanation, [...])",
    ),
    "value_at": (
        "asks the model at displaced embeddings",
        "pass whence.measure(model, explanation, [...])",
    ),
    "explanation": (
        "reads the scores of other outputs",
        "pass whence.measure(model, explanation, [...])",
    ),
    "spans": (
        "compares with what people marked",
        "pass whence.measure(model, explanation, [...], spans=[(start, end), ...]) "
        "or --span START:END",
    ),
}
"""For each need: what the metric does with it, and how an instance that has it is made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric(ABC):
    """Base of all metrics that judge scores on an instance; subclasses are final."""

    name: ClassVar[str]
    """As the command line spells it: ``"pool-fidelity"``."""
    direction: ClassVar[Direction]
    """Whether more is better."""
    question: ClassVar[str]
    """What it asks, in a reader's words: ``"Better than chance?"``."""
    rank: ClassVar[int] = 1000
    """Place in every list, the most telling first; equal ranks are ordered by name."""
    needs: ClassVar[tuple[Need, ...]] = ()
    """What it reads of the instance beside its game and pool."""

    @abstractmethod
    def cost(self, n: int) -> int:
        """Evaluations asked beyond the pool, at most, for ``n`` features.

        Explanations made again are counted by :meth:`explanations`.
        """

    def explanations(self, n: int) -> int:
        """Explanations made again, at most, for ``n`` features."""
        return 0

    @abstractmethod
    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """Judge the scores of one output.

        Raises:
            OptionError: the scores are not one finite number for each feature.
            CapabilityError: the instance lacks what the metric :attr:`needs`.
            UndefinedError: the metric has no value for this input or these scores.
        """

    def _checked(
        self, instance: Instance, scores: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        for need in self.needs:
            # Embeddings are the model's to give and no field of an instance: the metric itself asks
            # for them, and says what works without.
            if need != "embeddings" and getattr(instance, need) is None:
                does, instead = _ABSENT[need]
                raise CapabilityError(
                    f"{self.name} {does}; expected an instance with {need}=..., got none; {instead}"
                )
        if scores.shape != (instance.n,):
            raise OptionError(
                f"{self.name}: expected one score for each of {instance.n} features, "
                f"got {scores.shape}"
            )
        if not np.all(np.isfinite(scores)):
            bad = int(np.argmin(np.isfinite(scores)))
            raise OptionError(
                f"{self.name}: expected finite scores; the score of feature {bad} is {scores[bad]}"
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
        **settings: str | int | float,
    ) -> Measurement:
        """The measurement of a value; ``settings`` are those that no field of the metric holds."""
        # How many are asked in one call cannot change a number, so it is no part of its making.
        options = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "batch"}
        plain = {
            k: v if isinstance(v, str | int | float | bool) or v is None else repr(v)
            for k, v in (options | settings).items()
        }
        return Measurement(
            name=self.name,
            value=float(value),
            unit=unit,
            n=n,
            direction=self.direction,
            interval=interval,
            specification=instance.specification(type(self).__name__, **plain),
            random=random,
            best=best,
        )
