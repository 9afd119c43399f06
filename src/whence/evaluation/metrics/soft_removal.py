"""Soft perturbation: elements of embeddings are dropped at random, more where scores say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from whence.core.errors import CapabilityError, OptionError, UndefinedError
from whence.core.measurements import Interval
from whence.evaluation.instance import Instance, on_a_scale_of_decisions

__all__ = ["Softened", "softened", "unit_scaled"]

LEAST_DRAWS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Softened:
    """Falls under soft perturbation as shares of the fall with every feature's embedding zero.

    Attributes:
        shares: of each draw, at least 0: a rise counts as no fall.
        random: of as many draws with the scores shuffled.
    """

    shares: Float[np.ndarray, " draws"]
    random: Float[np.ndarray, " draws"]

    def interval(self, values: Float[np.ndarray, " draws"]) -> Interval:
        """An interval of 95 % around the mean of some draws, from its standard error."""
        draws = len(values)
        error = float(values.std(ddof=1)) / np.sqrt(draws)
        reach = float(stats.t.ppf(0.975, draws - 1) * error)
        mean = float(values.mean())
        how = f"Student's t over {draws} draws, standard error {error:.3g}"
        return Interval(low=mean - reach, high=mean + reach, level=0.95, how=how)


def unit_scaled(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Scores moved and stretched to reach from 0, the lowest, to 1, the highest; 1/2 if equal.

    Example:
        >>> unit_scaled(np.array([-1.0, 0.0, 3.0])).tolist()
        [0.0, 0.25, 1.0]
    """
    low, high = float(scores.min()), float(scores.max())
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        return np.full(len(scores), 0.5)
    return (scores - low) / (high - low)


def softened(
    instance: Instance, scores: Float[np.ndarray, " n"], *, keep: bool, draws: int, name: str
) -> Softened:
    """Drop elements of embeddings by scores, several times, and set the falls beside zeroing.

    Each element of each token's embedding stays with probability ``phi~`` of its feature
    (``keep``), or ``1 - phi~``; tokens of no feature stay whole.

    Cost: 2 draws + 2 passes through embeddings.

    Raises:
        CapabilityError: the model is not asked through embeddings.
        OptionError: fewer than eight draws.
        UndefinedError: zeroing all features does not lower the answer.
    """
    if draws < LEAST_DRAWS:
        raise OptionError(
            f"{name}: draws={draws} asked; one draw is mostly noise, {LEAST_DRAWS} at least are due"
        )
    question = instance.question
    if question is None or not question.differentiable or question.tokens is None:
        raise CapabilityError(
            f"{name} perturbs embeddings, which this input's model does not give; "
            "comprehensiveness and sufficiency remove whole features and work with every model"
        )
    game = question.embedding_game()
    point, zero = game.point(), game.baseline("zero")
    rng = np.random.default_rng([instance.seed, 5])
    scaled = unit_scaled(scores)
    shuffled = [scaled[rng.permutation(len(scaled))] for _ in range(draws)]
    points = [point, zero]
    for phi in [scaled] * draws + shuffled:
        softer = point.copy()
        for stays, group in zip(phi if keep else 1 - phi, question.tokens.groups, strict=True):
            softer[group] = point[group] * (rng.random(point[group].shape) < stays)
        points.append(softer)
    answers = on_a_scale_of_decisions(
        game.at(np.stack(points))[0][:, instance.output], instance.what
    )
    fall = float(answers[0] - answers[1])
    if fall <= 1e-9 * max(1.0, abs(float(answers[0]))):
        raise UndefinedError(
            f"{name}: with all features' embeddings zero the answer does not fall "
            f"({answers[0]:.4g} to {answers[1]:.4g}); there is nothing to take a share of"
        )
    shares = np.maximum(0.0, answers[0] - answers[2:]) / fall
    return Softened(shares[:draws], shares[draws:])
