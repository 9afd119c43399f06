"""The game: v(S), the value of a model's outputs when only the features in S are present.

A game stands between a model and a method. It knows the numbers of features and outputs, evaluates
coalitions, stores the values, keeps to the budget, and counts.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import BudgetError, ModelOutputError, OptionError
from whence.core.features import Segmentation
from whence.core.provenance import Cost
from whence.core.targets import Label, Output

__all__ = ["FunctionGame", "Game"]


class Game(ABC):
    """A value function over coalitions of features, with memory, a budget and counters.

    Calling it with ``coalitions[m, n]`` (true: present) gives ``values[m, k]``. A coalition that was
    evaluated before comes from memory and costs nothing of the budget; within a call, equal
    coalitions are evaluated once.

    Args:
        n: number of features.
        outputs: outputs that the ``k`` numbers belong to.
        budget: most distinct coalitions that may be asked, ``None`` for no limit.

    ``segmentation`` says where the features stand in a text; ``None`` where they are in none.
    """

    segmentation: Segmentation | None = None

    def __init__(self, n: int, outputs: Sequence[Output], *, budget: int | None = None) -> None:
        if budget is not None and budget < 1:
            raise OptionError(
                f"expected a budget of 1 evaluation or more, or None; got budget={budget}"
            )
        self.n = n
        self.outputs = tuple(outputs)
        self.budget = budget
        self.evaluations = 0
        self.seconds = 0.0
        self._memory: dict[bytes, np.ndarray] = {}

    @property
    def k(self) -> int:
        """Number of outputs."""
        return len(self.outputs)

    @property
    def remaining(self) -> int | None:
        """Evaluations left of the budget; ``None`` for no limit."""
        return None if self.budget is None else self.budget - self.evaluations

    @property
    def cost(self) -> Cost:
        """What the game has cost so far."""
        return Cost(
            evaluations=self.evaluations,
            distinct_evaluations=self.evaluations,
            seconds=self.seconds,
        )

    def known(self, coalitions: Bool[np.ndarray, "m n"]) -> Bool[np.ndarray, " m"]:
        """Which coalitions are already in memory, and so cost nothing."""
        packed = np.packbits(coalitions, axis=1)
        # n is the same for all, so the bits that fill the last byte make no two coalitions alike.
        return np.array([row.tobytes() in self._memory for row in packed], dtype=bool)

    def full(self) -> Float[np.ndarray, " k"]:
        """The value with every feature present."""
        return self(np.ones((1, self.n), dtype=bool))[0]

    def empty(self) -> Float[np.ndarray, " k"]:
        """The value with no feature present."""
        return self(np.zeros((1, self.n), dtype=bool))[0]

    def __call__(self, coalitions: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m k"]:
        """The values of some coalitions.

        Raises:
            BudgetError: more new coalitions than the budget has left; none is evaluated.
            Interrupted: the user stopped; what was answered stays in memory.
        """
        if coalitions.ndim != 2 or coalitions.shape[1] != self.n or coalitions.dtype != np.bool_:
            raise OptionError(
                f"expected coalitions of bool (m, {self.n}), got {coalitions.dtype} {coalitions.shape}"
            )
        packed = np.packbits(coalitions, axis=1)
        keys = [row.tobytes() for row in packed]
        new: dict[bytes, int] = {}
        for index, key in enumerate(keys):
            if key not in self._memory and key not in new:
                new[key] = index
        # Refused before anything is asked: half an answer would spend the budget and serve no
        # method.
        if self.remaining is not None and len(new) > self.remaining:
            raise BudgetError(
                f"{len(new):,} evaluations asked, {self.remaining:,} of {self.budget:,} left. "
                "Raise the budget, or use a method or unit that needs fewer.",
                needed=self.evaluations + len(new),
                budget=self.budget or 0,
            )
        if new:
            started = time.perf_counter()
            rows = list(new.values())
            try:
                self._answer(coalitions[rows], list(new))
            # A run that the user stops has cost its time too.
            finally:
                self.seconds += time.perf_counter() - started
        return np.stack([self._memory[key] for key in keys]) if keys else np.empty((0, self.k))

    def _remember(self, key: bytes, value: Float[np.ndarray, " k"]) -> None:
        """Store one answer and count it; an implementation calls it as answers come in."""
        # Stored, one NaN would spread through the sums of every later fit, far from its cause.
        if not np.all(np.isfinite(value)):
            raise ModelOutputError(
                f"expected finite numbers for a perturbed input, the model gave {value.tolist()}; "
                "try another masker or link, or load the model in float32"
            )
        self._memory[key] = np.asarray(value, dtype=np.float64)
        self.evaluations += 1

    @abstractmethod
    def _answer(self, coalitions: Bool[np.ndarray, "m n"], keys: Sequence[bytes]) -> None:
        """Evaluate new, distinct coalitions and :meth:`_remember` each under its key."""


class FunctionGame(Game):
    """A game given by a plain function, for analytic cases and for other packages' games.

    Args:
        n: number of features.
        function: function from ``coalitions[m, n]`` to values ``[m]`` or ``[m, k]``.
        names: names of the outputs, one by default.
        budget: most distinct coalitions that may be asked.

    Example:
        >>> game = FunctionGame(2, lambda S: S.sum(axis=1))
        >>> game(np.array([[True, False], [True, True]]))[:, 0].tolist()
        [1.0, 2.0]
    """

    def __init__(
        self,
        n: int,
        function: Callable[[np.ndarray], np.ndarray],
        *,
        names: Sequence[str] = ("value",),
        budget: int | None = None,
    ) -> None:
        outputs = [
            Output(name=name, link="score", unit="score", target=Label(label=name))
            for name in names
        ]
        super().__init__(n, outputs, budget=budget)
        self._function = function

    def _answer(self, coalitions: Bool[np.ndarray, "m n"], keys: Sequence[bytes]) -> None:
        values = np.asarray(self._function(coalitions), dtype=np.float64)
        # A function of one output may give [m]; a wrong count of numbers fails here by its shape.
        values = values.reshape(len(coalitions), self.k)
        for key, value in zip(keys, values, strict=True):
            self._remember(key, value)
