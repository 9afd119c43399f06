"""Metrics against closed forms, and against slow, plain renderings of their definitions."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from scipy import stats
from tests.evaluation.instances import game_instance, linear, model_instance
from tests.samples import attribution

from whence.core import CapabilityError, OptionError, UndefinedError
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import pool_of
from whence.evaluation.metrics.aopc import Aopc, NormalisedAopc
from whence.evaluation.metrics.class_contrast import ClassContrast
from whence.evaluation.metrics.completeness_gap import CompletenessGap
from whence.evaluation.metrics.curves import area, chain_limits, random_along
from whence.evaluation.metrics.decision_flip import DecisionFlip
from whence.evaluation.metrics.infidelity import Infidelity, infidelity
from whence.evaluation.metrics.leave_one_out_correlation import (
    LeaveOneOutCorrelation,
    one_at_a_time,
)
from whence.evaluation.metrics.permutation_test import permutation_test
from whence.evaluation.metrics.pool_fidelity import PoolFidelity
from whence.evaluation.metrics.random_percentile import (
    ComprehensivenessPercentile,
    SufficiencyPercentile,
)
from whence.evaluation.metrics.removal_area import Deletion, Insertion
from whence.evaluation.metrics.sensitivity_n import SensitivityN, size_grid
from whence.evaluation.metrics.soft_erasure import (
    SoftComprehensiveness,
    SoftSufficiency,
    unit_scaled,
)
from whence.evaluation.metrics.spread import Entropy, Gini
from whence.games import FunctionGame

WEIGHTS = np.array([4.0, 3.0, 2.0, 1.0, 0.0, -1.0])


def _drop(answer, order, kept):
    """v with the first ``kept`` of an order removed, by the definition."""
    mask = np.ones((1, len(order)), dtype=bool)
    mask[0, list(order[:kept])] = False
    return float(answer(mask)[0])


def test_linear_games_are_told_exactly():
    """The true weights of a sum: every correlation is 1, every error 0, for any unit of scores."""
    instance = linear(WEIGHTS, bias=0.5)
    for scale in (1.0, 1e-3, 50.0):
        phi = scale * WEIGHTS
        assert PoolFidelity().measure(instance, phi).value == pytest.approx(1.0)
        assert SensitivityN().measure(instance, phi).value == pytest.approx(1.0)
        assert LeaveOneOutCorrelation().measure(instance, phi).value == pytest.approx(1.0)
        assert Infidelity().measure(instance, phi).value == pytest.approx(0.0, abs=1e-20)
        assert NormalisedAopc().measure(instance, phi).value == pytest.approx(1.0)
    assert CompletenessGap().measure(instance, WEIGHTS).value == pytest.approx(0.0)
    assert CompletenessGap().measure(instance, 2 * WEIGHTS).value == pytest.approx(1.0)
    assert NormalisedAopc().measure(instance, -WEIGHTS).value == pytest.approx(0.0)


def test_one_of_two_words_is_enough():
    """OR: no single removal changes anything, and the metric built on them says so."""
    instance = game_instance(3, lambda S: (S[:, 0] | S[:, 1]) + 0.1 * S[:, 2])
    found = LeaveOneOutCorrelation().measure(instance, np.array([0.5, 0.5, 0.1]))
    assert found.specification.options["redundant"] is True
    assert found.value == pytest.approx(
        -1.0
    )  # The true Shapley values are called wrong; hence the mark.
    assert one_at_a_time(instance) == pytest.approx(0.1 / 1.1)
    with pytest.raises(UndefinedError, match="no order to compare"):
        pure = game_instance(2, lambda S: S.any(axis=1).astype(float))
        LeaveOneOutCorrelation().measure(pure, np.array([0.5, 0.5]))


def test_two_words_are_needed_together():
    instance = game_instance(2, lambda S: S.all(axis=1).astype(float))
    assert one_at_a_time(instance) == 2.0
    for phi in ([0.5, 0.5], [1.0, 0.0]):
        assert Aopc().measure(instance, np.array(phi)).value == 1.0
        assert Deletion().measure(instance, np.array(phi)).value == pytest.approx(0.25)
    with pytest.raises(UndefinedError, match="alike in every order"):
        NormalisedAopc().measure(instance, np.array([0.5, 0.5]))


@pytest.mark.parametrize("seed", range(4))
def test_curves_by_their_definition(seed):
    rng = np.random.default_rng(seed)
    weights, phi = rng.normal(size=(2, 6))

    def answer(S):
        return np.tanh(S @ weights) + S[:, 0] * S[:, 3]

    instance = game_instance(6, answer)
    order = sorted(range(6), key=lambda i: -phi[i])
    whole = _drop(answer, order, 0)
    aopc = np.mean([whole - _drop(answer, order, k) for k in range(1, 7)])
    assert Aopc().measure(instance, phi).value == pytest.approx(aopc)
    steps = [_drop(answer, order, k) for k in range(7)]
    deletion = sum((a + b) / 2 / 6 for a, b in pairwise(steps))
    assert Deletion().measure(instance, phi).value == pytest.approx(deletion)
    steps = [_drop(answer, order[::-1], 6 - k) for k in range(7)]
    insertion = sum((a + b) / 2 / 6 for a, b in pairwise(steps))
    assert Insertion().measure(instance, phi).value == pytest.approx(insertion)
    # Limits and the mean over orders, by trying all of them.
    every = [
        np.mean([whole - _drop(answer, other, k) for k in range(1, 7)])
        for other in permutations(range(6))
    ]
    share = (aopc - min(every)) / (max(every) - min(every))
    found = NormalisedAopc().measure(instance, phi)
    assert found.value == pytest.approx(share)
    assert Aopc().measure(instance, phi).random == pytest.approx(np.mean(every))
    means = (np.mean(every) - min(every)) / (max(every) - min(every))
    assert found.random == pytest.approx(means)


def test_the_ends_of_a_curve_are_in_and_its_axis_is_a_share():
    for n in (2, 5, 40):
        instance = linear(np.ones(n))
        assert Deletion().measure(instance, np.arange(n) * 1.0).value == pytest.approx(n / 2)
        assert Deletion().measure(linear(np.ones(n) / n), np.ones(n)).value == pytest.approx(0.5)
    assert area(np.array([4.0, 0.0])) == 2.0


def test_beam_search_meets_the_limits_of_a_sum():
    weights = np.random.default_rng(0).normal(size=15)
    limits = chain_limits(linear(weights))
    assert not limits.exact
    ordered = np.sort(weights)
    best = np.mean([ordered[: 15 - k].sum() for k in range(1, 16)])
    worst = np.mean([ordered[::-1][: 15 - k].sum() for k in range(1, 16)])
    assert (limits.low, limits.high) == pytest.approx((best, worst))
    assert NormalisedAopc().measure(linear(weights), weights).value == pytest.approx(1.0)


def test_random_curves_are_estimated_from_a_small_pool():
    weights = np.random.default_rng(4).normal(size=30)
    found = [random_along(linear(weights, seed=seed)) for seed in range(20)]
    true = weights.sum() * np.arange(31) / 30
    assert np.mean(found, axis=0) == pytest.approx(true, abs=0.15 * abs(weights).sum() / 5)


@pytest.mark.parametrize("n", [5, 9])
def test_sensitivity_n_by_its_definition(n):
    """All sets of every size, in place of some."""
    rng = np.random.default_rng(n)
    weights, phi = rng.normal(size=(2, n))

    def answer(S):
        return np.exp(0.3 * S @ weights)

    metric = SensitivityN(points=4, draws=200)
    found = metric.measure(game_instance(n, answer), phi)
    expected = []
    for size in size_grid(n, 4):
        sums, falls = [], []
        for chosen in combinations(range(n), size):
            mask = np.ones((1, n), dtype=bool)
            mask[0, list(chosen)] = False
            sums.append(phi[list(chosen)].sum())
            falls.append(answer(np.ones((1, n), dtype=bool))[0] - answer(mask)[0])
        expected.append(np.corrcoef(sums, falls)[0, 1])
    assert found.value == pytest.approx(np.mean(expected))
    assert found.interval is None
    drawn = SensitivityN(points=2, draws=30).measure(
        game_instance(9, lambda S: S @ np.arange(9.0)), np.ones(9)
    )
    assert drawn.value == 0.0


def test_infidelity_is_captums():
    """The same binary masks and the same scores, plain and at the best scale."""
    rng = np.random.default_rng(7)
    weights, phi = rng.normal(size=(2, 8))
    quadratic = torch.tensor(rng.normal(size=(8, 8)))

    def model(x):
        return x @ torch.tensor(weights) + torch.einsum("bi,ij,bj->b", x, quadratic, x)

    instance = game_instance(8, lambda S: model(torch.tensor(S * 1.0)).numpy())
    removed = torch.tensor(~instance.pool.masks * 1.0)
    falls = instance.full - instance.responses
    for normalise in (False, True):
        theirs = captum_infidelity(
            model,
            lambda inputs: (removed, inputs - removed),
            torch.ones(1, 8, dtype=torch.float64),
            torch.tensor(phi)[None],
            n_perturb_samples=len(removed),
            normalize=normalise,
        )
        ours = infidelity(~instance.pool.masks, falls, phi, normalise=normalise)
        assert ours == pytest.approx(float(theirs[0]), rel=1e-6)
        measured = Infidelity(normalise=normalise).measure(instance, phi)
        assert measured.value == ours
        assert measured.interval.low < ours < measured.interval.high
        assert measured.best < measured.random


def test_infidelity_of_scores_off_by_a_constant():
    """With one feature removed at a time it is the squared miss: captum's oracle for paths."""
    delta = 0.10686**0.5
    singles = np.eye(3, dtype=bool)
    found = infidelity(
        singles, np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]) - delta, normalise=False
    )
    assert found == pytest.approx(0.10686)


def test_leave_one_out_by_scipy_with_ties():
    weights = np.array([2.0, 2.0, 0.0, -1.0, 5.0])
    phi = np.array([1.0, 0.0, 0.0, 3.0, 4.0])
    found = LeaveOneOutCorrelation().measure(linear(weights), phi)
    assert found.value == pytest.approx(stats.kendalltau(phi, weights).statistic)
    assert found.value == LeaveOneOutCorrelation().measure(linear(weights + 1e-14 * phi), phi).value


def test_the_first_flip():
    weights = np.array([3.0, 1.0, 2.0, 0.5])
    instance = linear(weights, bias=-2.5, link="log_odds")
    metric = DecisionFlip()
    assert metric.flips_at(instance, weights) == 2
    assert metric.flips_at(instance, -weights) == 4
    assert metric.measure(instance, -weights).best == 0.5
    # An output that is not decided for: what holds it back goes first.
    against = linear(np.array([-4.0, 1.0, 1.0]), bias=0.5, link="log_odds")
    assert metric.flips_at(against, np.array([-4.0, 1.0, 1.0])) == 1
    with pytest.raises(OptionError, match="orders=-1"):
        DecisionFlip(orders=-1).measure(instance, weights)
    assert DecisionFlip(orders=0).measure(instance, weights).random is None


def test_shapes_of_scores():
    instance = linear(np.zeros(4))
    phi = np.array([1.0, -1.0, 2.0, 0.0])
    p = np.abs(phi) / 4
    entropy = -sum(x * np.log(x) for x in p if x) / np.log(4)
    assert Entropy().measure(instance, phi).value == pytest.approx(entropy)
    pairs = np.abs(np.abs(phi)[:, None] - np.abs(phi)).mean() / (2 * np.abs(phi).mean())
    assert Gini().measure(instance, phi).value == pytest.approx(pairs)
    assert Entropy().measure(instance, np.full(4, 1e308)).value == pytest.approx(1.0)
    for metric in (Entropy(), Gini()):
        with pytest.raises(UndefinedError, match="scores are 0"):
            metric.measure(instance, np.zeros(4))


def test_undefined_where_there_is_nothing_to_measure():
    flat = game_instance(3, lambda S: np.full(len(S), 2.0))
    with pytest.raises(UndefinedError, match="no difference"):
        CompletenessGap().measure(flat, np.ones(3))
    one = linear([1.0])
    for metric in (SensitivityN(), Infidelity(), NormalisedAopc()):
        with pytest.raises(UndefinedError):
            metric.measure(one, np.ones(1))
    with pytest.raises(UndefinedError, match="beside it"):
        ComprehensivenessPercentile().measure(one, np.ones(1))
    with pytest.raises(OptionError, match="points=0"):
        SensitivityN(points=0).measure(flat, np.ones(3))


def test_percentile_with_fresh_sets():
    """Asked sets are of exactly the size, none is the marked one, and the count says how many."""
    weights = np.random.default_rng(3).normal(size=20)
    instance = linear(weights, size=32)
    before = instance.game.evaluations
    found = ComprehensivenessPercentile(bins="0.1,0.3", extra=40).measure(instance, weights)
    assert 80 <= found.n <= 80 + 32
    assert instance.game.evaluations - before <= 2 * 41
    assert found.value == 1.0
    assert found.interval.low < 1.0 == found.interval.high
    upside = ComprehensivenessPercentile(bins="0.1,0.3", extra=40).measure(instance, -weights)
    assert (upside.value, upside.interval.low) == (0.0, 0.0)
    kept = SufficiencyPercentile(bins="0.3", extra=40).measure(instance, weights)
    assert (kept.name, kept.value) == ("sufficiency-percentile", 1.0)
    # All sets of the size: exact, however many more are asked.
    small = ComprehensivenessPercentile(bins="0.3", extra=99).measure(
        linear(WEIGHTS), WEIGHTS[::-1].copy()
    )
    falls = [sum(WEIGHTS[list(c)]) for c in combinations(range(6), 2)]
    falls.remove(-1.0)
    assert (small.value, small.n, small.interval) == (np.mean(np.array(falls) < -1.0), 14, None)


def test_class_contrast():
    weights = np.array([[3.0, -3.0, 0.0], [1.0, -1.0, 2.0], [0.0, 0.0, 4.0]])
    game = FunctionGame(3, lambda S: S @ weights, names=("a", "b", "c"))

    def contrast(other, scores=weights):
        found = attribution(scores=scores, values=(0.0,) * scores.shape[1], text="one two three")
        instance = Instance(game, pool_of(game), explanation=found)
        return ClassContrast(other=other).measure(instance, scores[:, 0])

    assert contrast("c").value == pytest.approx(-1.0)
    assert contrast("c").specification.options["other"] == "c"
    for mirrored in ("b", ""):
        with pytest.raises(OptionError, match="mirror"):
            contrast(mirrored)
    with pytest.raises(OptionError, match="another output"):
        contrast("a")
    with pytest.raises(OptionError, match="output 'd'"):
        contrast("d")
    with pytest.raises(OptionError, match=r"3 outputs, got \(3, 2\)"):
        contrast("b", weights[:, :2])
    with pytest.raises(UndefinedError, match="one size"):
        contrast("c", np.ones((3, 3)))
    with pytest.raises(OptionError, match="two outputs or more"):
        one = replace(linear(WEIGHTS), explanation=attribution())
        ClassContrast().measure(one, WEIGHTS)
    with pytest.raises(CapabilityError, match=r"explanation=\.\.\., got none"):
        ClassContrast().measure(linear(WEIGHTS), WEIGHTS)


def test_soft_perturbation_of_nothing_and_of_everything():
    """phi~ of 0 and 1: no element of a kept word goes, every element of the others."""
    instance = model_instance()
    values = [
        metric.measure(instance, np.array([0.0, 0.0, 1.0, 0.0]))
        for metric in (SoftComprehensiveness(draws=8), SoftSufficiency(draws=8))
    ]
    question = instance.question
    game = question.embedding_game()
    point, zero = game.point(), game.baseline("zero")
    word = question.tokens.groups[2]
    gone, alone = point.copy(), zero.copy()
    gone[word], alone[word] = 0.0, point[word]
    log_odds = game.at(np.stack([point, zero, gone, alone]))[0][:, 0]
    whole, none, without, only = 1 / (1 + np.exp(-log_odds))
    assert values[0].value == pytest.approx(max(0, whole - without) / (whole - none), abs=1e-9)
    S, S0 = 1 - max(0, whole - only), 1 - max(0, whole - none)
    assert values[1].value == pytest.approx(max(0, (S - S0) / (1 - S0)), abs=1e-9)
    # Nothing is left to chance, so the draws agree.
    assert values[0].interval.high - values[0].interval.low < 1e-9
    assert unit_scaled(np.full(3, 7.0)).tolist() == [0.5] * 3


@pytest.mark.parametrize("draws", [pytest.param(2_000, marks=pytest.mark.slow), 300])
@pytest.mark.parametrize("kind", ["sum", "curved", "model"])
def test_random_scores_give_uniform_p_values(kind, draws):
    """Random attributions of one input: the chance they are said to beat is uniform."""
    rng = np.random.default_rng(20)
    weights = rng.normal(size=24)
    if kind == "model":
        text = "she did not miss a payment ever and he missed the last four of them again"
        instance = model_instance(text)
    elif kind == "sum":
        instance = linear(weights)
    else:
        instance = game_instance(24, lambda S: np.tanh(S @ weights) * (1 + S[:, 0] * S[:, 5]))
    found = np.array(
        [permutation_test(instance, rng.normal(size=instance.n), draws=99)[0] for _ in range(draws)]
    )
    # p-values are multiples of 1/100; a shift by up to one step makes them continuous.
    smooth = found - rng.random(draws) / 100
    assert stats.kstest(smooth, "uniform").pvalue > 0.01
    # Four standard errors of a share of .05.
    assert abs(np.mean(found <= 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / draws)
