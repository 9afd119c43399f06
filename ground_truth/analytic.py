"""Games whose Shapley values, leave-one-out scores and interactions are known in closed form.

All but the linear ones are symmetric: the value depends only on how many of some members are
present, v = profile[count]. By symmetry each member's Shapley value is an equal share of the whole
rise; its leave-one-out score is the last step of the profile; and since in the Shapley interaction
index every number of other members present weighs alike, the interaction of two members is the
mean second difference of the profile. Features that are no members are dummies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import OptionError
from whence.games.game import FunctionGame

__all__ = [
    "AnalyticGame",
    "conjunction",
    "disjunction",
    "duplicated",
    "linear",
    "majority",
    "parity",
    "saturation",
    "symmetric",
    "threshold",
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AnalyticGame:
    """A value function with its true attributions; games of equal size can be added and scaled.

    Attributes:
        function: ``coalitions[m, n] -> values[m]``.
        shapley: Shapley values.
        leave_one_out: v(all) - v(all but i).
        interactions: ``[n, n]`` Shapley interaction indices of pairs, Grabisch & Roubens (1999),
            doi:10.1007/s001820050125; zero on the diagonal.

    Example:
        >>> game = linear([2.0, 0.0, 0.0]) + 3.0 * conjunction(3, [1, 2])
        >>> game.shapley.tolist(), game.leave_one_out.tolist(), float(game.interactions[1, 2])
        ([2.0, 1.5, 1.5], [2.0, 3.0, 3.0], 3.0)
    """

    function: Callable[[np.ndarray], np.ndarray]
    shapley: Float[np.ndarray, " n"]
    leave_one_out: Float[np.ndarray, " n"]
    interactions: Float[np.ndarray, "n n"]

    @property
    def n(self) -> int:
        """Number of features."""
        return len(self.shapley)

    def game(self, *, budget: int | None = None) -> FunctionGame:
        """A fresh game, with nothing asked of it yet."""
        return FunctionGame(self.n, self.function, budget=budget)

    def __add__(self, other: AnalyticGame) -> AnalyticGame:
        """The sum: all three attributions are linear in the game."""
        if self.n != other.n:
            raise OptionError(f"games of {self.n} and {other.n} features cannot be added")
        mine, yours = self.function, other.function
        return AnalyticGame(
            function=lambda rows: mine(rows) + yours(rows),
            shapley=self.shapley + other.shapley,
            leave_one_out=self.leave_one_out + other.leave_one_out,
            interactions=self.interactions + other.interactions,
        )

    def __rmul__(self, factor: float) -> AnalyticGame:
        """The game scaled."""
        mine = self.function
        return AnalyticGame(
            function=lambda rows: factor * mine(rows),
            shapley=factor * self.shapley,
            leave_one_out=factor * self.leave_one_out,
            interactions=factor * self.interactions,
        )


def linear(weights: Sequence[float], *, offset: float = 0.0) -> AnalyticGame:
    """v(S) = offset + the sum of the weights in S: every method should give the weights."""
    held = np.asarray(weights, dtype=np.float64)
    return AnalyticGame(
        function=lambda rows: rows @ held + offset,
        shapley=held,
        leave_one_out=held,
        interactions=np.zeros((len(held), len(held))),
    )


def symmetric(n: int, members: Sequence[int], profile: Sequence[float]) -> AnalyticGame:
    """v(S) = profile[number of members in S].

    Args:
        n: number of features; those that are no members are dummies.
        members: indices of the features that count.
        profile: one value for each number of members present, from none to all.

    Raises:
        OptionError: members outside the game or twice, or a profile of another length.
    """
    count, held = len(members), np.asarray(profile, dtype=np.float64)
    inside = np.zeros(n, dtype=bool)
    if not count or len(set(members)) != count or not all(0 <= i < n for i in members):
        raise OptionError(f"members {list(members)} given of {n} features; distinct ones are due")
    if len(held) != count + 1:
        raise OptionError(f"a profile of {len(held)} values given for {count} members; one more")
    inside[list(members)] = True
    bend = float(np.mean(np.diff(held, 2))) if count > 1 else 0.0
    pairs = np.outer(inside, inside) & ~np.eye(n, dtype=bool)

    def function(rows: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
        return held[(rows & inside).sum(axis=1)]

    return AnalyticGame(
        function=function,
        shapley=np.where(inside, (held[-1] - held[0]) / count, 0.0),
        leave_one_out=np.where(inside, held[-1] - held[-2], 0.0),
        interactions=np.where(pairs, bend, 0.0),
    )


def threshold(n: int, members: Sequence[int], k: int) -> AnalyticGame:
    """1 where at least ``k`` of the members are present.

    Raises:
        OptionError: ``k`` is not between 1 and the number of members.
    """
    if not 1 <= k <= len(members):
        raise OptionError(f"a threshold of {k} of {len(members)} members asked; 1 to all is due")
    return symmetric(n, members, (np.arange(len(members) + 1) >= k).astype(np.float64).tolist())


def conjunction(n: int, members: Sequence[int]) -> AnalyticGame:
    """AND: 1 where all members are present. Leave-one-out gives each the whole: they share it."""
    return threshold(n, members, len(members))


def disjunction(n: int, members: Sequence[int]) -> AnalyticGame:
    """OR: 1 where any member is present. Leave-one-out gives none anything: it misleads."""
    return threshold(n, members, 1)


def majority(n: int, members: Sequence[int]) -> AnalyticGame:
    """1 where more than half of the members are present."""
    return threshold(n, members, len(members) // 2 + 1)


def parity(n: int, members: Sequence[int]) -> AnalyticGame:
    """XOR: 1 where an odd number of members is present; of an even number all values are zero."""
    return symmetric(n, members, (np.arange(len(members) + 1) % 2).astype(np.float64).tolist())


def saturation(n: int, members: Sequence[int], level: int = 1) -> AnalyticGame:
    """min(members present, level): beyond the level nothing more is gained, and gradients vanish.

    Raises:
        OptionError: ``level`` is not between 1 and the number of members.
    """
    if not 1 <= level <= len(members):
        raise OptionError(f"saturation at {level} of {len(members)} members asked; 1 to all is due")
    return symmetric(n, members, np.minimum(np.arange(len(members) + 1.0), level).tolist())


def duplicated(weights: Sequence[float], feature: int) -> AnalyticGame:
    """A linear game with one feature said twice, in the last place again; either will do.

    Raises:
        OptionError: there is no such feature.
    """
    n = len(weights) + 1
    if not 0 <= feature < n - 1:
        raise OptionError(f"feature {feature} of {n - 1} asked; there is none")
    rest = [0.0 if i == feature else w for i, w in enumerate(weights)]
    return linear([*rest, 0.0]) + weights[feature] * disjunction(n, [feature, n - 1])
