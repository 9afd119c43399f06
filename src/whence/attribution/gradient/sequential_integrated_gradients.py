"""Sequential integrated gradients: a path for each feature, on which it alone moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from whence.attribution.method import Estimate, GradientMethod
from whence.core.errors import unknown
from whence.games.embedding_game import BASELINES, EmbeddingGame

__all__ = ["SequentialIntegratedGradients"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SequentialIntegratedGradients(GradientMethod):
    """The gradient along a path from the input with one feature at the baseline, for each feature.

    ``score[i] = sum_{t in i} (e[t] - b[t]) . integral over a of dv/de[t] at the input with i's tokens
    at b + a (e - b)``, in the target's unit; positive raised the target. All other words stay as
    they are, so no point of a path lies far from a text.

    Along such a path nothing else moves, so by the fundamental theorem the sum over the feature's
    coordinates is ``v(input) - v(input with i at the baseline)``: the score is a leave-one-out
    effect with an embedding for absence. It is taken from these ends, exactly, in n + 2 passes,
    where summing gradients takes n times the points of a path for the same number with an error of
    quadrature. Like :class:`LeaveOneOut` it is blind to redundant causes, and scores need not add up.

    Cost: n + 2 forward-and-backward passes.

    Args:
        baseline: ``mean``, ``zero``, ``mask`` (the paper's), ``pad``, ``unknown`` or ``bos``.

    Enguehard (2023), arXiv:2305.15853.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> text = "She has missed 3 payments."
        >>> e = whence.explain(model, text, method="sequential-integrated-gradients")
        >>> e.quantity
        'leave-one-out effect in embedding space'
    """

    baseline: str = "mean"
    quantity: ClassVar[str] = "leave-one-out effect in embedding space"
    rank: ClassVar[int] = 52

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise unknown("baseline", self.baseline, BASELINES)

    def least(self, n: int) -> int:
        """N + 2 passes, or 2 where the one feature's absence is an end."""
        return n + 2 if n > 1 else 2

    def default_budget(self, n: int) -> int:
        """The least."""
        return self.least(n)

    def estimate(self, game: EmbeddingGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`SequentialIntegratedGradients`."""
        point, absent = game.point(), game.baseline(self.baseline)
        ends, _ = game.at(np.stack([point, absent]))
        gone = np.empty((game.n, game.k))
        if game.n == 1:
            gone[0] = ends[1]
        for part in game.portions(game.n if game.n > 1 else 0):
            points = np.repeat(point[None], len(part), axis=0)
            for row, feature in enumerate(part):
                points[row, game.groups[feature]] = absent[game.groups[feature]]
            gone[part.start : part.stop] = game.at(points)[0]
        return Estimate(
            scores=ends[0] - gone,
            values=ends[0],
            base_values=ends[1],
            notes=(
                f"each feature alone moved to the {self.baseline} embedding; the integral of the "
                "gradient along its path is the difference of the path's ends, and is taken from them",
            ),
        )
