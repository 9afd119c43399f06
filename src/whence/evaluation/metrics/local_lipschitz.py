"""Local Lipschitz estimate: the steepest change of an explanation near an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance, on_a_scale_of_decisions
from whence.evaluation.metrics.base import Direction, Metric, Need
from whence.evaluation.metrics.max_sensitivity import batched, displacements, point_of

__all__ = ["LocalLipschitz"]

MOST = 0.1
"""Change of the answer from which a displacement is another input and is not counted: the same
limit by which an edit of the text counts as one that keeps the prediction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalLipschitz(Metric):
    """The largest ratio of the change of the scores to the change of the embeddings.

    Formula: max over d of (|phi(x + d) - phi(x)| / |phi(x)|) / (|d| / |x|), norms over all
    features' scores and all their tokens' embeddings; with ``relative=False`` |phi(x + d) -
    phi(x)| / |d|. Displacements are those of
    :class:`~whence.evaluation.metrics.max_sensitivity.MaxSensitivity`; those that move the answer
    by 0.1 (of probability, where its scale tells it) are not counted. Sign: lower is steadier.
    Unit: ratio, or that of the output for one unit of embedding. Cost: ``draws`` + 1
    explanations and as many values. A lower bound of the true maximum, so without an interval.

    When it misleads: absolute values cannot be compared between models, whose embeddings differ
    in size.

    Args:
        radius: share of the mean embedding norm.
        draws: number of displacements.
        batch: number of displacements explained in one call; it cannot matter.
        relative: whether changes are divided by the sizes of scores and embeddings.

    Source: Alvarez-Melis & Jaakkola (2018), arXiv:1806.08049; relative: Agarwal et al. (2022),
    arXiv:2203.06877.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "Missed 4 payments.", method="input-x-gradient", trust="off")
        >>> whence.measure(model, e, ["local-lipschitz"])[0].unit
        'ratio'
    """

    radius: float = 0.05
    draws: int = 20
    batch: int = 8
    relative: bool = True
    name: ClassVar[str] = "local-lipschitz"
    direction: ClassVar[Direction] = "lower"
    question: ClassVar[str] = "How steeply do the scores change beside this input?"
    rank: ClassVar[int] = 180
    needs: ClassVar[tuple[Need, ...]] = ("embeddings", "explain_at", "value_at")

    def cost(self, n: int) -> int:
        """Values at the displaced embeddings: see :meth:`Metric.cost`."""
        return self.draws + 1

    def explanations(self, n: int) -> int:
        """Each displacement and the input itself: see :meth:`Metric.explanations`."""
        return self.draws + 1

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            CapabilityError: the model gives no embeddings, or nothing explains at others.
            OptionError: every displacement moved the answer, or the scores are all zero and
                ``relative`` has nothing to divide by.
        """
        point = point_of(instance, self.name)
        self._checked(instance, scores)
        explain_at, value_at, question = instance.explain_at, instance.value_at, instance.question
        assert explain_at is not None
        assert value_at is not None
        assert question is not None
        assert question.tokens is not None
        # Frozen tokens do not move; in |x| they would make every step look small.
        free = np.concatenate(question.tokens.groups)
        here = explain_at(point[None])[0]
        size = float(np.linalg.norm(here))
        if self.relative and size == 0:
            raise OptionError(
                f"{self.name}: expected scores that are not all zero, which a relative change is "
                "divided by; give relative=False"
            )
        before = on_a_scale_of_decisions(value_at(point[None]), instance.what)[0]
        ratios: list[np.ndarray] = []
        for points in batched(point, displacements(instance, self.radius, self.draws), self.batch):
            # An explanation ought to change with the answer; only where the answer stays is change
            # a fault.
            still = np.abs(on_a_scale_of_decisions(value_at(points), instance.what) - before) < MOST
            changes = np.array([np.linalg.norm(row - here) for row in explain_at(points)])
            steps = np.array([np.linalg.norm((moved - point)[free]) for moved in points])
            ratios.append((changes / steps)[still])
        counted = np.concatenate(ratios)
        if not len(counted):
            raise OptionError(
                f"{self.name}: all {self.draws} displacements moved the answer by {MOST} or more; "
                f"give a radius smaller than {self.radius}"
            )
        # |x| and |phi| belong to the one input, so they are taken out of the maximum.
        scale = float(np.linalg.norm(point[free])) / size if self.relative else 1.0
        return self._measurement(
            instance,
            float(counted.max()) * scale,
            unit="ratio" if self.relative else f"{instance.what.unit} per unit of embedding",
            n=len(counted),
            best=0.0,
            law="ball",
        )
