"""VarGrad: how much the gradient varies when noise is added to the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.attribution.gradient.gradient_noise import NoiseSample, check_noise, noise_sample
from whence.attribution.method import Estimate, GradientMethod
from whence.core.statistics.student_error import student_errors
from whence.games.embedding_game import EmbeddingGame

__all__ = ["VarGrad"]

SAMPLES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class VarGrad(GradientMethod):
    """The variance of a feature's gradient under noise, added up over its coordinates.

    ``score[i] = E_z |g(e + z) - E_z g|^2`` over the feature's tokens, ``g = dv/de``, ``z`` normal: to
    second order how strongly the target is curved where the feature takes part. A feature whose
    effect is the same everywhere scores zero, however large: what is measured is interaction and
    saturation, and not effect. No sign, and not in the target's unit: the record says so.

    The sample variance, unbiased. Standard errors: jackknife over up to 8 groups of samples, widened
    as Student's t is.

    Cost: ``1 + samples`` forward-and-backward passes, 33 by default, 7 at least; memory of 9
    gradients of the features' tokens.

    Args:
        noise: standard deviation of the noise, as a share of the root mean square of the features'
            embeddings; not calibrated.

    Adebayo, Gilmer, Goodfellow & Kim (2018), arXiv:1810.03307; Hooker, Erhan, Kindermans & Kim (2019),
    arXiv:1806.10758.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "She has missed 3 payments.", method="var-grad")
        >>> e.unit, bool((e.scores >= 0).all())
        ('gradient variance', True)
    """

    noise: float = 0.15
    quantity: ClassVar[str] = "variance of the gradient under noise"
    rank: ClassVar[int] = 66

    def __post_init__(self) -> None:
        check_noise(self.noise, "VarGrad")

    def least(self, n: int) -> int:
        """7 passes: one without noise, and six with it."""
        return 7

    def default_budget(self, n: int) -> int:
        """33 passes: one without noise, and 32 with it."""
        return 1 + SAMPLES

    def estimate(self, game: EmbeddingGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`VarGrad`."""
        sample = noise_sample(game, budget - 1, self.noise, seed, paired=False)
        m = len(sample.counts)
        scores = _variance(sample, np.ones(m))
        without = np.stack([_variance(sample, 1.0 - np.eye(m)[g]) for g in range(m)])
        return Estimate(
            scores=scores,
            values=sample.values,
            base_values=np.full(game.k, np.nan),
            std_errors=student_errors(m * scores - (m - 1) * without),
            unit="gradient variance",
            notes=(f"{budget - 1} samples, noise {self.noise:g} of the embeddings' size",),
        )


def _variance(sample: NoiseSample, take: Float[np.ndarray, " groups"]) -> Float[np.ndarray, "n k"]:
    """The sample variance from some groups."""
    count = take @ sample.counts
    total = np.einsum("g,gktw->ktw", take, sample.sums)
    squares = np.einsum("g,gnk->nk", take, sample.squares)
    # Rounding may leave a variance of nothing below zero.
    return np.maximum(squares - sample.squared_norms(total) / count, 0.0) / (count - 1)
