"""The best additive fit on a pool: how far any list of words can carry an answer.

Model: v(S) beyond the size of S is the sum of a weight for each present feature, plus what no
such sum can say. The weights have a normal prior; the two variances are found by restricted
maximum likelihood, as heritability is, so that the share of variance that is additive can be
told even with more features than masks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import chi2

from whence.core.measurements import Interval
from whence.evaluation.mask_pool import Pool

__all__ = ["AdditiveFit", "additive_fit", "beyond_size"]


@dataclass(frozen=True, slots=True, eq=False)
class AdditiveFit:
    """Weights, how sure they are, and the share of the variance that is additive.

    Attributes:
        weights, errors: ``[n]`` and their standard errors, in the output's unit, each apart from
            the effect of the mask's size: what a feature adds beyond the mean feature.
        slope: effect of the mean feature: the slope of v(S) against the size of S.
        share: share of the variance of v(S) beyond size that a sum over features explains.
        interval: interval of the share, by profile likelihood; ``None`` where it is exact.
        slope_error: standard error of the slope.
        varies: whether anything is left of v(S) once the size of S is regressed out.
        reach: correlation of such a fit with masks it was not fitted to; ``None`` where a
            pool has too few for that.
    """

    weights: Float[np.ndarray, " n"]
    errors: Float[np.ndarray, " n"]
    share: float
    interval: Interval | None
    reach: float | None
    slope: float = 0.0
    slope_error: float = 0.0
    varies: bool = True


def beyond_size(
    masks: Bool[np.ndarray, "m n"], values: Float[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, " m"]]:
    """Masks and answers with the size of the mask, and its square, regressed out of both."""
    # As a share: the columns 1, s and s^2 then have like sizes, and the rank below can be read off.
    size = masks.sum(axis=1) / max(1, masks.shape[1])
    # Pools of short texts may hold one or two sizes, whose columns depend on each other; an
    # orthonormal basis of what they span has no such case.
    basis, singular, _ = np.linalg.svd(np.stack([np.ones_like(size), size, size**2], axis=1), False)
    # Singular values a billionth of the first are rounding: a direction that the sizes lack.
    basis = basis[:, singular > 1e-9 * singular[0]] if len(singular) else basis
    design = masks.astype(np.float64)
    return design - basis @ (basis.T @ design), values - basis @ (basis.T @ values)


def additive_fit(pool: Pool, output: int = 0) -> AdditiveFit:
    """Fit additive weights to a pool, and say what share of its variance they carry.

    The share of a complete pool is exact: 1 - residual / total of least squares. Cost: none.
    Source of the estimator: restricted maximum likelihood, Patterson & Thompson (1971),
    doi:10.1093/biomet/58.3.545.
    """
    values = pool.values[:, output]
    fit = _fit(pool.masks, values, exact=pool.complete)
    reach = None
    # A half of fewer than four masks has nothing left once three terms of size are regressed out.
    if len(pool) >= 8 and not pool.complete:
        halves = pool.halves()
        correlations = [
            _correlation(judge, _fit(learner.masks, learner.values[:, output]).weights, output)
            for learner, judge in (halves, halves[::-1])
        ]
        reach = float(np.mean(correlations))
    elif pool.complete:
        # A least-squares fit correlates with what it was fitted to by the root of the share
        # explained.
        reach = float(np.sqrt(max(0.0, fit.share)))
    sizes = pool.masks.sum(axis=1)
    varies = len(pool) > 0 and np.ptp(sizes) > 0
    slope, slope_error = _line(sizes, values) if varies else (0.0, 0.0)
    return replace(fit, reach=reach, slope=slope, slope_error=0.0 if pool.complete else slope_error)


def _line(sizes: Int[np.ndarray, " m"], values: Float[np.ndarray, " m"]) -> tuple[float, float]:
    """The slope of values against sizes, and its standard error."""
    centred = sizes - sizes.mean()
    spread = float(centred @ centred)
    slope = float(centred @ values) / spread
    rest = values - values.mean() - slope * centred
    freedom = max(1, len(values) - 2)
    return slope, float(np.sqrt(rest @ rest / freedom / spread))


def _correlation(judge: Pool, weights: Float[np.ndarray, " n"], output: int) -> float:
    design, response = beyond_size(judge.masks, judge.values[:, output])
    sums = design @ weights
    scale = float(np.linalg.norm(sums) * np.linalg.norm(response))
    return 0.0 if scale <= 1e-12 else float(sums @ response) / scale


def _fit(
    masks: Bool[np.ndarray, "m n"], values: Float[np.ndarray, " m"], *, exact: bool = False
) -> AdditiveFit:
    n = masks.shape[1]
    design, response = beyond_size(masks, values)
    total = float(response @ response)
    # Squares of a relative rounding of 1e-10: the answers do not vary beyond size.
    if total <= 1e-20 * max(1.0, float(values @ values)):
        return AdditiveFit(np.zeros(n), np.zeros(n), 0.0, None, None, varies=False)
    # In the coordinates left.T @ response the model falls apart into independent normal variables
    # of variance share * eigen + (1 - share): no matrix is inverted for each share that is tried.
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    nonzero = singular > 1e-9 * singular.max(initial=0.0)
    left, singular, right = left[:, nonzero], singular[nonzero], right[nonzero]
    along = left.T @ response
    if exact:
        weights = right.T @ (along / singular)
        share = float(along @ along) / total
        return AdditiveFit(weights, np.zeros(n), min(1.0, share), None, None)
    # Directions of the response that no sum over features reaches, size apart.
    freedom = len(masks) - _size_terms(masks) - int(nonzero.sum())
    beyond = max(0.0, total - float(along @ along))
    # The eigenvalues then average 1 over all directions that size leaves, so `share` is the share
    # of the variance of an answer and not of a single weight.
    scale = float((singular**2).sum()) / max(1, len(masks) - _size_terms(masks))
    eigen = singular**2 / scale

    freedoms = len(eigen) + freedom

    def variance(share: float) -> float:
        """The overall variance that is likeliest with this share."""
        # Directions without a weight hold the remainder alone, of variance 1 - share.
        rest = beyond / max(1e-12, 1 - share) if freedom else 0.0
        return (float((along**2 / (share * eigen + (1 - share))).sum()) + rest) / freedoms

    def deviance(share: float) -> float:
        """-2 log restricted likelihood, the overall variance profiled out."""
        logs = float(np.log(share * eigen + (1 - share)).sum())
        logs += freedom * np.log(max(1e-12, 1 - share))
        # A perfect fit has a variance of 0, which has no logarithm; 1e-300 is near the least of
        # float64.
        return freedoms * np.log(max(variance(share), 1e-300 / freedoms)) + logs

    # At a share of 1 the likelihood has no finite value; a millionth below is 1 to any reader.
    top = 1 - 1e-6
    optimum = cast(
        "Any",
        minimize_scalar(deviance, bounds=(0.0, top), method="bounded", options={"xatol": 1e-6}),
    )
    share, lowest = float(optimum.x), float(optimum.fun)
    # The bounded search never asks at the ends of its interval, where the optimum often lies.
    for edge in (0.0, top):
        if deviance(edge) < lowest:
            share, lowest = edge, deviance(edge)
    interval = _profile(deviance, share, lowest, top)
    ratio = share / max(1e-12, 1 - share) / scale
    # The posterior mean of the weights (best linear unbiased prediction): a ridge whose strength is
    # the ratio of the two variances, so nothing is left to choose.
    shrunk = ratio * singular / (1 + ratio * singular**2)
    weights = right.T @ (shrunk * along)
    prior = variance(share) * share / scale
    # Posterior variance: the prior's, less what the masks told along each direction.
    learned = ratio * singular**2 / (1 + ratio * singular**2)
    posterior = prior * np.clip(1.0 - (right.T**2) @ learned, 0.0, None)
    return AdditiveFit(weights, np.sqrt(posterior), share, interval, None)


def _size_terms(masks: Bool[np.ndarray, "m n"]) -> int:
    # The columns 1, s and s^2 span as many directions as there are sizes, up to three.
    return min(3, len(np.unique(masks.sum(axis=1))))


def _profile(
    deviance: Callable[[float], float], share: float, lowest: float, top: float
) -> Interval:
    """Shares whose likelihood is not worse than the best by more than chi-square(1) allows."""
    cut = lowest + float(chi2.ppf(0.95, 1))

    def excess(at: float) -> float:
        return deviance(at) - cut

    def crossing(left: float, right: float) -> float:
        return float(cast("Any", brentq(excess, left, right)))

    low = 0.0 if share <= 0 or excess(0.0) <= 0 else crossing(0.0, share)
    high = top if share >= top or excess(top) <= 0 else crossing(share, top)
    # The search stops a millionth short of 1; an interval that reaches it is open to 1.
    high = 1.0 if high == top else high
    return Interval(low=low, high=high, level=0.95, how="profile likelihood")
