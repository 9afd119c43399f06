"""What the logits after one layer say: ranks, entropy, distance to the last layer, top answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["LayerReading", "distributions", "read_layer"]


@dataclass(frozen=True, slots=True, eq=False)
class LayerReading:
    """One layer, at every position: log-probability and rank of the target, entropy and divergence.

    ``top[p]`` are (id, probability) of the most probable answers at position ``p``.
    """

    target: list[float]
    ranks: list[int]
    entropies: list[float]
    divergences: list[float]
    top: list[list[tuple[int, float]]]


def read_layer(
    logits: Float[np.ndarray, "positions logits"],
    final: Float[np.ndarray, "parts positions logits"],
    targets: Sequence[int],
    top: int,
) -> LayerReading:
    """The reading of one layer's logits.

    ``final`` are the last layer's :func:`distributions`, with two parts for independent labels;
    ``targets`` the id that is followed at each position. The divergence is Kullback-Leibler's, of
    the last layer's distribution from this one, in nat.
    """
    values = distributions(logits, independent=len(final) == 2)
    rows = np.arange(len(logits))
    ids = np.array(targets)
    followed = logits[rows, ids]
    chances = np.exp(values[0])
    return LayerReading(
        target=values[0][rows, ids].tolist(),
        # By logits and not by probabilities, of which two may be rounded to one.
        ranks=(1 + (logits > followed[:, None]).sum(axis=1)).tolist(),
        entropies=(-_expectation(values, values)).tolist(),
        divergences=(_expectation(final, final) - _expectation(final, values)).tolist(),
        top=[[(i, float(chances[row, i])) for i in _highest(logits[row], top)] for row in rows],
    )


def distributions(
    logits: Float[np.ndarray, "positions logits"], *, independent: bool
) -> Float[np.ndarray, "parts positions logits"]:
    """Log-probabilities in float64: of each answer, and for independent labels of its absence."""
    wide = logits.astype(np.float64)
    if independent:
        return np.stack([-np.logaddexp(0, -wide), -np.logaddexp(0, wide)])
    # Less the largest, since exp of a float64 overflows from 710 on.
    largest = wide.max(axis=1, keepdims=True)
    total = np.log(np.exp(wide - largest).sum(axis=1, keepdims=True)) + largest
    return (wide - total)[None]


def _highest(logits: Float[np.ndarray, " logits"], count: int) -> list[int]:
    """Indices of the highest logits; of equal ones the lower index comes first."""
    count = min(count, len(logits))
    # A partition first: a vocabulary has 100,000 entries and more, of which a few are wanted.
    least = np.partition(logits, -count)[-count]
    candidates = np.flatnonzero(logits >= least)
    return candidates[np.argsort(-logits[candidates], kind="stable")][:count].tolist()


def _expectation(
    of: Float[np.ndarray, "parts positions logits"],
    values: Float[np.ndarray, "parts positions logits"],
) -> Float[np.ndarray, " positions"]:
    """``sum p log q``; what has no probability adds nothing."""
    chances = np.exp(of)
    # p log q with p = 0 is 0, also where log q is -inf; 0 times -inf would be NaN.
    return (chances * np.where(chances > 0, values, 0.0)).sum(axis=(0, 2))
