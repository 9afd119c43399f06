"""Proportions: how one without texts reads, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from whence.core.errors import OptionError
from whence.core.statistics.proportions import (
    bootstrap,
    check_shares,
    least_certified,
    proportion,
)


def test_a_share_of_nothing_is_not_measured():
    nothing = proportion(0, 0)
    assert str(nothing) == "not measured (n=0)"
    assert math.isnan(nothing.value)


@pytest.mark.parametrize(
    ("hits", "n", "level"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 0.0), (1, 3, 1.0)]
)
def test_more_hits_than_texts_and_levels_out_of_range_are_refused(hits, n, level):
    with pytest.raises(OptionError, match=f"got {hits} of {n} at {level}"):
        proportion(hits, n, level=level)


@pytest.mark.parametrize(
    ("target", "level"), [(0.0, 0.95), (1.0, 0.95), (0.9, 0.5), (0.9, 1.0), (math.nan, 0.95)]
)
def test_shares_out_of_range_are_refused(target, level):
    with pytest.raises(OptionError, match=f"got target={target}, level={level}"):
        check_shares(target, level)
    check_shares(0.9, 0.95)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_no_number_of_texts_certifies_nothing_or_everything(target):
    with pytest.raises(OptionError, match="between 0 and 1, got"):
        least_certified(target)


def test_undefined_draws_are_left_out_of_the_interval():
    def share(rows):
        return float(np.mean(rows)) if 0 in rows else float("nan")

    interval = bootstrap(share, 4, draws=200)
    assert math.isfinite(interval.lower)
    assert interval.lower <= interval.value <= interval.upper
    nowhere = bootstrap(lambda rows: float("nan"), 4, draws=10)
    assert math.isnan(nowhere.lower)
    assert math.isnan(nowhere.upper)
    assert math.isnan(bootstrap(share, 0).value)
