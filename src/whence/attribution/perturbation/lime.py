"""LIME: a local linear model of the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.attribution.method import Estimate, GameMethod
from whence.attribution.perturbation.coalition_sample import size_sample
from whence.core.errors import OptionError
from whence.games.game import Game

__all__ = ["Lime", "size_odds"]

RELIABLE = 6
"""Evaluations per feature from which the standard errors cover the truth as often as they say, on the
games of ``benchmarks.coverage``: at 5 an "or" of four words has .87 for .95."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lime(GameMethod):
    """The coefficients of a linear model fitted to the decision around the text.

    ``v(S) ~ intercept + sum_{i in S} score[i]`` over texts near the whole one. LIME for text draws
    how many words to remove uniformly and weights each text by ``sqrt(exp(-d^2 / width^2))`` with
    ``d`` the cosine distance ``1 - sqrt(|S| / n)``; nearly all its samples then weigh nothing. Here
    the sizes have shares of that weighted distribution itself (GLIME), so every sample counts about
    one, and the same coefficients are reached with far fewer. No text is drawn twice, and each is chosen
    among candidates for what it tells that the others do not; sizes that
    the budget covers are taken whole, and each text is weighted by the inverse of its inclusion
    probability, so that 2^n evaluations give the regression over all texts.

    The ridge penalty is ``ridge * trace(Z'Z) / n`` of the centred design: relative to the data, so
    that a target on a small scale is not shrunk to zero. The fit is linear in the target, so scores
    scale with it exactly. Standard errors: heteroscedasticity-consistent (HC3) sandwich with the
    finite population factor, so that they vanish as the sample becomes the whole; NaN below 6
    evaluations a feature. Too small where hardly any sampled text changes the answer (an "or" of
    many words): what is not in the sample leaves no trace in it.

    In the target's unit; positive raised it. Cost: the budget, by default max(6 n, 200)
    evaluations. The scores need not add up, and describe the neighbourhood, not the text itself.

    Args:
        kernel_width: LIME's kernel width, on distances from 0 to 1 (its default: 25 of 100).
        ridge: penalty relative to the mean variance of the design; LIME's own default is 1 on a
            scale of its own. Chosen by hand; not calibrated.

    Ribeiro, Singh & Guestrin (2016), arXiv:1602.04938; Tan, Tian & Li (2023), arXiv:2311.15722.

    Example:
        >>> from whence.games.game import FunctionGame
        >>> game = FunctionGame(3, lambda S: S @ np.array([2.0, 0.0, -1.0]))
        >>> Lime(ridge=0.0).estimate(game, budget=8, seed=0).scores[:, 0].round(6).astype(int).tolist()
        [2, 0, -1]
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
        """max(6 n, 200), or 2^n where that is less."""
        return min(1 << n, max(RELIABLE * n, 200))

    def estimate(self, game: Game, *, budget: int, seed: int) -> Estimate:
        """See :class:`Lime`."""
        n = game.n
        odds = size_odds(n, self.kernel_width)
        rng = np.random.default_rng(seed)
        # n itself is never drawn: LIME removes one word at least. The empty text is asked for the
        # base value in any case, and counts by its odds.
        drawn, inclusion, weight = size_sample(odds[1:], n, budget - 2, rng)
        rows = np.concatenate([np.ones((1, n), dtype=bool), np.zeros((1, n), dtype=bool), drawn])
        values = game(rows)
        # The whole text is LIME's own first sample: one beside the 2^n of which the others are a
        # share.
        weight = np.concatenate([[0.5**n, odds[0]], weight])
        inclusion = np.concatenate([[1.0, 1.0], inclusion])
        scores, errors = _ridge_fit(
            rows.astype(np.float64), values, weight / weight.sum(), inclusion, self.ridge
        )
        notes: tuple[str, ...] = ()
        if budget < RELIABLE * n and np.any(inclusion < 1):
            errors = np.full_like(errors, np.nan)
            notes = (
                f"{budget} evaluations are fewer than {RELIABLE} per feature: no standard error "
                "is given (NaN)",
            )
        return Estimate(
            scores=scores,
            values=values[0],
            base_values=values[1],
            std_errors=errors,
            notes=notes,
        )


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
    weight: Float[np.ndarray, " m"],
    inclusion: Float[np.ndarray, " m"],
    ridge: float,
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Ridge coefficients with a free intercept, and their HC3 standard errors."""
    design = rows - weight @ rows
    aim = values - weight @ values
    gram = (design.T * weight) @ design
    n = rows.shape[1]
    penalised = gram + ridge * np.trace(gram) / n * np.eye(n)
    # Without a ridge, features that always go together make the matrix singular; the pseudo-inverse
    # shares their effect equally.
    inverse = np.linalg.pinv(penalised, hermitian=True)
    scores = inverse @ (design.T * weight) @ aim
    residual = aim - design @ scores
    # 1 is the part of the intercept, which the centring has taken out of the design.
    leverage = weight * (1.0 + np.einsum("mi,ij,mj->m", design, inverse, design))
    # A leverage of 1 leaves no residual to judge by; a floor of 1 % keeps the errors finite. What
    # was certain to be drawn adds no sampling error.
    inflated = (np.sqrt(1.0 - inclusion) * weight / np.maximum(1.0 - leverage, 1e-2))[
        :, None
    ] * residual
    errors = np.stack(
        [
            np.sqrt((((inverse @ design.T) * inflated[:, output]) ** 2).sum(axis=1))
            for output in range(values.shape[1])
        ],
        axis=1,
    )
    return scores, errors
