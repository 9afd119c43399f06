"""Max-sensitivity: how far an explanation moves when the input's embeddings move a little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, OptionError, UndefinedError
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric, Need
from whence.games.embedding_game import EmbeddingGame
from whence.games.question import Question
from whence.models.protocols import GivesGradients

__all__ = ["MaxSensitivity", "MovedGame", "batched", "displacements", "moved_game", "point_of"]


class MovedGame(EmbeddingGame):
    """The embedding game of an input whose embeddings stand elsewhere; for :func:`moved_game`."""

    at_point: Float[np.ndarray, "tokens width"] | None = None

    def point(self) -> Float[np.ndarray, "tokens width"]:
        """Where the embeddings stand now."""
        return EmbeddingGame.point(self) if self.at_point is None else self.at_point


def moved_game(
    question: Question, point: Float[np.ndarray, "tokens width"], **options: Any
) -> MovedGame:
    """The question's embedding game at another point, for a gradient method to be run on.

    Args:
        question: question about the text.
        point: embeddings in place of the input's own.
        options: ``budget`` and ``token_budget`` of the game.

    Raises:
        CapabilityError: the model gives no gradients.
    """
    if not question.differentiable or question.encoding is None or question.tokens is None:
        raise CapabilityError(f"{question.model.identity.ref} gives no gradients")
    model: Any = question.model
    game = MovedGame(model, question.encoding, question.readout, question.tokens, **options)
    game.at_point = point
    return game


@dataclass(frozen=True, kw_only=True, slots=True)
class MaxSensitivity(Metric):
    """The largest relative change of the scores over small displacements of the embeddings.

    Formula: max over d of |phi(x + d) - phi(x)| / |phi(x)|, Euclidean over the features; each
    feature's token is displaced by a vector drawn uniformly from the ball of radius ``radius``
    times the mean norm of the embeddings. Sign: lower is steadier; 0 means unmoved. No unit.
    Cost: ``draws`` + 1 explanations. ``random``: the same for shuffled scores. The largest of
    few draws is a lower bound of the true maximum, so there is no interval.

    Each draw comes from the seed and its own number, and each change is divided by the norm of
    the one explanation it belongs to: how draws are batched cannot matter.

    When it misleads: scores that hardly depend on the input are steady, and false.

    Args:
        radius: share of the mean embedding norm.
        draws: number of displacements.
        batch: number of displacements explained in one call.

    Source: Yeh et al. (2019), arXiv:1901.09392.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "Missed 4 payments.", method="input-x-gradient", trust="off")
        >>> 0 < whence.measure(model, e, ["max-sensitivity"])[0].value < 1
        True
    """

    radius: float = 0.01
    draws: int = 10
    batch: int = 8
    name: ClassVar[str] = "max-sensitivity"
    direction: ClassVar[Direction] = "lower"
    question: ClassVar[str] = "Do the scores stay when the embeddings move a little?"
    rank: ClassVar[int] = 170
    needs: ClassVar[tuple[Need, ...]] = ("embeddings", "explain_at")

    def cost(self, n: int) -> int:
        """None: see :meth:`Metric.cost`."""
        return 0

    def explanations(self, n: int) -> int:
        """Each displacement and the input itself: see :meth:`Metric.explanations`."""
        return self.draws + 1

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            CapabilityError: the model gives no embeddings, or nothing explains at others.
            UndefinedError: the scores are all zero here, and not beside here.
            OptionError: a radius or a number of draws that is not above zero.
        """
        point = point_of(instance, self.name)
        self._checked(instance, scores)
        explain_at = instance.explain_at
        assert explain_at is not None
        here = explain_at(point[None])[0]
        norm = float(np.linalg.norm(here))
        moves = displacements(instance, self.radius, self.draws)
        most = 0.0
        for points in batched(point, moves, self.batch):
            # One by one: a sum over an axis rounds by how many rows it has.
            change = max(np.linalg.norm(row - here) for row in explain_at(points))
            most = max(most, _ratio(float(change), norm))
        if not np.isfinite(most):
            raise UndefinedError(
                f"{self.name} is a change relative to the scores, and the scores of the input as "
                "it is are all zero while those beside it are not"
            )
        return self._measurement(
            instance,
            most,
            unit="relative change",
            n=self.draws,
            random=self._random(instance, here, norm),
            best=0.0,
            law="ball",
        )

    def _random(self, instance: Instance, here: Float[np.ndarray, " n"], norm: float) -> float:
        rng = np.random.default_rng([instance.seed, 32])
        moved = [np.linalg.norm(rng.permutation(here) - here) for _ in range(self.draws)]
        return _ratio(float(max(moved)), norm)


def point_of(instance: Instance, name: str = "a displacement") -> Float[np.ndarray, "tokens width"]:
    """The embeddings of the input.

    Raises:
        CapabilityError: the model gives no embeddings.
    """
    question = instance.question
    if question is None or not question.differentiable or question.encoding is None:
        raise CapabilityError(
            f"{name} moves embeddings; expected a model with embeddings, and this model gives no "
            "embeddings. The stability question of the trust label edits the text instead"
        )
    model: Any = question.model
    assert isinstance(model, GivesGradients)
    return model.embed(question.encoding).astype(np.float64)


def displacements(
    instance: Instance, radius: float, draws: int
) -> Float[np.ndarray, "draws tokens width"]:
    """Displacements of the features' tokens; frozen tokens stay where they are."""
    if not radius > 0 or draws < 1:
        raise OptionError(f"expected radius and draws above 0, got radius={radius}, draws={draws}")
    point = point_of(instance)
    question = instance.question
    assert question is not None
    assert question.tokens is not None
    free = np.concatenate(question.tokens.groups)
    reach = radius * float(np.linalg.norm(point[free], axis=1).mean())
    moves = np.zeros((draws, *point.shape))
    for number in range(draws):
        # A generator for each draw: the draws of a larger number of draws begin with the same ones.
        rng = np.random.default_rng([instance.seed, 31, number])
        ways = rng.standard_normal((len(free), point.shape[1]))
        # Normal variables have no preferred direction, so their direction is uniform on the sphere.
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        # Uniform in the ball: the part of its volume within r is r^d, so r is the d-th root of a
        # uniform number. In hundreds of dimensions nearly all of them lie at the surface.
        far = rng.random((len(free), 1)) ** (1 / point.shape[1])
        moves[number, free] = reach * far * ways
    return moves


def batched(
    point: Float[np.ndarray, "tokens width"],
    moves: Float[np.ndarray, "draws tokens width"],
    size: int,
) -> Iterator[Float[np.ndarray, "batch tokens width"]]:
    """The displaced points, so many at a time."""
    if size < 1:
        raise OptionError(f"expected batch of 1 or more, got {size}")
    for start in range(0, len(moves), size):
        yield point[None] + moves[start : start + size]


def _ratio(change: float, size: float) -> float:
    if size == 0:
        return 0.0 if change == 0 else float("inf")
    return change / size
