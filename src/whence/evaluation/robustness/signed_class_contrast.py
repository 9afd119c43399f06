"""Signed class contrast: whether the scores of one class, signs included, are those of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric, Need
from whence.evaluation.metrics.class_contrast import other_output
from whence.evaluation.robustness.model_randomization import chance_band
from whence.evaluation.robustness.rank_agreement import spearman

__all__ = ["SignedClassContrast"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedClassContrast(Metric):
    """Absolute Spearman correlation of the signed scores for two classes, on their logits.

    Near 1, the words that speak for the answer are those that speak for or against its rival, and
    the scores do not tell classes apart. Sign: lower is better. Unit: absolute correlation; exact,
    so without an interval. Cost: none, but the explanation must hold the scores of both outputs.
    ``random``: the mean over shuffled scores.

    When it misleads: on probabilities or log-odds of two classes one is the other's negative by
    construction, whatever the method; hence logits only.

    Args:
        other: name of the output to compare with; empty: the first that is not the judged one.

    Source: after Sixt et al. (2020), arXiv:1912.09818.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> both = [whence.Label(label=name) for name in model.labels[:2]]
        >>> e = whence.explain(model, "Missed 4 payments.", target=both, link="logit",
        ...                    method="input-x-gradient", trust="off")
        >>> 0 <= whence.measure(model, e, ["signed-class-contrast"])[0].value <= 1
        True
    """

    other: str = ""
    name: ClassVar[str] = "signed-class-contrast"
    direction: ClassVar[Direction] = "lower"
    question: ClassVar[str] = "Do the scores for another class differ?"
    rank: ClassVar[int] = 220
    needs: ClassVar[tuple[Need, ...]] = ("explanation",)

    def cost(self, n: int) -> int:
        """None: see :meth:`Metric.cost`."""
        return 0

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            OptionError: one output only, or outputs that are no logits.
        """
        phi = self._checked(instance, scores)
        explanation = instance.explanation
        assert explanation is not None
        outputs = explanation.outputs
        other = other_output(self.name, [o.name for o in outputs], instance.output, self.other)
        for index in (instance.output, other):
            if outputs[index].link != "logit":
                raise OptionError(
                    f"{self.name}: expected outputs with link='logit', got {outputs[index].link!r} "
                    f"for {outputs[index].name!r}; explain both labels with link='logit'"
                )
        return self._measurement(
            instance,
            abs(spearman(phi, np.array(explanation.scores[:, other]))),
            unit="absolute correlation",
            n=1,
            random=chance_band(phi)[0],
            best=0.0,
            other=outputs[other].name,
        )
