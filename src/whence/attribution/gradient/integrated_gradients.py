"""Integrated gradients: the target's rise along a path, shared among the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from whence.attribution.method import Estimate, GradientMethod
from whence.core.errors import OptionError, unknown
from whence.core.explanations import Outcome
from whence.games.embedding_game import BASELINES, EmbeddingGame

__all__ = ["IntegratedGradients"]

FIRST = 5
"""Points of the coarsest rule; 15, 45, 135 ... follow, each with the points before. Chosen by hand."""
LEFT = 0.02
"""Largest relative error that the rule may leave in the scores: tripling the points divides the error
of a rule of second order by nine, so an eighth of the last change is left. Chosen by hand."""
CONCENTRATED = 8.0
"""How many times its mean size the integrand has somewhere where equal steps are called too coarse for it.
Measured on a trained Llama: 0.1 to 0.5 from mean and start-token baselines, 58 to 134 from zero."""
WORST = 0.75
"""Share of the error left that the cells of one round hold together, where not all are divided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IntegratedGradients(GradientMethod):
    """The gradient along the straight path from a baseline to the input, times the distance gone.

    ``score[i] = sum_{t in i} (e[t] - b[t]) . integral over a in 0..1 of dv/de[t] at b + a (e - b)``,
    in the target's unit. By the fundamental theorem the scores add up to ``v(input) -
    v(baseline)``, so the remainder measures the quadrature's error and is always reported.

    The rule is the midpoint rule, tripled (5, 15, 45, 135 ... points; no point is taken twice)
    until the completeness residual of every output is below ``tolerance`` of ``|v(input) -
    v(baseline)|``, and about 2 % of the scores is left: tripling divides the error of a rule of
    second order by nine, so an eighth of the last change.

    The baseline is the mean of the embedding table for every token of every feature. From a zero
    baseline on models that normalise, the divisor of the first norm starts at its epsilon, and the
    integrand is concentrated in the first hundredth or ten-thousandth of the path. Where the
    integrand is over 8 times its mean size somewhere, or the budget has no room for a whole rule
    more, only the cells that hold most of the error left are divided. What the budget leaves
    undone is ``not_converged``, with the residual that was reached.

    Cost: points + 2 forward-and-backward passes, 17 or 47 as a rule. Misleads where the path
    crosses regions that no text occupies; the choice of baseline is part of the question.

    Args:
        baseline: ``mean``, ``zero``, ``mask``, ``pad``, ``unknown`` or ``bos``.
        tolerance: largest relative completeness residual.

    Sundararajan, Taly & Yan (2017), arXiv:1703.01365.
    """

    baseline: str = "mean"
    tolerance: float = 0.01
    quantity: ClassVar[str] = "integrated gradient"
    rank: ClassVar[int] = 50

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise unknown("baseline", self.baseline, BASELINES)
        if not 0 < self.tolerance < 1:
            raise OptionError(
                f"expected a tolerance between 0 and 1, got IntegratedGradients(tolerance={self.tolerance})"
            )

    def least(self, n: int) -> int:
        """7 passes: the coarsest rule and both ends."""
        return FIRST + 2

    def default_budget(self, n: int) -> int:
        """137 passes: up to the rule of 135 points."""
        return 27 * FIRST + 2

    def estimate(self, game: EmbeddingGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`IntegratedGradients`."""
        end, start = game.point(), game.baseline(self.baseline)
        ends, _ = game.at(np.stack([end, start]))
        full, base = ends[0], ends[1]
        rise = np.abs(full - base)
        # Where the ends are equal the residual is judged on the scale of the values themselves.
        # (1e-12 and 1e-300 below only keep from dividing by zero.)
        scale = np.where(rise > 0, rise, np.maximum(np.abs(full), 1e-12))
        left = budget - 2
        cells = _Cells(game, start, end)
        residuals = [_residual(cells.scores, full, base, scale)]
        while not (residuals[-1] < self.tolerance and cells.error < LEFT):
            # Both: errors of single tokens can cancel in the sum, and scores can stand still on a
            # wrong one.
            worst = cells.worst((left - len(cells)) // 2)
            if not len(worst):
                break
            cells.divide(worst)
            residuals.append(_residual(cells.scores, full, base, scale))
        points, change = len(cells), cells.change
        outcome, advice = self._verdict(residuals[-1], cells)
        rule = f"path from the {self.baseline} embedding, midpoint rule with {points} points"
        if cells.uneven:
            rule += ", closest where the integrand changes most"
        return Estimate(
            scores=game.gather(cells.scores),
            values=full,
            base_values=base,
            additive=True,
            outcome=outcome,
            advice=advice,
            notes=(
                f"{rule}; scores moved by {100 * change:.2f} % from the rule before"
                if np.isfinite(change)
                else rule,
            ),
        )

    def _verdict(self, residual: float, cells: _Cells) -> tuple[Outcome, tuple[str, ...]]:
        if residual < self.tolerance and cells.error < LEFT:
            return "converged", ()
        passes = 3 * len(cells) + 2
        if cells.concentrated:
            return "not_converged", (
                f"the integrand on the way from the {self.baseline} baseline is over {CONCENTRATED:g} "
                f"times its mean size in places, and the completeness residual after {len(cells)} points is "
                f"{100 * residual:.2f} %. Use baseline='mean', or raise the budget to "
                f"{passes} passes or more.",
            )
        return "budget_exhausted", (
            f"completeness residual {100 * residual:.2f} % after {len(cells)} points, expected at most "
            f"{100 * self.tolerance:.2f} %; raise the budget to {passes} passes or more",
        )


class _Cells:
    """The midpoint rule on cells of the path that can be divided one by one.

    Attributes:
        change: how far the last division moved the scores, relative to their size.
        uneven: whether some cells were divided and others not.
    """

    def __init__(
        self,
        game: EmbeddingGame,
        start: Float[np.ndarray, "tokens width"],
        end: Float[np.ndarray, "tokens width"],
    ) -> None:
        self._game, self._start, self._end = game, start, end
        self._places, self._widths = _midpoints(FIRST), np.full(FIRST, 1.0 / FIRST)
        self._values, self._sizes = _sweep(game, start, end, self._places)
        # Of a cell that was never divided nothing is known.
        self._errors = np.full(FIRST, np.inf)
        self.change, self.uneven = np.inf, False

    def __len__(self) -> int:
        return len(self._places)

    @property
    def scores(self) -> Float[np.ndarray, "tokens k"]:
        """The integral of each token."""
        return np.einsum("p,ptk->tk", self._widths, self._values)

    @property
    def error(self) -> float:
        """The error left in the scores, relative to their size."""
        return float(self._errors.sum() / max(float(np.abs(self.scores).sum()), 1e-300))

    @property
    def concentrated(self) -> bool:
        """Whether the integrand is much larger somewhere than on average."""
        # Of five sizes none can be more than five times their mean: one rule alone shows nothing.
        mean = float(self._widths @ self._sizes)
        return len(self) > FIRST and float(self._sizes.max()) > CONCENTRATED * mean

    def worst(self, most: int) -> Int[np.ndarray, " cells"]:
        """The cells to divide next, at most so many: all of them, or those of most error."""
        if len(self) <= most and not self.concentrated:
            return np.arange(len(self))
        # A first rule that has no room to be tripled says nothing of where its errors are.
        if most < 1 or len(self) == FIRST:
            return np.arange(0)
        order = np.argsort(-self._errors, kind="stable")
        below = np.cumsum(self._errors[order]) < WORST * self._errors.sum()
        return np.sort(order[: min(most, int(below.sum()) + 1)])

    def divide(self, cells: Int[np.ndarray, " cells"]) -> None:
        """Divide cells in three, of which the middle one's place is known."""
        self.uneven |= len(cells) < len(self)
        before = self.scores
        width = self._widths[cells] / 3
        places = np.concatenate([self._places[cells] - width, self._places[cells] + width])
        values, sizes = _sweep(self._game, self._start, self._end, places)
        sides = values.reshape(2, len(cells), *values.shape[1:])
        moved = np.abs(sides.sum(axis=0) - 2 * self._values[cells]).sum(axis=(1, 2)) * width
        self._widths[cells] = width
        # An eighth of the change is left, a third of it in each part.
        self._errors[cells] = moved / 24
        self._places = np.concatenate([self._places, places])
        self._widths = np.concatenate([self._widths, width, width])
        self._values = np.concatenate([self._values, values])
        self._sizes = np.concatenate([self._sizes, sizes])
        self._errors = np.concatenate([self._errors, np.tile(moved / 24, 2)])
        size = max(float(np.abs(self.scores).sum()), 1e-300)
        self.change = float(np.abs(self.scores - before).sum()) / size


def _midpoints(count: int) -> Float[np.ndarray, " count"]:
    # Of the usual rules this is the one that nests when tripled and never asks at the ends, where
    # the integrand may be singular; Gauss-Legendre rules share no place but the middle.
    return (np.arange(count) + 0.5) / count


def _sweep(
    game: EmbeddingGame,
    start: Float[np.ndarray, "tokens width"],
    end: Float[np.ndarray, "tokens width"],
    places: Float[np.ndarray, " points"],
) -> tuple[Float[np.ndarray, "points tokens k"], Float[np.ndarray, " points"]]:
    """Gradient times way per token at each place, and the integrand's size there.

    Gradients are reduced as they come, so memory holds a few points at a time.
    """
    way = (end - start).astype(np.float64)
    integrands = np.empty((len(places), len(way), game.k))
    for portion in game.portions(len(places)):
        here = slice(portion.start, portion.stop)
        part = places[here]
        # In float32, as models read embeddings; the way itself is in double precision for the sums.
        points = start[None] + part[:, None, None].astype(np.float32) * (end - start)[None]
        _, slopes = game.at(points.astype(np.float32))
        integrands[here] = np.einsum("bktd,td->btk", slopes, way)
    return integrands, np.abs(integrands).sum(axis=(1, 2))


def _residual(
    per_token: Float[np.ndarray, "tokens k"],
    full: Float[np.ndarray, " k"],
    base: Float[np.ndarray, " k"],
    scale: Float[np.ndarray, " k"],
) -> float:
    """The largest relative completeness residual; frozen tokens do not move and add nothing."""
    return float(np.max(np.abs(full - base - per_token.sum(axis=0)) / scale))
