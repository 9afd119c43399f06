"""What is known of heads' effects on one output: estimates, measured effects, their interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Float

from whence.core.attention_record import HeadEffects, HeadEntry
from whence.core.targets import Output
from whence.models.values import HeadGradients

__all__ = [
    "Effects",
    "HeadName",
    "HeadOutputs",
    "HeadsTogether",
    "gradient_estimates",
    "mean_interval",
    "mean_norm",
    "read_shares",
    "spearman",
]

HeadName = tuple[str, int]
"""A layer's name and a head's number."""

HeadOutputs = Mapping[str, Sequence[np.ndarray]]
"""Outputs of heads, by layer, for each call: ``[queries, heads, width]``."""

FEWEST = 3
"""Fewer heads have no rank correlation to speak of: of two it is always 1 or -1."""


class Effects(NamedTuple):
    """Effects of a model's heads on one output.

    ``how`` they were measured; an entry for every head, in the order in which they ran; and
    ``read_from``: how much the target is read from each position, by the length of the gradient of
    the last layer's outputs there, summing to one (or all zero).
    """

    how: HeadEffects
    heads: tuple[HeadEntry, ...]
    read_from: Float[np.ndarray, " queries"]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadsTogether:
    """The measured effect of several heads at once, in the target's unit.

    ``low`` and ``high`` are a Student interval, ``None`` where nothing was drawn.
    """

    output: Output
    value: float
    effect: float
    low: float | None
    high: float | None
    draws: int
    evaluations: int


def gradient_estimates(of: HeadGradients, mean: HeadOutputs | None) -> dict[HeadName, float]:
    """``sum g . (o - o_mean)`` of every head, over its calls and positions; no mean: zero."""
    estimates: dict[HeadName, float] = {}
    for layer, calls in of.outputs.items():
        total = np.zeros(calls[0].shape[1])
        for number, (output, gradient) in enumerate(zip(calls, of.gradients[layer], strict=True)):
            if gradient is None:
                continue
            difference = output if mean is None else output - mean[layer][number]
            # In float64: contributions of positions of both signs cancel.
            total += np.einsum("qhd,qhd->h", gradient[0], difference, dtype=np.float64)
        estimates.update({(layer, head): float(value) for head, value in enumerate(total)})
    return estimates


def read_shares(of: HeadGradients) -> Float[np.ndarray, " queries"]:
    """How much the target is read from each position; see :class:`Effects`."""
    last = list(of.gradients)[-1]
    output, gradient = of.outputs[last][-1], of.gradients[last][-1]
    if gradient is None:
        return np.zeros(len(output))
    lengths = np.sqrt(np.square(gradient[0], dtype=np.float64).sum(axis=(1, 2)))
    total = lengths.sum()
    return lengths / total if total > 0 else lengths


def mean_norm(calls: Sequence[np.ndarray], head: int) -> float:
    """The mean length of a head's output over its positions."""
    lengths = np.concatenate([np.linalg.norm(call[:, head], axis=1) for call in calls])
    return float(lengths.mean())


def mean_interval(
    draws: Float[np.ndarray, " draws"], confidence: float
) -> tuple[float, float | None, float | None]:
    """Mean and Student interval; no interval of a single number."""
    mean = float(draws.mean())
    if len(draws) == 1:
        return mean, None, None
    from scipy.special import stdtrit

    # Student's t and not the normal: with the 8 draws of the default, 2.36 in place of 1.96
    # standard errors.
    half = float(stdtrit(len(draws) - 1, (1 + confidence) / 2))
    half *= float(draws.std(ddof=1)) / len(draws) ** 0.5
    return mean, mean - half, mean + half


def spearman(estimates: Sequence[float], effects: Float[np.ndarray, " heads"]) -> float:
    """Spearman correlation; NaN of fewer than three heads, or where one side does not vary."""
    values = np.array(estimates)
    if len(values) < FEWEST or np.ptp(values) == 0 or np.ptp(effects) == 0:
        return float("nan")
    from scipy.stats import spearmanr

    return float(cast("Any", spearmanr(values, effects)).statistic)
