"""Linear datamodel: the additive model that predicts what the removal of random halves does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool
from scipy.linalg import hadamard

from whence.attribution.method import Estimate, GameMethod
from whence.attribution.perturbation.ridge_posterior import ridge_posterior
from whence.games.game import Game

__all__ = ["LinearDatamodel"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearDatamodel(GameMethod):
    """How far the target changes when a feature is removed, averaged over random halves of the rest.

    The coefficients of ``v(S) ~ intercept + sum_{i in S} score[i]`` by least squares over all
    coalitions, each feature present with probability 1/2: of all additive models the one that
    predicts best what removals do. They are the Banzhaf values. Positive raised the target; in the
    target's unit. They do not add up to ``v(N) - v(empty)``, which the Shapley value shares out.

    Datamodels and ContextCite draw coalitions independently and fit a Lasso. Here they are rows of
    Hadamard matrices, with columns drawn and flipped at random: each alone is as random as before,
    but every two features are together as often as apart (Plackett & Burman 1946,
    doi:10.1093/biomet/33.4.305). The complements follow, so that pairs of features that act
    together do not disturb the scores. The fit is shrunk by a ridge averaged over all strengths by
    how likely the evaluations make each, which gives every feature a standard error; a Lasso of
    independent draws predicts less well (``benchmarks.context_attribution``).

    Standard errors: HC3 sandwich, with the bias that the prior expects of shrinking. The residuals
    of a coalition and its complement may be equal but for the sign, so the variance is doubled,
    which bounds it whatever they are: where features act together in pairs, the errors are too
    large. They vanish as the sample becomes the whole. NaN below one matrix with its complements.

    Cost: the budget, by default ``min(2^n, max(34, 2 m + 2))``, ``m`` the least power of 2 above
    ``n``: 34 evaluations for 12 features. With 2^n the scores are exact.

    Ilyas, Park, Engstrom, Leclerc & Madry (2022), arXiv:2202.00622; Cohen-Wang, Shah, Georgiev &
    Madry (2024), arXiv:2409.00729.

    Example:
        >>> from whence.games.game import FunctionGame
        >>> game = FunctionGame(3, lambda S: 2.0 * S[:, 0] + S[:, 1] * S[:, 2])
        >>> LinearDatamodel().estimate(game, budget=8, seed=0).scores[:, 0].round(9).tolist()
        [2.0, 0.5, 0.5]
    """

    quantity: ClassVar[str] = "change by removal, averaged over random halves of the rest"
    rank: ClassVar[int] = 25

    def least(self, n: int) -> int:
        """N + 2, or 2^n where that is less: fewer samples cannot tell the features apart."""
        return min(1 << n, n + 2)

    def default_budget(self, n: int) -> int:
        """One matrix with its complements and both ends, 34 at least; or 2^n where that is less."""
        return min(1 << n, max(34, _folded(n)))

    def estimate(self, game: Game, *, budget: int, seed: int) -> Estimate:
        """See :class:`LinearDatamodel`."""
        n = game.n
        ends = game(np.stack([np.ones(n, dtype=bool), np.zeros(n, dtype=bool)]))
        whole = budget >= 1 << n
        rows = _every(n) if whole else _sample(n, budget - 2, np.random.default_rng(seed))
        values = game(rows)
        design, target = rows - rows.mean(axis=0), values - values.mean(axis=0)
        weight, inclusion = np.ones(len(rows)), np.full(len(rows), len(rows) * 0.5**n)
        fits = [
            ridge_posterior(design, target[:, output], weight, inclusion, np.eye(n))
            for output in range(game.k)
        ]
        errors = np.sqrt(2) * np.stack([fit.std_errors for fit in fits], axis=1)
        notes = (
            "which removals change the target: scores are for random halves of the features present, "
            "and do not share out the difference between all and none",
        )
        if budget < _folded(n) and not whole:
            # Measured, they cover as few as 6 of 10 scores: worse than none.
            errors[:] = np.nan
            notes = (
                *notes,
                f"fewer than {_folded(n)} evaluations: no standard error is given (NaN)",
            )
        return Estimate(
            scores=np.stack([fit.effects for fit in fits], axis=1),
            values=ends[0],
            base_values=ends[1],
            std_errors=errors,
            notes=notes,
        )


def _order(n: int) -> int:
    """The least power of 2 above n: the first column of a matrix is constant and tells nothing."""
    return 1 << n.bit_length()


def _folded(n: int) -> int:
    """Evaluations of one matrix, its complements and both ends."""
    return 2 * _order(n) + 2


def _every(n: int) -> Bool[np.ndarray, "coalitions n"]:
    return (np.arange(1 << n)[:, None] >> np.arange(n)) % 2 == 1


def _sample(n: int, count: int, rng: np.random.Generator) -> Bool[np.ndarray, "count n"]:
    """Distinct coalitions, each as likely as any other; matrix by matrix, then its complements."""
    # Of more than half of all, matrices would mostly repeat what is there.
    if 2 * count > 1 << n:
        half = rng.permutation(_every(n)[: 1 << (n - 1)])
        return np.stack([half, ~half], axis=1).reshape(-1, n)[:count]
    matrix = hadamard(_order(n)) > 0
    rows: dict[bytes, np.ndarray] = {}
    while len(rows) < count:
        columns = 1 + rng.permutation(len(matrix) - 1)[:n]
        block = rng.permutation(matrix[:, columns] ^ (rng.random(n) < 0.5))
        rows |= {row.tobytes(): row for row in (*block, *~block)}
    return np.stack(list(rows.values())[:count])
