"""Soft comprehensiveness and sufficiency: elements of embeddings are dropped by the scores."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy import stats

from whence.core.errors import CapabilityError, OptionError, UndefinedError
from whence.core.measurements import Interval, Measurement
from whence.evaluation.instance import Instance, on_a_scale_of_decisions
from whence.evaluation.metrics.base import Direction, Metric, Need

__all__ = ["SoftComprehensiveness", "SoftSufficiency", "Softened", "softened", "unit_scaled"]

LEAST_DRAWS = 8
"""Draws from which the standard error of their mean means something. Chosen by hand."""


@dataclass(frozen=True, slots=True, eq=False)
class Softened:
    """Falls under soft perturbation as shares of the fall with every feature's embedding zero.

    Attributes:
        shares: fall of each draw, at least 0: a rise counts as no fall.
        random: falls of as many draws with the scores shuffled.
    """

    shares: Float[np.ndarray, " draws"]
    random: Float[np.ndarray, " draws"]

    def interval(self, values: Float[np.ndarray, " draws"]) -> Interval:
        """An interval of 95 % around the mean of some draws, from its standard error."""
        draws = len(values)
        error = float(values.std(ddof=1)) / np.sqrt(draws)
        # Student's t and not 1.96: of sixteen draws the deviation is itself uncertain (2.13).
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
    # Equal but for rounding, which would else be stretched to the whole of 0 .. 1.
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
            f"{name}: expected draws of {LEAST_DRAWS} or more, since one draw is mostly noise; got "
            f"draws={draws}"
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
    # A new shuffle for each draw, so that `random` is a mean over orders and over what is dropped.
    shuffled = [scaled[rng.permutation(len(scaled))] for _ in range(draws)]
    points = [point, zero]
    for phi in [scaled] * draws + shuffled:
        softer = point.copy()
        for stays, group in zip(phi if keep else 1 - phi, question.tokens.groups, strict=True):
            # A draw for each element of the vector; one for each token would be removal again.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _SoftErasure(Metric):
    """A mean over draws of embeddings with elements dropped by the scores."""

    draws: int = 16
    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[tuple[Need, ...]] = ("embeddings",)
    keep: ClassVar[bool]
    """Whether elements are kept, in place of dropped, with the probability of their score."""

    def cost(self, n: int) -> int:
        """Passes, whatever the number of features: see :meth:`Metric.cost`."""
        return 2 * self.draws + 2

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            CapabilityError: the model gives no embeddings.
            UndefinedError: zeroing everything does not lower the answer.
        """
        phi = self._checked(instance, scores)
        falls = softened(instance, phi, keep=self.keep, draws=self.draws, name=self.name)
        values = self._of(falls.shares)
        return self._measurement(
            instance,
            float(values.mean()),
            unit="share of the fall to zeroed embeddings",
            n=self.draws,
            interval=falls.interval(values),
            random=float(self._of(falls.random).mean()),
        )

    @abstractmethod
    def _of(self, falls: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
        """The value of each draw, from its fall as a share of the fall to zeroed embeddings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftComprehensiveness(_SoftErasure):
    """How far the answer falls when embeddings lose elements in step with their scores.

    Formula: each element of a token's embedding is kept with probability 1 - phi~, phi~ the scores
    moved and stretched to 0 .. 1 over the features (all 1/2 where they are equal);
    max(0, f(x) - f(x')) / max(0, f(x) - f(zero)),
    in which f(zero) is the answer with every feature's embedding zero. The mean over ``draws``,
    with its standard error. Sign: higher is better. No unit. Cost: 2 draws + 2 passes through
    embeddings beside the pool; half of them are for ``random``, the same with the
    scores shuffled. The model must give gradients.

    When it misleads: it depends on how scores are brought to 0 .. 1: a single low score lifts all
    others. An embedding in part zero is nothing the model has seen, and may lower the answer by
    more than zeroing all, which gives more than 1. Undefined where zeroing
    everything does not lower the answer.

    Args:
        draws: number of draws of what is kept; at least eight.

    Source: Zhao & Aletras (2023), arXiv:2305.10496.

    Example:
        >>> SoftComprehensiveness().cost(12), SoftComprehensiveness(draws=16).cost(12)
        (34, 34)
    """

    name: ClassVar[str] = "soft-comprehensiveness"
    question: ClassVar[str] = "Does the answer need what the scores point at?"
    rank: ClassVar[int] = 80
    keep: ClassVar[bool] = False

    def _of(self, falls: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
        return falls


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftSufficiency(_SoftErasure):
    """How well the answer holds when embeddings keep elements in step with their scores.

    Formula: each element of a token's embedding is kept with probability phi~, phi~ the scores
    moved and stretched to 0 .. 1 over the features (all 1/2 where they are equal);
    with S = 1 - max(0, f(x) - f(x')): max(0, (S - S(zero)) / (1 - S(zero))),
    in which f(zero) is the answer with every feature's embedding zero. The mean over ``draws``,
    with its standard error. Sign: higher is better. No unit. Cost: 2 draws + 2 passes through
    embeddings beside the pool; half of them are for ``random``, the same with the
    scores shuffled. The model must give gradients.

    When it misleads: it depends on how scores are brought to 0 .. 1: a single low score lifts all
    others. An embedding in part zero is nothing the model has seen. Undefined where zeroing
    everything does not lower the answer.

    Args:
        draws: number of draws of what is kept; at least eight.

    Source: Zhao & Aletras (2023), arXiv:2305.10496.

    Example:
        >>> SoftSufficiency().cost(12), SoftSufficiency(draws=16).cost(12)
        (34, 34)
    """

    name: ClassVar[str] = "soft-sufficiency"
    question: ClassVar[str] = "Is what the scores point at enough?"
    rank: ClassVar[int] = 90
    keep: ClassVar[bool] = True

    def _of(self, falls: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
        return np.maximum(0.0, 1.0 - falls)
