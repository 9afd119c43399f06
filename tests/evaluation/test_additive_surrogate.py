from __future__ import annotations

import numpy as np
import pytest

from whence.evaluation.additive_surrogate import additive_fit
from whence.evaluation.mask_pool import pool_of
from whence.evaluation.metrics.pool_fidelity import fidelities
from whence.evaluation.trust.calibration import additive_enough
from whence.games import FunctionGame


def _noise(masks, seed):
    """The same number for the same mask, whatever it is asked with."""
    return np.array([np.random.default_rng([seed, *mask.astype(int)]).normal() for mask in masks])


def _game(n, weights, noise, seed):
    return FunctionGame(n, lambda S: S @ weights + noise * _noise(S, seed))


def _beyond_size(n):
    """Variance of a weighted sum beyond size, for unit weights and sizes uniform on 1 .. n - 1."""
    sizes = np.arange(1, n)
    return np.mean(sizes * (n - sizes) / n)


@pytest.mark.parametrize("n", [10, *(pytest.param(n, marks=pytest.mark.slow) for n in (32, 64))])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_the_share_is_the_truth_on_average_and_its_interval_covers(n, share):
    shares, covered, runs = [], 0, 60
    size = 64 if n == 10 else 4 * n
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=n) if share else np.zeros(n)
        noise = np.sqrt(_beyond_size(n) * (1 / share - 1)) if share else 1.0
        fit = additive_fit(pool_of(_game(n, weights, noise, seed), size, seed=seed))
        shares.append(fit.share)
        spread = weights.var(ddof=1) * _beyond_size(n)
        truth = spread / (spread + noise**2)
        covered += fit.interval.low <= truth <= fit.interval.high
    # The weights drawn differ from run to run by about n**-1/2, and the masks tell no more.
    assert abs(np.mean(shares) - share) < 0.1
    assert covered / runs >= 0.85


def test_the_weights_errors_cover_the_weights():
    inside = total = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=20)
        fit = additive_fit(pool_of(_game(20, weights, 1.0, seed), 64, seed=seed))
        inside += np.count_nonzero(
            np.abs(fit.weights - (weights - weights.mean())) <= 2 * fit.errors
        )
        total += 20
    assert 0.9 <= inside / total <= 0.99


def test_a_complete_pool_is_exact():
    game = FunctionGame(4, lambda S: S @ np.array([1.0, 2.0, 0.0, -1.0]))
    fit = additive_fit(pool_of(game, 64))
    assert fit.share == pytest.approx(1.0)
    assert fit.interval is None
    assert fit.best == pytest.approx(1.0)
    # A parity has no additive part at all.
    parity = FunctionGame(4, lambda S: S.sum(axis=1) % 2 * 1.0)
    assert additive_fit(pool_of(parity, 64)).share == pytest.approx(0.0, abs=1e-12)


def test_pairs_are_no_sum():
    """v = [1 and 2] xor ...: the share of an answer that depends on combinations is small."""
    signs = np.random.default_rng(0).normal(size=(12, 12))
    game = FunctionGame(12, lambda S: np.einsum("mi,ij,mj->m", 2.0 * S - 1, signs, 2.0 * S - 1))
    fit = additive_fit(pool_of(game, 256, seed=1))
    assert fit.interval.high < 0.5


def test_a_constant_game_has_nothing_to_explain():
    fit = additive_fit(pool_of(FunctionGame(9, lambda S: np.full(len(S), 0.3)), 32))
    assert fit.share == 0.0
    assert not fit.weights.any()


def _parity(S):
    return 1.0 - 2.0 * (S[:, :3].sum(axis=1) % 2)


def _majority(S):
    return (S[:, :7].sum(axis=1) >= 4) * 1.0


@pytest.mark.parametrize(("function", "truth"), [(_parity, 0.04), (_majority, 0.41)])
def test_a_pair_of_masks_counts_once(function, truth):
    """Both games lie in the differences of pairs, as sums do: counted twice, they pass for sums."""
    fits = [additive_fit(pool_of(FunctionGame(20, function), 64, seed=s)) for s in range(30)]
    covered = [fit.interval.low <= truth <= fit.interval.high for fit in fits]
    assert np.mean(covered) >= 0.9
    assert not any(additive_enough(fit) for fit in fits)


@pytest.mark.parametrize(("n", "size"), [(20, 32), (40, 64)])
def test_too_few_masks_give_no_share(n, size):
    fit = additive_fit(pool_of(FunctionGame(n, _parity), size))
    assert fit.share is None
    assert fit.interval is None
    assert fit.sampled
    assert not additive_enough(fit)


def test_no_scores_do_better_than_the_best():
    game = FunctionGame(12, lambda S: (S[:, 0] & S[:, 1]) * 1.0)
    pool = pool_of(game, 64)
    rows = np.vstack([np.random.default_rng(0).normal(size=(50, 12)), np.eye(12)])
    assert fidelities(pool.masks, pool.values[:, 0], rows).max() <= additive_fit(pool).best
