"""What a method is: a frozen dataclass of options; the data comes with the call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from whence.core.explanations import Outcome
from whence.games.attention_game import AttentionGame
from whence.games.embedding_game import EmbeddingGame
from whence.games.game import Game

__all__ = [
    "AttentionMethod",
    "Estimate",
    "GameMethod",
    "GradientMethod",
    "GuidedMethod",
    "Method",
    "Needs",
]

Needs = Literal["scores", "gradients", "attention"]


# Without eq: a comparison of arrays has no single truth value, and a generated one would raise.
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Estimate:
    """The result of a method: ``scores[n, k]`` in the unit of the outputs, and how the run ended.

    ``additive``: the scores are meant to add up to ``values - base_values``; ``by_construction``:
    they always do, so that the residual is no evidence of accuracy. ``unit``: unit of scores that
    have no sign and are not in the outputs' unit. ``quantity``: what the scores estimate, where
    an option of the method decides it.
    """

    scores: Float[np.ndarray, "n k"]
    values: Float[np.ndarray, " k"]
    base_values: Float[np.ndarray, " k"]
    std_errors: Float[np.ndarray, "n k"] | None = None
    additive: bool = False
    by_construction: bool = False
    outcome: Outcome = "converged"
    advice: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unit: str | None = None
    quantity: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Method(ABC):
    """Base of all attribution methods; subclasses are final."""

    needs: ClassVar[Needs]
    quantity: ClassVar[str]
    """What the scores estimate, for a reader: ``"Shapley value"``."""
    rank: ClassVar[int] = 1000
    """Place in lists: the most dependable method has the lowest rank. Steps of ten leave room."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GameMethod(Method):
    """A method that needs only the values of a game."""

    needs: ClassVar[Needs] = "scores"

    @abstractmethod
    def least(self, n: int) -> int:
        """Smallest budget of evaluations the method can work with for ``n`` features."""

    @abstractmethod
    def default_budget(self, n: int) -> int:
        """Evaluations the method asks for ``n`` features when no budget is given."""

    @abstractmethod
    def estimate(self, game: Game, *, budget: int, seed: int) -> Estimate:
        """Score every feature with at most ``budget`` evaluations of the game.

        The caller guarantees ``game.n >= 1`` and ``budget >= self.least(game.n)``.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidedMethod(GameMethod):
    """A method over a game that scores of a cheap gradient help, where the model gives one.

    A guide may change how soon a method comes near its quantity, never which quantity that is.
    """

    @abstractmethod
    def guided_budget(self, n: int) -> int:
        """Evaluations the method asks for with a guide, when no budget is given."""

    @abstractmethod
    def wants_guide(self, n: int, budget: int) -> bool:
        """Whether a guide helps the method with ``budget`` evaluations."""

    @abstractmethod
    def estimate(
        self,
        game: Game,
        *,
        budget: int,
        seed: int,
        guide: Float[np.ndarray, "n k"] | None = None,
    ) -> Estimate:
        """See :meth:`GameMethod.estimate`; ``guide``: scores of a gradient, in the outputs' unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientMethod(Method):
    """A method that differentiates the model along embedded inputs."""

    needs: ClassVar[Needs] = "gradients"

    @abstractmethod
    def default_budget(self, n: int) -> int:
        """Forward-and-backward passes the method may take when no budget is given."""

    @abstractmethod
    def least(self, n: int) -> int:
        """Smallest number of forward-and-backward passes the method can work with."""

    @abstractmethod
    def estimate(self, game: EmbeddingGame, *, budget: int, seed: int) -> Estimate:
        """Score every feature with at most ``budget`` forward-and-backward passes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionMethod(Method):
    """A method that reads or changes a model's attention layers."""

    needs: ClassVar[Needs] = "attention"

    @abstractmethod
    def least(self, n: int, tokens: int) -> int:
        """Smallest number of passes for ``n`` features of a text of so many tokens.

        A forward-and-backward pass counts as one, like a pass with a change.
        """

    def default_budget(self, n: int, tokens: int) -> int:
        """The least: more passes change nothing."""
        return self.least(n, tokens)

    @abstractmethod
    def estimate(self, game: AttentionGame, *, budget: int, seed: int) -> Estimate:
        """Score every feature with at most ``budget`` passes."""
