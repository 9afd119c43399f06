"""Budget and counters of the games that run passes over one input, read in tokens."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float

from whence.core.errors import BudgetError
from whence.core.provenance import Cost
from whence.games.batching import DEFAULT_TOKEN_BUDGET, TokenBudget
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, Readout

__all__ = ["PassGame"]


class PassGame:
    """What the games over embeddings and over attention share.

    Args:
        encoding: input.
        readout: outputs.
        tokens: tokens of each feature.
        budget: most passes of either kind, or ``None``.
        token_budget: most tokens in one batch; halved when memory runs out.

    Raises:
        OptionError: a token budget below 1.
    """

    def __init__(
        self,
        encoding: Encoding,
        readout: Readout,
        tokens: FeatureTokens,
        *,
        budget: int | None = None,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
    ) -> None:
        self._encoding = encoding
        self._readout = readout
        self._tokens = tokens
        self._token_budget = TokenBudget(token_budget)
        self.budget = budget
        self.gradient_passes = 0
        # Passes that compare gradients with the model's own answer: part of the cost, and not of the
        # budget, which a method divides among its own.
        self.probes = 0
        self.evaluations = 0
        self._tokens_read = 0
        self._seconds = 0.0

    @property
    def n(self) -> int:
        """Number of features."""
        return len(self._tokens.groups)

    @property
    def k(self) -> int:
        """Number of outputs."""
        return len(self._readout.outputs)

    @property
    def groups(self) -> tuple[np.ndarray, ...]:
        """For each feature the indices of its tokens."""
        return self._tokens.groups

    @property
    def remaining(self) -> int | None:
        """Passes left of the budget; ``None`` for no limit."""
        if self.budget is None:
            return None
        # A pass with its gradients counts like one without: the budget is a number that a caller
        # can set without knowing what a method is made of.
        return self.budget - self.gradient_passes - self.evaluations

    @property
    def cost(self) -> Cost:
        """Passes run, tokens read and seconds taken so far."""
        return Cost(
            evaluations=self.evaluations,
            distinct_evaluations=self.evaluations,
            gradient_evaluations=self.gradient_passes + self.probes,
            tokens=self._tokens_read,
            seconds=self._seconds,
        )

    def gather(self, per_token: Float[np.ndarray, "tokens k"]) -> Float[np.ndarray, "n k"]:
        """Scores of the features: the sum over each feature's tokens."""
        # A sum and not a mean: what adds up over tokens then adds up over features.
        return np.stack([per_token[group].sum(axis=0) for group in self._tokens.groups])

    @contextmanager
    def _passes(self, count: int) -> Generator[None]:
        """Refuse passes beyond the budget, else time what runs inside.

        Raises:
            BudgetError: more passes than are left; nothing runs.
        """
        if self.remaining is not None and count > self.remaining:
            raise BudgetError(
                f"{count:,} passes asked, {self.remaining:,} of {self.budget:,} left; raise the "
                "budget, or use a method or unit that needs fewer",
                needed=count + self.gradient_passes + self.evaluations,
                budget=self.budget or 0,
            )
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - started
