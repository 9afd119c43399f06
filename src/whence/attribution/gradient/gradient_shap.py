"""Expected gradients: integrated gradients from many baselines, one random place of each path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.attribution.method import Estimate, GradientMethod
from whence.core.errors import unknown
from whence.core.statistics.student_error import student_errors
from whence.games.embedding_game import BASELINES, EmbeddingGame

__all__ = ["GradientShap"]

SAMPLES = 50
VOCABULARY = "vocabulary"


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientShap(GradientMethod):
    """Integrated gradients averaged over baselines: expected gradients, also called GradientSHAP.

    ``score[i] = E_{b, a} sum_{t in i} (e[t] - b[t]) . dv/de[t] at b + a (e - b)``, ``a`` uniform in 0
    to 1, in the target's unit; positive raised the target. Baselines are texts of the same length with
    tokens drawn from the vocabulary in the place of the features', each as likely as any other; or one of
    those of :class:`IntegratedGradients`, of which this is then the estimate by random places.

    The scores add up to ``v(input) - E_b v(b)`` in expectation; the record's base value is the mean of
    the baselines drawn, and its residual is reported. Places are drawn one in each of as many equal
    parts of the path as there are samples. Standard errors: of the mean over samples, widened as
    Student's t is, and blind to what the equal parts save, so rather too large. An input that noise is
    added to, as some libraries have it, explains another input, and is left out.

    Cost: ``1 + 2 samples`` forward-and-backward passes with drawn baselines, 101 by default; ``2 +
    samples`` with a fixed one.

    Args:
        baseline: ``vocabulary``, ``mean``, ``zero``, ``mask``, ``pad``, ``unknown`` or ``bos``.

    Erion, Janizek, Sturmfels, Lundberg & Lee (2021), arXiv:1906.10670.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "She has missed 3 payments.", method="gradient-shap")
        >>> e.provenance.method.name, e.completeness.by_construction
        ('GradientShap', False)
    """

    baseline: str = VOCABULARY
    quantity: ClassVar[str] = "expected gradient"
    rank: ClassVar[int] = 54

    def __post_init__(self) -> None:
        if self.baseline not in (VOCABULARY, *BASELINES):
            raise unknown("baseline", self.baseline, (VOCABULARY, *BASELINES))

    def least(self, n: int) -> int:
        """7 passes: the input, and three samples with the value of their baselines."""
        return 7

    def default_budget(self, n: int) -> int:
        """The passes of 50 samples."""
        return 1 + 2 * SAMPLES if self.baseline == VOCABULARY else 2 + SAMPLES

    def estimate(self, game: EmbeddingGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`GradientShap`."""
        rng = np.random.default_rng(seed)
        drawn = self.baseline == VOCABULARY
        end = game.point()
        fixed = None if drawn else game.baseline(self.baseline)
        values, _ = game.at(end[None])
        count = (budget - 1) // 2 if drawn else budget - 2
        bases = [np.empty((0, game.k))] if fixed is None else [game.at(fixed[None])[0]]
        places = (rng.permutation(count) + rng.random(count)) / count
        sample = np.empty((count, game.n, game.k))
        for part in game.portions(count):
            start = game.random_baselines(len(part), rng) if fixed is None else fixed[None]
            way = (end[None] - start).astype(np.float64)
            points = start + places[part.start : part.stop, None, None] * way
            _, slopes = game.at(points.astype(np.float32))
            sample[part.start : part.stop] = _gathered(game, slopes, way)
            if fixed is None:
                bases.append(game.at(start)[0])
        base = np.concatenate(bases).mean(axis=0)
        of = "tokens drawn from the vocabulary" if drawn else f"the {self.baseline} embedding"
        return Estimate(
            scores=sample.mean(axis=0),
            values=values[0],
            base_values=base,
            std_errors=student_errors(sample),
            additive=True,
            notes=(f"{count} samples, baselines: {of}",),
        )


def _gathered(
    game: EmbeddingGame,
    slopes: Float[np.ndarray, "m k tokens width"],
    way: Float[np.ndarray, "#m tokens width"],
) -> Float[np.ndarray, "m n k"]:
    per_token = (slopes * way[:, None]).sum(axis=3)
    return np.stack([game.gather(one.T) for one in per_token])
