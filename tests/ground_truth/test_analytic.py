"""Closed forms of the analytic games against brute force over every coalition."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from ground_truth.analytic import (
    conjunction,
    disjunction,
    duplicated,
    linear,
    majority,
    parity,
    saturation,
    symmetric,
    threshold,
)

from whence.attribution import KernelShap, LeaveOneOut, ShapleyValues
from whence.core.errors import OptionError

GAMES = {
    "linear": linear([2.0, -1.0, 0.0, 0.5], offset=3.0),
    "and": conjunction(5, [0, 2, 3]),
    "or": disjunction(5, [1, 4]),
    "or of one": disjunction(3, [1]),
    "xor of two": parity(4, [0, 3]),
    "xor of three": parity(5, [0, 2, 4]),
    "majority of five": majority(6, [0, 1, 2, 4, 5]),
    "majority of four": majority(5, [0, 1, 2, 4]),
    "at least two of four": threshold(5, [0, 1, 2, 4], 2),
    "saturation": saturation(5, [0, 1, 3], 1),
    "saturation at two": saturation(5, [0, 1, 3], 2),
    "duplicated": duplicated([1.0, 2.0, -0.5], 1),
    "any profile": symmetric(5, [0, 1, 4], [0.3, -1.0, 2.0, 0.7]),
    "sum": linear([1.0, 0.0, 2.0, 0.0])
    + 3.0 * conjunction(4, [1, 3])
    + -2.0 * parity(4, [0, 1, 2]),
}


def table(game):
    n = game.n
    rows = ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1).astype(bool)
    return game.game()(rows)[:, 0]


def brute(game):
    """Shapley values, leave-one-out scores and Shapley interactions, from their definitions."""
    n, v = game.n, table(game)
    shapley, pairs = np.zeros(n), np.zeros((n, n))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for chosen in combinations(others, size):
                s = sum(1 << j for j in chosen)
                shapley[i] += weight * (v[s | 1 << i] - v[s])
    for i, j in combinations(range(n), 2):
        others = [k for k in range(n) if k not in (i, j)]
        for size in range(n - 1):
            weight = factorial(size) * factorial(n - size - 2) / factorial(n - 1)
            for chosen in combinations(others, size):
                s = sum(1 << k for k in chosen)
                both, one, two = v[s | 1 << i | 1 << j], v[s | 1 << i], v[s | 1 << j]
                pairs[i, j] += weight * (both - one - two + v[s])
    full = (1 << n) - 1
    loo = np.array([v[full] - v[full ^ 1 << i] for i in range(n)])
    return shapley, loo, pairs + pairs.T


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_closed_forms_agree_with_brute_force(game):
    shapley, loo, pairs = brute(game)
    np.testing.assert_allclose(game.shapley, shapley, atol=1e-12)
    np.testing.assert_allclose(game.leave_one_out, loo, atol=1e-12)
    np.testing.assert_allclose(game.interactions, pairs, atol=1e-12)


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_methods_reach_the_closed_forms(game):
    exact = ShapleyValues().estimate(game.game(), budget=1 << game.n, seed=0)
    np.testing.assert_allclose(exact.scores[:, 0], game.shapley, atol=1e-9)
    sampled = KernelShap().estimate(game.game(), budget=1 << game.n, seed=0)
    np.testing.assert_allclose(sampled.scores[:, 0], game.shapley, atol=1e-6)
    single = LeaveOneOut().estimate(game.game(), budget=game.n + 2, seed=0)
    np.testing.assert_allclose(single.scores[:, 0], game.leave_one_out, atol=1e-12)


def test_known_values():
    assert parity(3, [0, 1]).shapley.tolist() == [0.0, 0.0, 0.0]
    assert disjunction(2, [0, 1]).leave_one_out.tolist() == [0.0, 0.0]
    assert disjunction(2, [0, 1]).shapley.tolist() == [0.5, 0.5]
    assert conjunction(3, [0, 1]).shapley.tolist() == [0.5, 0.5, 0.0]
    assert duplicated([4.0], 0).shapley.tolist() == [2.0, 2.0]


def test_refusals():
    with pytest.raises(OptionError, match="distinct"):
        conjunction(3, [0, 0])
    with pytest.raises(OptionError, match="distinct"):
        disjunction(3, [3])
    with pytest.raises(OptionError, match="profile"):
        symmetric(3, [0, 1], [0.0, 1.0])
    with pytest.raises(OptionError, match="threshold"):
        threshold(3, [0, 1], 3)
    with pytest.raises(OptionError, match="saturation"):
        saturation(3, [0, 1], 0)
    with pytest.raises(OptionError, match="cannot be added"):
        linear([1.0]) + linear([1.0, 2.0])
    with pytest.raises(OptionError, match="there is none"):
        duplicated([1.0], 1)
