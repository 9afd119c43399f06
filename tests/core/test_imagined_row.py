"""Intervals near the edge: the exact one of a share, and how often the truth lies within."""

from __future__ import annotations

import math

import numpy as np
import pytest

from whence.core.errors import InputError
from whence.core.statistics.clopper_pearson import lower_bound, upper_bound
from whence.core.statistics.imagined_row import mean_interval, table_interval
from whence.students.certificate.fidelity import kappa, macro_f1, table_kappa, table_macro_f1


@pytest.mark.parametrize(("hits", "n"), [(30, 30), (0, 30), (29, 30), (57, 60), (150, 300)])
def test_a_share_has_the_interval_of_clopper_and_pearson(hits, n):
    found = mean_interval(np.repeat([1.0, 0.0], [hits, n - hits]), (0.0, 1.0))
    assert found.value == hits / n
    # 2,000 draws: an end is a quantile whose place varies by a seventh of the 2.5 % beyond it.
    assert found.lower == pytest.approx(lower_bound(hits, n, 0.975), abs=0.012)
    assert found.upper == pytest.approx(upper_bound(hits, n, 0.975), abs=0.012)


def test_two_that_always_agree_are_not_certain_to():
    labels = np.tile([0, 1], 30)
    for statistic in (table_kappa, table_macro_f1):
        found = table_interval(statistic, labels, labels)
        assert (found.value, found.n) == (1.0, 60)
        assert 0.8 < found.lower < 0.98
        assert found.upper == pytest.approx(1.0)


def test_values_are_those_of_the_rows_and_the_seed_gives_the_same_ends():
    rng = np.random.default_rng(3)
    a, b = rng.integers(4, size=50), rng.integers(4, size=50)
    for plain, statistic in ((kappa, table_kappa), (macro_f1, table_macro_f1)):
        found = table_interval(statistic, a, b, seed=7)
        assert found.value == pytest.approx(plain(a, b), abs=1e-14)
        assert found.lower < found.value < found.upper
        assert found == table_interval(statistic, a, b, seed=7)


def test_one_label_alone_has_no_kappa_and_no_interval():
    ones = np.ones(40, dtype=np.int64)
    found = table_interval(table_kappa, ones, ones)
    assert math.isnan(found.value)
    assert math.isnan(found.lower)
    assert math.isnan(mean_interval(np.zeros(0), (0.0, 1.0)).lower)


def test_values_beyond_the_ends_are_refused():
    with pytest.raises(InputError, match=r"expected values from 0\.0 to 1\.0, got 0\.5 to 1\.5"):
        mean_interval(np.array([0.5, 1.5]), (0.0, 1.0))
    # The last digits of a sum are no value beyond them.
    assert mean_interval(np.array([1.0, 1.0 + 1e-15]), (0.0, 1.0)).upper <= 1.0


@pytest.mark.parametrize("n", [30, 60, 120, 300])
@pytest.mark.parametrize("agreement", [0.97, 0.99])
def test_kappa_is_covered_near_one(agreement, n):
    """The full table is that of ``benchmarks/table_intervals.py``."""
    rng = np.random.default_rng(n)
    truth = 2 * agreement - 1  # two labels, equally often: chance agrees in half
    held = 0
    for run in range(120):
        a = rng.integers(2, size=n)
        b = np.where(rng.random(n) < agreement, a, 1 - a)
        found = table_interval(table_kappa, a, b, seed=run)
        held += found.lower <= truth <= found.upper
    # Of 120 runs at .95, fewer than 108 hold in one of a hundred; the bootstrap held in 28 to 115.
    assert held >= 108


@pytest.mark.parametrize("n", [30, 120])
def test_a_paired_difference_is_covered_near_the_edge(n):
    rng = np.random.default_rng(n)
    held = 0
    for run in range(120):
        # One text of a hundred is lost and one of two hundred won, so most samples hold neither.
        lost = rng.choice([-1.0, 0.0, 1.0], p=[0.005, 0.98, 0.015], size=n)
        found = mean_interval(lost, (-1.0, 1.0), seed=run)
        held += found.lower <= 0.01 <= found.upper
    assert held >= 108
