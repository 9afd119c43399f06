from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy import stats
from tests.evaluation.again import asked
from tests.zoo.families import FAMILIES

import whence
from whence.core import CapabilityError, OptionError
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import pool_of
from whence.evaluation.robustness.soft_stability import (
    SoftStability,
    decide_by_labels,
    lower_bound,
    revealed,
)
from whence.games import FunctionGame


def instance_of(n):
    game = FunctionGame(n, lambda S: S.sum(axis=1))
    return Instance(game, pool_of(game, 8))


def spoiled(coalitions):
    """The label turns whenever feature 5 is there."""
    return coalitions[:, 5].astype(np.int64)


def keeps(n, *kept):
    mask = np.zeros(n, dtype=bool)
    mask[list(kept)] = True
    return mask


def test_few_sets_are_all_tried():
    found = SoftStability(radius=2).measure(instance_of(8), keeps(8, 0, 1), spoiled)
    # 1 + 6 + 15 sets; 1 + 5 of them hold feature 5.
    assert found.value == pytest.approx(16 / 22)
    assert (found.n, found.interval) == (22, None)


def test_many_sets_are_drawn_uniformly_over_sets():
    n, radius = 40, 3
    free = n - 2
    total = sum(comb(free, j) for j in range(radius + 1))
    spoil = sum(comb(free - 1, j - 1) for j in range(1, radius + 1))
    found = SoftStability(radius=radius, draws=4000).measure(
        instance_of(n), keeps(n, 0, 1), spoiled
    )
    exact = 1 - spoil / total
    assert found.value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4000))
    assert found.interval.low < exact
    assert found.interval.high == 1.0
    sets, all_of_them = revealed(keeps(n, 0, 1), radius, 4000, 0)
    assert not all_of_them
    sizes = sets.sum(axis=1) - 2
    expected = [4000 * comb(free, j) / total for j in range(2, 4)]
    assert (
        stats.chisquare(
            [(sizes < 3).sum(), (sizes == 3).sum()], [4000 - expected[1], expected[1]]
        ).pvalue
        > 1e-3
    )
    assert sets[:, :2].all()
    once = SoftStability(radius=3, draws=50).measure(instance_of(n), keeps(n, 0), spoiled)
    twice = SoftStability(radius=3, draws=50).measure(instance_of(n), keeps(n, 0), spoiled)
    assert once.to_json() == twice.to_json()


def test_every_set_once_where_all_are_tried():
    sets, exact = revealed(keeps(5, 2), 4, 16, 0)
    assert exact
    assert len(np.unique(sets, axis=0)) == 16
    assert revealed(keeps(5, 0, 1, 2, 3, 4), 3, 5, 0)[0].tolist() == [[True] * 5]
    assert len(list(combinations(range(4), 2))) == (sets.sum(axis=1) == 3).sum()


@pytest.mark.parametrize(("held", "tried"), [(29, 29), (15, 30), (1, 40), (0, 7)])
def test_the_bound_is_the_one_that_inverts_the_binomial_test(held, tried):
    low = lower_bound(held, tried)
    if held == 0:
        assert low == 0.0
    else:
        assert stats.binom.sf(held - 1, tried, low) == pytest.approx(0.05)


def test_labels_of_models():
    model, instance, found, _ = asked(FAMILIES["bert"]().pair)
    decide = decide_by_labels(instance.question)
    whole = decide(np.ones((1, instance.n), dtype=bool))[0]
    assert model.labels[whole] == instance.question.decision.text
    measured = SoftStability(radius=2, draws=20).measure(
        instance, None, decide, scores=np.array(found.scores[:, 0])
    )
    assert 0 <= measured.value <= 1
    assert measured.n == 20
    labelled = whence.load(lambda ts: [[float("late" in t), 0.5] for t in ts], labels=["a", "b"])
    late = asked(labelled, "so late again today")[1]
    sure = SoftStability().measure(late, keeps(4, 1), decide_by_labels(late.question))
    assert (sure.value, sure.n) == (1.0, 8)
    unsure = SoftStability().measure(late, keeps(4, 0), decide_by_labels(late.question))
    assert unsure.value == 0.5


def test_refusals():
    single = asked(whence.load(lambda ts: [float(len(t)) for t in ts]))[1]
    with pytest.raises(CapabilityError, match="labels"):
        decide_by_labels(single.question)
    with pytest.raises(OptionError, match="radius=0"):
        SoftStability(radius=0).measure(instance_of(8), keeps(8, 0), spoiled)
    with pytest.raises(OptionError, match="scores"):
        SoftStability().measure(instance_of(8), None, spoiled)
