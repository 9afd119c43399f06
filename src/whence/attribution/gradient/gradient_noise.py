"""Gradients at the input with noise added to its embeddings, in sums that show how they vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import OptionError
from whence.games.embedding_game import EmbeddingGame

__all__ = ["NoiseSample", "check_noise", "noise_sample"]

GROUPS = 8
"""Sums that are stored at most: leaving one out at a time gives standard errors of 7 degrees of
freedom, whatever the number of samples, in the memory of 8 gradients."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseSample:
    """Deviations of the gradient from the one without noise, summed by group.

    Attributes:
        clean: the gradient without noise, over the tokens of features.
        sums: sum of the deviations of each group.
        squares: sum of the squared norms of the deviations of each group, by feature.
        counts: number of deviations in each group.
        values: values without noise.
        features: for each feature the places of its tokens in ``clean``.
    """

    clean: Float[np.ndarray, "k tokens width"]
    sums: Float[np.ndarray, "groups k tokens width"]
    squares: Float[np.ndarray, "groups n k"]
    counts: Int[np.ndarray, " groups"]
    values: Float[np.ndarray, " k"]
    features: tuple[Int[np.ndarray, " _"], ...]

    def squared_norms(self, gradient: Float[np.ndarray, "k tokens width"]) -> np.ndarray:
        """Squared norm over each feature's tokens: ``[n, k]``."""
        by_token = (gradient.astype(np.float64) ** 2).sum(axis=2)
        return np.stack([by_token[:, places].sum(axis=1) for places in self.features])


def check_noise(noise: float, name: str) -> None:
    """Refuse a noise that is no positive number.

    Raises:
        OptionError: it is not above 0, or not finite.
    """
    if not 0 < noise < np.inf:
        raise OptionError(f"expected a noise above 0, got {name}(noise={noise})")


def noise_sample(
    game: EmbeddingGame, count: int, noise: float, seed: int, *, paired: bool
) -> NoiseSample:
    """``count`` gradients at noisy embeddings; ``paired``: means of two, of opposite noise.

    Noise is normal, with ``noise`` times the root mean square of the features' own embeddings as
    its standard deviation. Frozen tokens get none. Cost: 1 + ``count`` passes, twice that if paired.
    """
    point = game.point()
    free = np.concatenate(game.groups)
    owner = np.repeat(np.arange(game.n), [len(group) for group in game.groups])
    features = tuple(np.flatnonzero(owner == i) for i in range(game.n))
    scale = noise * float(np.sqrt((point[free].astype(np.float64) ** 2).mean()))
    values, slopes = game.at(point[None])
    clean = slopes[0][:, free]
    groups = min(GROUPS, count)
    sample = NoiseSample(
        clean,
        np.zeros((groups, *clean.shape), dtype=np.float32),
        np.zeros((groups, game.n, game.k)),
        np.bincount(np.arange(count) % groups, minlength=groups),
        values[0],
        features,
    )
    rng = np.random.default_rng(seed)
    for part in game.portions(count, each=2 if paired else 1):
        shift = scale * rng.standard_normal((len(part), len(free), point.shape[1]))
        signs = (1.0, -1.0) if paired else (1.0,)
        points = np.repeat(point[None], len(signs) * len(part), axis=0)
        points[:, free] += np.concatenate([sign * shift for sign in signs]).astype(np.float32)
        slopes = game.at(points)[1][:, :, free]
        # Around the gradient without noise: a small spread of large gradients keeps its digits.
        off = slopes.reshape(len(signs), len(part), *clean.shape).mean(axis=0) - clean
        for index, deviation in zip(part, off, strict=True):
            sample.sums[index % groups] += deviation
            sample.squares[index % groups] += sample.squared_norms(deviation)
    return sample
