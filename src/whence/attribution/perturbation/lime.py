"""LIME: a local linear model of the decision."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from whence.attribution.method import Estimate, GameMethod
from whence.attribution.perturbation.shapley_values import MOST_ENUMERATED, all_coalitions
from whence.core.errors import OptionError
from whence.games.game import Game

__all__ = ["Lime", "size_odds"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lime(GameMethod):
    """The coefficients of a linear model fitted to the decision around the text.

    ``v(S) ~ intercept + sum_{i in S} score[i]`` over texts near the whole one. LIME for text draws
    how many words to remove uniformly and weights each text by ``sqrt(exp(-d^2 / width^2))`` with
    ``d`` the cosine distance ``1 - sqrt(|S| / n)``; nearly all its samples then weigh nothing. Here
    the size is drawn from that weighted distribution itself (GLIME), so every sample counts one,
    and the same coefficients are reached with far fewer.

    The ridge penalty is ``ridge * trace(Z'Z) / n`` of the centred design: relative to the data, so
    that a target on a small scale is not shrunk to zero. The fit is linear in the target, so scores
    scale with it exactly. Standard errors: heteroscedasticity-consistent (HC3) sandwich; zero where
    the budget covers all 2^n coalitions, which then enter with their exact weights.

    In the target's unit; positive raised it. Cost: the budget, by default max(5 n, 200)
    evaluations. The scores need not add up, and describe the neighbourhood, not the text itself.

    Args:
        kernel_width: LIME's kernel width, on distances from 0 to 1 (its default: 25 of 100).
        ridge: penalty relative to the mean variance of the design; LIME's own default is 1 on a
            scale of its own. Chosen by hand; not calibrated.

    Ribeiro, Singh & Guestrin (2016), arXiv:1602.04938; Tan, Tian & Li (2023), arXiv:2311.15722.

    Example:
        >>> from whence.games.game import FunctionGame
        >>> game = FunctionGame(3, lambda S: S @ np.array([2.0, 0.0, -1.0]))
        >>> Lime(ridge=0.0).estimate(game, budget=8, seed=0).scores[:, 0].round(6).tolist()
        [2.0, -0.0, -1.0]
    """

    kernel_width: float = 0.25
    ridge: float = 0.01
    quantity: ClassVar[str] = "local linear coefficient"
    rank: ClassVar[int] = 30

    def __post_init__(self) -> None:
        if not self.kernel_width > 0:
            raise OptionError(
                f"expected a kernel width above 0, got Lime(kernel_width={self.kernel_width})"
            )
        if not self.ridge >= 0:
            raise OptionError(f"expected a ridge of 0 or more, got Lime(ridge={self.ridge})")

    def least(self, n: int) -> int:
        """N + 2, or 2^n where that is less."""
        return min(1 << n, n + 2)

    def default_budget(self, n: int) -> int:
        """max(5 n, 200), or 2^n where that is less."""
        return min(1 << n, max(5 * n, 200))

    def estimate(self, game: Game, *, budget: int, seed: int) -> Estimate:
        """See :class:`Lime`."""
        n = game.n
        # The first test keeps a generous budget from making a table of millions of rows.
        every = n < MOST_ENUMERATED and (1 << n) <= budget
        if every:
            rows, counts = _everything(n, self.kernel_width)
        else:
            rows, counts = self._draw(n, budget, np.random.default_rng(seed))
        values = game(rows)
        # values[0] and values[1] below are the ends: both designs put the whole text and the empty
        # one first.
        scores, errors = _ridge_fit(rows.astype(np.float64), values, counts, self.ridge)
        if every:
            errors = np.zeros_like(errors)
        return Estimate(
            scores=scores,
            values=values[0],
            base_values=values[1],
            std_errors=errors,
        )

    def _draw(
        self, n: int, budget: int, rng: np.random.Generator
    ) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, " m"]]:
        """Distinct coalitions, the whole text and the empty one first, and how often drawn.

        Draws go on until the budget is full of distinct ones, or for as many draws as ten budgets:
        where few coalitions are likely, more draws only sharpen the counts.
        """
        full, none = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
        where = {full.tobytes(): 0, none.tobytes(): 1}
        rows = [full, none]
        # The whole text is LIME's own first sample; the empty one is asked for the base value and
        # counts only where it is drawn.
        counts = [1.0, 0.0]
        odds = size_odds(n, self.kernel_width)
        for _ in range(10 * budget):
            if len(rows) >= budget:
                break
            row = np.zeros(n, dtype=bool)
            # n itself is never drawn: LIME removes one word at least.
            size = int(rng.choice(n, p=odds))
            row[rng.permutation(n)[:size]] = True
            key = row.tobytes()
            if key in where:
                counts[where[key]] += 1.0
            else:
                where[key] = len(rows)
                rows.append(row)
                counts.append(1.0)
        return np.stack(rows), np.array(counts)


def _everything(
    n: int, kernel_width: float
) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, " m"]]:
    """All coalitions as often as 2^n draws would take them on average; the whole one first.

    The whole text counts once: it is LIME's own first sample, and is never drawn.
    """
    # The last row, all present, comes first and the empty one second, as in a drawn design.
    rows = np.roll(all_coalitions(n), 1, axis=0)
    sizes = rows.sum(axis=1)
    odds = np.append(size_odds(n, kernel_width), 0.0)
    counts = odds[sizes] / np.array([float(comb(n, int(size))) for size in sizes]) * len(rows)
    counts[0] = 1.0
    return rows, counts


def size_odds(n: int, kernel_width: float) -> Float[np.ndarray, " n"]:
    """Odds that 0, 1, ... n - 1 features are present: uniform, times LIME's kernel.

    Example:
        >>> size_odds(4, 0.25).round(3).tolist()
        [0.0, 0.09, 0.334, 0.575]
    """
    # The cosine of a mask of s ones with the mask of n ones is s / sqrt(s n) = sqrt(s / n).
    distance = 1.0 - np.sqrt(np.arange(n) / n)
    # The root of LIME's exp(-d^2 / width^2) halves the exponent.
    odds = np.exp(-(distance**2) / (2.0 * kernel_width**2))
    return odds / odds.sum()


def _ridge_fit(
    rows: Float[np.ndarray, "m n"],
    values: Float[np.ndarray, "m k"],
    counts: Float[np.ndarray, " m"],
    ridge: float,
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Ridge coefficients with a free intercept, and their HC3 standard errors."""
    total = counts.sum()
    centre = (counts @ rows) / total
    design = rows - centre
    aim = values - (counts @ values) / total
    gram = (design.T * counts) @ design
    n = rows.shape[1]
    penalised = gram + ridge * np.trace(gram) / n * np.eye(n)
    # Without a ridge, features that always go together make the matrix singular; the pseudo-inverse
    # shares their effect equally.
    inverse = np.linalg.pinv(penalised, hermitian=True)
    scores = inverse @ (design.T * counts) @ aim
    residual = aim - design @ scores
    # Repeats of one draw share a residual, so they enter as one observation of that weight.
    # 1 / total is the part of the intercept, which the centring has taken out of the design.
    leverage = counts * (1.0 / total + np.einsum("mi,ij,mj->m", design, inverse, design))
    # A leverage of 1 leaves no residual to judge by; a floor of 1 % keeps the errors finite.
    inflated = counts[:, None] * residual / np.maximum(1.0 - leverage, 1e-2)[:, None]
    errors = np.stack(
        [
            np.sqrt((((inverse @ design.T) * inflated[:, output]) ** 2).sum(axis=1))
            for output in range(values.shape[1])
        ],
        axis=1,
    )
    return scores, errors
