"""The best additive fit on a pool: how far any list of words can carry an answer.

Model: v(S) beyond the size of S is the sum of a weight for each present feature, plus what no
such sum can say. The weights have a normal prior; the two variances are found by restricted
maximum likelihood, as heritability is, so that the share of variance that is additive can be
told even with more features than masks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.core.measurements import Interval
from whence.evaluation.mask_pool import Pool

__all__ = ["AdditiveFit", "additive_fit", "beyond_size"]


LEAST_FREEDOM = 8
RESAMPLES = 1_000
"""Draws for the interval of the share: its ends then have a standard error of half a percent of the
probability that they cut off."""


@dataclass(frozen=True, slots=True, eq=False)
class AdditiveFit:
    """Weights, how sure they are, and the share of the variance that is additive.

    Attributes:
        weights, errors: ``[n]`` and their standard errors, in the output's unit, each apart from
            the effect of the mask's size: what a feature adds beyond the mean feature.
        slope: effect of the mean feature: the slope of v(S) against the size of S.
        share: share of the variance of v(S) beyond size that a sum over features explains.
        interval: interval of the share, by profile likelihood; ``None`` where it is exact, or where
            ``sampled`` says that the pool is too small for one.
        slope_error: standard error of the slope.
        varies: whether anything is left of v(S) once the size of S is regressed out.
        best: largest correlation that any sum over features has with these answers, size apart.
        sampled: whether the pool holds some of the masks only.
    """

    weights: Float[np.ndarray, " n"]
    errors: Float[np.ndarray, " n"]
    share: float | None
    interval: Interval | None
    best: float = 0.0
    slope: float = 0.0
    slope_error: float = 0.0
    varies: bool = True
    sampled: bool = False


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
    sizes = pool.masks.sum(axis=1)
    varies = len(pool) > 0 and np.ptp(sizes) > 0
    slope, slope_error = _line(sizes, values) if varies else (0.0, 0.0)
    return replace(fit, slope=slope, slope_error=0.0 if pool.complete else slope_error)


def _line(sizes: Int[np.ndarray, " m"], values: Float[np.ndarray, " m"]) -> tuple[float, float]:
    """The slope of values against sizes, and its standard error."""
    centred = sizes - sizes.mean()
    spread = float(centred @ centred)
    slope = float(centred @ values) / spread
    rest = values - values.mean() - slope * centred
    freedom = max(1, len(values) - 2)
    return slope, float(np.sqrt(rest @ rest / freedom / spread))


def _fit(
    masks: Bool[np.ndarray, "m n"], values: Float[np.ndarray, " m"], *, exact: bool = False
) -> AdditiveFit:
    n = masks.shape[1]
    design, response = beyond_size(masks, values)
    total = float(response @ response)
    # Squares of a relative rounding of 1e-10: the answers do not vary beyond size.
    if total <= 1e-20 * max(1.0, float(values @ values)):
        return AdditiveFit(np.zeros(n), np.zeros(n), 0.0, None, varies=False, sampled=not exact)
    if exact:
        left, singular, right = _directions(design)
        along = left.T @ response
        weights = right.T @ (along / singular)
        share = min(1.0, float(along @ along) / total)
        return AdditiveFit(weights, np.zeros(n), share, None, best=float(np.sqrt(share)))
    # Half the difference of a pair's two answers holds every sum over features, half their sum holds
    # none (Covert & Lee 2021, arXiv:2012.01536, section 3.3). So a pair is one independent answer
    # about weights; counted as two, the parity of three features would pass for a sum.
    odd = (response[0::2] - response[1::2]) / np.sqrt(2.0)
    even = (response[0::2] + response[1::2]) / np.sqrt(2.0)
    left, singular, right = _directions((design[0::2] - design[1::2]) / np.sqrt(2.0))
    along = left.T @ odd
    # The differences lose one direction to size, where sizes differ from their complements'.
    directions = len(odd) - int(np.any(2 * masks[0::2].sum(axis=1) != n))
    beyond = max(0.0, float(odd @ odd) - float(along @ along))
    freedom = max(0, directions - len(singular))
    scale = float((singular**2).sum()) / max(1, directions) or 1.0
    fraction, variance = _likeliest(along, singular**2 / scale, beyond, freedom)
    # The posterior mean of the weights (best linear unbiased prediction): a ridge whose strength is
    # the ratio of the two variances, so nothing is left to choose.
    ratio = fraction / (1 - fraction) / scale
    learned = ratio * singular**2 / (1 + ratio * singular**2)
    weights = right.T @ (learned * along / singular)
    # Posterior variance: the prior's, less what the masks told along each direction.
    posterior = variance * fraction / scale * np.clip(1.0 - (right.T**2) @ learned, 0.0, None)
    best = float(np.sqrt(min(1.0, float(along @ along) / total)))
    share, interval = None, None
    if freedom >= LEAST_FREEDOM:
        share, interval = _share(odd, even, directions * beyond / freedom, freedom)
    return AdditiveFit(weights, np.sqrt(posterior), share, interval, best, sampled=True)


def _share(
    odd: Float[np.ndarray, " pairs"], even: Float[np.ndarray, " pairs"], rest: float, freedom: int
) -> tuple[float, Interval]:
    """The share that is additive, adjusted for the features that were fitted, and its interval.

    Formula: 1 - (rest + even^2) / (odd^2 + even^2), where ``rest`` are the squares of the
    differences beyond all sums, scaled up from the ``freedom`` directions that the fit left to all
    of them: an adjusted R^2. The interval draws pairs anew for the squares, and the variance beyond
    the sums from its chi-square distribution.
    """
    share = float(np.clip(1 - (rest + even @ even) / (odd @ odd + even @ even), 0.0, 1.0))
    rng = np.random.default_rng(0)
    # Three fewer than there are: the terms of size took as many.
    count = len(odd) - 3
    drawn = rng.integers(len(odd), size=(RESAMPLES, count))
    totals = (odd**2 + even**2)[drawn].sum(axis=1)
    rests = (even**2)[drawn].sum(axis=1)
    rests += rest * count / len(odd) * freedom / rng.chisquare(freedom, size=RESAMPLES)
    shares = np.clip(1 - rests / np.where(totals > 0, totals, 1.0), 0.0, 1.0)
    low, high = np.quantile(shares, [0.025, 0.975])
    how = f"{RESAMPLES} draws of the {len(odd)} pairs of masks, {freedom} degrees of freedom"
    return share, Interval(
        low=min(share, float(low)), high=max(share, float(high)), level=0.95, how=how
    )


def _likeliest(
    along: Float[np.ndarray, " r"], eigen: Float[np.ndarray, " r"], beyond: float, freedom: int
) -> tuple[float, float]:
    """The additive fraction of the differences' variance by restricted likelihood, and the variance.

    Along each direction the variance is fraction * eigen + (1 - fraction) times the overall one,
    which is profiled out. At a fraction of 1 the likelihood has no finite value; a millionth below
    is 1 to any reader.
    """
    at = np.concatenate([np.linspace(0, 0.99, 200), 1 - np.geomspace(0.01, 1e-6, 100)[1:]])[:, None]
    shape = at * eigen + (1 - at)
    squares = (along**2 / shape).sum(axis=1) + beyond / (1 - at[:, 0]) * bool(freedom)
    count = len(along) + freedom
    # A perfect fit has a variance of 0, which has no logarithm; 1e-300 is near the least of float64.
    deviance = count * np.log(np.maximum(squares, 1e-300)) + np.log(shape).sum(axis=1)
    best = int(np.argmin(deviance + freedom * np.log(1 - at[:, 0])))
    return float(at[best, 0]), float(squares[best]) / max(1, count)


def _directions(
    design: Float[np.ndarray, "m n"],
) -> tuple[Float[np.ndarray, "m r"], Float[np.ndarray, " r"], Float[np.ndarray, "r n"]]:
    """The singular value decomposition of a design, directions of mere rounding left out."""
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    nonzero = singular > 1e-9 * singular.max(initial=0.0)
    return left[:, nonzero], singular[nonzero], right[nonzero]
