"""Local Lipschitz estimate: the steepest change of an explanation near an input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance, on_a_scale_of_decisions
from whence.evaluation.metrics.max_sensitivity import ExplainAt, batched, displacements, point_of

__all__ = ["LocalLipschitz", "ValueAt"]

ValueAt = Callable[[Float[np.ndarray, "batch tokens width"]], Float[np.ndarray, " batch"]]
"""The explained output at some embedded inputs, in its own unit."""

MOST = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalLipschitz:
    """The largest ratio of the change of the scores to the change of the embeddings.

    Formula: max over d of (|phi(x + d) - phi(x)| / |phi(x)|) / (|d| / |x|), norms over all
    features' scores and all their tokens' embeddings; with ``relative=False`` |phi(x + d) -
    phi(x)| / |d|, in the output's unit for one unit of embedding. Displacements are those of
    :class:`~whence.evaluation.metrics.max_sensitivity.MaxSensitivity`; those that move the answer by 0.1
    (of probability, where its scale tells it) are not counted. Sign: lower is steadier. Cost:
    ``draws`` + 1 explanations and as many values. A lower bound of the true maximum.

    When it misleads: absolute values cannot be compared between models, whose embeddings differ
    in size.

    Args:
        radius: share of the mean embedding norm.
        draws: displacements.
        batch: displacements explained in one call; it cannot matter.
        relative: divide by the sizes of scores and embeddings.

    Source: Alvarez-Melis & Jaakkola (2018), arXiv:1806.08049; relative: Agarwal et al. (2022),
    arXiv:2203.06877.
    """

    radius: float = 0.05
    draws: int = 20
    batch: int = 8
    relative: bool = True

    def measure(self, instance: Instance, explain_at: ExplainAt, value_at: ValueAt) -> Measurement:
        """Move the embeddings, explain, and compare.

        Raises:
            CapabilityError: the model gives no embeddings.
            OptionError: every displacement moved the answer, or the scores are all zero and
                ``relative`` has nothing to divide by.
        """
        point = point_of(instance)
        question = instance.question
        assert question is not None
        assert question.tokens is not None
        free = np.concatenate(question.tokens.groups)
        own = explain_at(point[None])[0]
        size = float(np.linalg.norm(own))
        if self.relative and size == 0:
            raise OptionError("relative change asked of scores that are all zero")
        before = on_a_scale_of_decisions(value_at(point[None]), instance.what)[0]
        found: list[np.ndarray] = []
        for points in batched(point, displacements(instance, self.radius, self.draws), self.batch):
            still = np.abs(on_a_scale_of_decisions(value_at(points), instance.what) - before) < MOST
            changes = np.array([np.linalg.norm(row - own) for row in explain_at(points)])
            steps = np.array([np.linalg.norm((moved - point)[free]) for moved in points])
            found.append((changes / steps)[still])
        ratios = np.concatenate(found)
        if not len(ratios):
            raise OptionError(
                f"all {self.draws} displacements moved the answer by {MOST} or more; a smaller "
                f"radius than {self.radius} is due"
            )
        scale = float(np.linalg.norm(point[free])) / size if self.relative else 1.0
        unit = "ratio" if self.relative else f"{instance.what.unit} per unit of embedding"
        return Measurement(
            name="local-lipschitz",
            value=float(ratios.max()) * scale,
            unit=unit,
            n=len(ratios),
            direction="lower",
            interval=None,
            specification=instance.specification(
                type(self).__name__,
                radius=self.radius,
                draws=self.draws,
                relative=self.relative,
                law="ball",
            ),
            best=0.0,
        )
