from __future__ import annotations

import numpy as np
import pytest

from whence.core import OptionError
from whence.evaluation.comparison.ensemble import cross_fitted, ensemble
from whence.evaluation.comparison.method_selection import Trial, choose, departs
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import pool_of
from whence.games import FunctionGame


def _instance(n, weights, size=64, seed=3):
    game = FunctionGame(n, lambda S: np.tanh(0.4 * (S @ weights)))
    return Instance(game, pool_of(game, size, seed=seed))


def test_the_best_is_chosen_where_it_stands_out():
    rng = np.random.default_rng(0)
    good = Trial("good", 0.8 + 0.02 * rng.normal(size=40), 900.0)
    cheap = Trial("cheap", 0.5 + 0.02 * rng.normal(size=40), 2.0)
    choice = choose([cheap, good])
    assert choice.chosen == choice.best == "good"
    assert choice.behind["cheap"].low > 0.25
    assert choice.means["good"].low < 0.8 < choice.means["good"].high


def test_the_cheapest_within_one_standard_error_of_the_difference():
    """Texts differ far more than methods do: pairing them keeps the comparison sharp."""
    rng = np.random.default_rng(1)
    easy = rng.random(40)
    noise = 0.01 * rng.normal(size=40)
    best = Trial("best", easy + noise - noise.mean(), 900.0)
    close = Trial("close", easy - 0.0005, 30.0)
    behind = Trial("behind", easy - 0.05, 2.0)
    choice = choose([best, close, behind])
    assert choice.best == "best"
    assert choice.chosen == "close"
    assert "within one standard error" in choice.why


def test_random_scores_are_shown_and_never_chosen():
    lucky = Trial("random", np.array([0.9, 0.9]), 0.0)
    real = Trial("real", np.array([0.1, 0.2]), 5.0)
    choice = choose([lucky, real], barred=("random",))
    assert choice.chosen == "real"
    assert set(choice.means) == {"random", "real"}
    with pytest.raises(OptionError, match="every candidate is barred"):
        choose([lucky], barred=("random",))


def test_candidates_must_share_their_texts():
    with pytest.raises(OptionError, match="on the same texts"):
        choose([Trial("a", np.ones(2), 1.0), Trial("b", np.ones(3), 1.0)])
    with pytest.raises(OptionError, match="no candidate"):
        choose([])


def test_an_input_departs_only_on_strong_evidence():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=16)
    instance = _instance(16, weights, 256)
    truth, slightly_off = weights, weights + 0.05 * rng.normal(size=16)
    name, why = departs(instance, "slightly off", {"slightly off": slightly_off, "truth": truth})
    assert name == "slightly off" or "+0.0" in why
    name, why = departs(instance, "noise", {"noise": rng.normal(size=16), "truth": truth})
    assert name == "truth"
    assert "95 % interval +" in why
    name, _ = departs(instance, "truth", {"noise": rng.normal(size=16), "truth": truth})
    assert name == "truth"
    with pytest.raises(OptionError, match="not among the candidates"):
        departs(instance, "other", {"truth": truth})
    small = _instance(3, weights[:3])
    name, why = departs(small, "noise", {"noise": -weights[:3], "truth": weights[:3]})
    assert name == "noise"
    assert "cannot overrule" in why


def test_departures_from_equals_are_rare():
    """Of two methods equally far from the truth, either is overruled in few inputs."""
    departed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=20)
        instance = _instance(20, weights, 64, seed)
        scores = {name: weights + rng.normal(size=20) for name in ("one", "two")}
        departed += departs(instance, "one", scores, resamples=200)[0] == "two"
    assert departed <= 10


def test_an_ensemble_of_independent_errors_beats_its_members():
    gains = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=20)
        instance = _instance(20, weights, 64, seed)
        scores = {str(i): weights + rng.normal(size=20) for i in range(5)}
        together = cross_fitted(scores, instance.pool)
        alone = [cross_fitted({name: phi}, instance.pool) for name, phi in scores.items()]
        gains.append(together - max(alone))
    assert np.mean(gains) > 0.02


def test_an_ensemble_leaves_out_what_is_worse_than_chance():
    weights = np.linspace(-1, 1, 12)
    instance = _instance(12, weights)
    scores, shares = ensemble({"right": weights, "upside down": -weights}, instance.pool)
    assert shares == {"right": pytest.approx(1.0), "upside down": 0.0}
    assert np.corrcoef(scores, weights)[0, 1] == pytest.approx(1.0)
    none, shares = ensemble({"upside down": -weights}, instance.pool)
    assert not none.any()
    flat, _ = ensemble({"flat": np.ones(12), "right": weights}, instance.pool)
    assert np.corrcoef(flat, weights)[0, 1] == pytest.approx(1.0)
    with pytest.raises(OptionError, match="one method or more"):
        ensemble({}, instance.pool)


def test_a_tiny_pool_weighs_nothing():
    instance = _instance(2, np.array([1.0, -1.0]))
    assert cross_fitted({"a": np.array([1.0, 0.0])}, instance.pool) == 0.0
