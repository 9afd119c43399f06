"""Shapley values from a sample of coalitions, by constrained least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.attribution.method import Estimate, GuidedMethod
from whence.attribution.perturbation.coalition_sample import pair_sample
from whence.attribution.perturbation.ridge_posterior import average, ridge_posterior
from whence.core.errors import unknown
from whence.games.game import Game

__all__ = ["KernelShap"]

DESIGNS = ("balanced", "leverage")
RELIABLE = 3
"""Evaluations per feature from which the standard errors cover the truth as often as they say, on the
games of ``benchmarks.coverage``; below, only where a guide is borne out by the evaluations."""
UNGUIDED = 8
"""Evaluations per feature from which a guide is not asked for: they cost less than they tell."""
FLOOR = 0.3
"""Prior variance of a feature to which the guide gives nothing, relative to the mean. Of 0.1, 0.3 and
1.0 the one of highest pool fidelity on notes for ``embedded:health``, by little."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelShap(GuidedMethod):
    """Shapley values estimated from a designed sample of coalitions.

    Solves ``min sum_S w(S) (v(S) - v(empty) - sum_{i in S} score[i])^2`` with ``sum score = v(N)
    - v(empty)`` held exactly, ``w(S)`` the Shapley kernel ``(n-1) / (C(n,|S|) |S| (n-|S|))``.

    Coalitions come with their complements and without replacement; sizes that the budget covers
    are taken whole, and each pair is weighted by the inverse of its inclusion probability. Of eight
    candidates for each place that one is taken which tells most of what the others leave open. With
    ``design="leverage"`` every size gets the same share, as in Leverage SHAP (the leverage scores of
    the problem are ``1 / C(n,|S|)``). The default ``"balanced"`` draws by the geometric mean of
    leverage score and kernel weight, so small and large coalitions more often; on the games of
    ``benchmarks/shapley_error.py`` it was the more exact at 10 to 40 evaluations a feature, and as
    exact elsewhere. With 2^n evaluations either is exact.

    The fit is shrunk towards the equal split by a ridge, averaged over all strengths by how likely
    the evaluations make each: much where they are few or say little, hardly where they are many,
    not at all where they are all. So more evaluations do not make the expected error larger.

    Below 8 evaluations a feature, where the model gives gradients, a cheap integrated gradient
    serves as a guide: a second fit lets the features it points to differ more from the equal
    split, and along its direction. Both fits are averaged by their evidence, so a guide that the
    evaluations contradict has no say; with many evaluations it has none in any case.

    Standard errors: sandwich over pairs, each pair's residual inflated by its leverage (HC3), and
    deflated by the finite population factor, so that they vanish as the sample becomes the whole;
    and the bias of shrinking. Rather too large than too small: pairs spread over the features err
    less than pairs drawn one by one, of which the sandwich thinks. NaN below 3 evaluations a
    feature, unless the evidence is for the guide.

    Cost: the budget. By default min(2^n, max(8 n, 256) + 2) evaluations; with a guide min(2^n,
    max(1.5 n, 256) + 2) and the guide's 7 gradient passes. The scores add up by construction,
    which is no evidence of accuracy: read the standard errors.

    Args:
        design: how the budget is shared among coalition sizes, ``balanced`` or ``leverage``.
        guide: whether a gradient guides the fit where evaluations are few and the model gives one.

    Lundberg & Lee (2017), arXiv:1705.07874; Covert & Lee (2021), arXiv:2012.01536; Musco & Witter
    (2025), arXiv:2410.01917.

    Example:
        >>> from whence.games.game import FunctionGame
        >>> game = FunctionGame(3, lambda S: 2.0 * S[:, 0] + S[:, 1] * S[:, 2])
        >>> KernelShap().estimate(game, budget=8, seed=0).scores[:, 0].round(9).tolist()
        [2.0, 0.5, 0.5]
    """

    design: str = "balanced"
    guide: bool = True
    quantity: ClassVar[str] = "Shapley value"
    rank: ClassVar[int] = 20

    def __post_init__(self) -> None:
        if self.design not in DESIGNS:
            raise unknown("design", self.design, DESIGNS)

    def least(self, n: int) -> int:
        """N + 2, or 2^n where that is less: fewer samples cannot tell the features apart."""
        return min(1 << n, n + 2)

    def default_budget(self, n: int) -> int:
        """max(8 n, 256) + 2, or 2^n where that is less."""
        return min(1 << n, max(UNGUIDED * n, 256) + 2)

    def guided_budget(self, n: int) -> int:
        """max(1.5 n, 256) + 2, or 2^n where that is less."""
        return min(1 << n, max(3 * n // 2, 256) + 2)

    def wants_guide(self, n: int, budget: int) -> bool:
        """Below 8 evaluations a feature, unless they are all there are."""
        return self.guide and budget < min(1 << n, UNGUIDED * n + 2)

    def estimate(
        self,
        game: Game,
        *,
        budget: int,
        seed: int,
        guide: Float[np.ndarray, "n k"] | None = None,
    ) -> Estimate:
        """See :class:`KernelShap`."""
        n, k = game.n, game.k
        ends = game(np.stack([np.ones(n, dtype=bool), np.zeros(n, dtype=bool)]))
        full, empty = ends[0], ends[1]
        span = full - empty
        if n == 1:
            return _estimate(span[None, :], full, empty, np.zeros((1, k)), ())
        rng = np.random.default_rng(seed)
        half, inclusion, weight = pair_sample(n, (budget - 2) // 2, rng, design=self.design)
        values = game(np.concatenate([half, ~half]))
        # A pair's mean residual cancels in the normal equations; only its odd part is left.
        odd = (values[: len(half)] - values[len(half) :]) / 2
        # The equal split explains (|S| / n - (n - |S|) / n) / 2 = |S| / n - 1/2 of the span of a
        # pair's odd part; the fit is to the rest.
        target = odd - (half.mean(axis=1)[:, None] - 0.5) * span
        scores, errors = np.empty((n, k)), np.empty((n, k))
        borne_out = np.zeros(k)
        for output in range(k):
            fits = [
                ridge_posterior(
                    half.astype(np.float64), target[:, output], weight, inclusion, scale
                )
                for scale in _scales(n, None if guide is None else guide[:, output])
            ]
            fit, shares = average(fits)
            scores[:, output] = span[output] / n + fit.effects
            errors[:, output] = fit.std_errors
            borne_out[output] = shares[1:].sum()
        sampled = bool(np.any(inclusion < 1))
        notes: list[str] = []
        if guide is not None:
            notes.append(
                "guided by integrated gradients; share of the guided fit by its evidence: "
                + ", ".join(f"{100 * share:.0f} %" for share in borne_out)
            )
        # Where nothing moved there is no error to speak of, and more evaluations are no advice.
        moved = np.ptp(np.concatenate([values, ends]), axis=0) > 0
        unsure = (borne_out < 0.5) & moved & (len(values) < RELIABLE * n) & sampled
        errors[:, unsure] = np.nan
        return _estimate(scores, full, empty, errors, tuple(notes), shrunk=bool(unsure.any()))


def _scales(n: int, guide: Float[np.ndarray, " n"] | None) -> list[Float[np.ndarray, "n r"]]:
    """Square roots of the prior covariances of the deviations from the equal split, which sum to 0.

    The first is the same for every feature; with a guide the second has variances that grow with
    its size, and the guide itself as one more direction.
    """
    scales = [np.eye(n) - 1.0 / n]
    # A guide that says the same of all features says nothing.
    if guide is not None and np.ptp(guide) > 0:
        spread = np.sqrt(np.abs(guide) / np.abs(guide).mean() + FLOOR)
        size = np.linalg.norm(spread)
        # Independent effects of these variances, given that they add up to zero.
        apart = np.diag(spread) - np.outer(spread**2, spread) / size**2
        direction = guide - guide.mean()
        along = size * direction / np.linalg.norm(direction)
        scales.append(np.concatenate([apart, along[:, None]], axis=1))
    return scales


def _estimate(
    scores: Float[np.ndarray, "n k"],
    full: Float[np.ndarray, " k"],
    empty: Float[np.ndarray, " k"],
    errors: Float[np.ndarray, "n k"],
    notes: tuple[str, ...],
    *,
    shrunk: bool = False,
) -> Estimate:
    if shrunk:
        # Measured, they cover the largest scores in as few as 5 of 10 cases: worse than none.
        notes = (
            *notes,
            f"fewer evaluations than {RELIABLE} per feature: scores are shrunk towards the equal "
            "split by an unknown amount, so no standard error is given (NaN)",
        )
    return Estimate(
        scores=scores,
        values=full,
        base_values=empty,
        std_errors=errors,
        additive=True,
        by_construction=True,
        outcome="budget_exhausted" if shrunk else "converged",
        advice=(f"raise the budget to {RELIABLE} evaluations per feature or more",)
        if shrunk
        else (),
        notes=notes,
    )
