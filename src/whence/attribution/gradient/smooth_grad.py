"""SmoothGrad: the length of the gradient of the target averaged over noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.attribution.gradient.gradient_noise import NoiseSample, check_noise, noise_sample
from whence.attribution.method import Estimate, GradientMethod
from whence.core.statistics.student_error import student_errors
from whence.games.embedding_game import EmbeddingGame

__all__ = ["SmoothGrad"]

PAIRS = 16
"""Pairs of opposite noise by default: 33 passes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SmoothGrad(GradientMethod):
    """How steep the target, averaged over noise around the input, is by a feature's embeddings.

    ``score[i] = |E_z[dv/de at e + z]|`` over the feature's tokens, ``z`` normal: the norm of the
    gradient of the smoothed target, so :class:`Saliency` without the wiggles that a step of that
    size steps over. No sign, and not in the target's unit: the record says so.

    The norm of a mean of few gradients is too large by what the noise leaves in each of many
    hundred coordinates. Its square is therefore taken from products of gradients at different noise,
    which are unbiased; below zero it counts as zero. Noise comes in pairs of opposite sign, which
    cancels what is odd in it. Standard errors: jackknife over up to 8 groups of pairs, widened as
    Student's t is.

    Cost: ``1 + 2 pairs`` forward-and-backward passes, 33 by default, 7 at least; memory of 9
    gradients of the features' tokens.

    Args:
        noise: standard deviation of the noise, as a share of the root mean square of the features'
            embeddings. 0.1 to 0.2 of the range is the paper's advice for pixels; on text not calibrated.

    Smilkov, Thorat, Kim, Viegas & Wattenberg (2017), arXiv:1706.03825.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "She has missed 3 payments.", method="smooth-grad")
        >>> e.unit, bool((e.std_errors > 0).all())
        ('gradient norm', True)
    """

    noise: float = 0.15
    quantity: ClassVar[str] = "norm of the gradient averaged over noise"
    rank: ClassVar[int] = 64

    def __post_init__(self) -> None:
        check_noise(self.noise, "SmoothGrad")

    def least(self, n: int) -> int:
        """7 passes: one without noise, and three pairs."""
        return 7

    def default_budget(self, n: int) -> int:
        """33 passes: one without noise, and 16 pairs."""
        return 1 + 2 * PAIRS

    def estimate(self, game: EmbeddingGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`SmoothGrad`."""
        pairs = (budget - 1) // 2
        sample = noise_sample(game, pairs, self.noise, seed, paired=True)
        m = len(sample.counts)
        squared = _squared(sample, np.ones(m))
        without = np.stack([_squared(sample, 1.0 - np.eye(m)[g]) for g in range(m)])
        spread = student_errors(m * squared - (m - 1) * without)
        scores = np.sqrt(np.maximum(squared, 0.0))
        return Estimate(
            scores=scores,
            values=sample.values,
            base_values=np.full(game.k, np.nan),
            std_errors=_of_root(squared, spread),
            unit="gradient norm",
            notes=(f"{pairs} pairs of opposite noise, {self.noise:g} of the embeddings' size",),
        )


def _squared(sample: NoiseSample, take: Float[np.ndarray, " groups"]) -> Float[np.ndarray, "n k"]:
    """The squared norm of the mean gradient from some groups, without what noise adds to it."""
    counts = take * sample.counts
    means = sample.sums / sample.counts[:, None, None, None] + sample.clean
    total = np.einsum("g,gktw->ktw", counts, means)
    own = sum(
        count**2 * sample.squared_norms(mean) for count, mean in zip(counts, means, strict=True)
    )
    # (sum_g c_g m_g)^2 less the squares: products of different groups alone.
    return (sample.squared_norms(total) - own) / (counts.sum() ** 2 - (counts**2).sum())


def _of_root(
    squared: Float[np.ndarray, "n k"], spread: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """Standard errors of roots, from those of squares.

    The ends of a square's 95 % interval have roots too; the farther one counts, since the derivative
    of the root, ``spread / (2 root)``, says nothing near zero.
    """
    root = np.sqrt(np.maximum(squared, 0.0))
    low, high = (np.sqrt(np.maximum(squared + reach * spread, 0.0)) for reach in (-1.96, 1.96))
    return np.maximum(root - low, high - root) / 1.96
