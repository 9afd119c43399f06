"""What every metric must hold to, whatever it measures."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.instances import game_instance, linear, model_instance, spans

from whence.core import CapabilityError, Measurement, OptionError, UndefinedError
from whence.evaluation.mask_pool import Pool
from whence.evaluation.metrics.curves import chain_limits
from whence.evaluation.metrics.decision_flip import CENSORED, DecisionFlip
from whence.evaluation.metrics.registry import METRICS
from whence.games.embedding_game import EmbeddingGame

SOFT = ("soft-comprehensiveness", "soft-sufficiency")
PLAIN = [name for name, metric in METRICS.items() if set(metric.needs) <= {"spans"}]
# Whose value follows the unit of the scores.
UNIT = ("completeness-gap",)
LINKS = {"signed-class-contrast": "logit"}
"""The scale of the outputs, for a metric that is defined on one alone."""


def _curved(n, seed=3, **more):
    weights = np.random.default_rng(seed).normal(size=n)
    return game_instance(n, lambda S: np.tanh(S @ weights) + 0.3 * S[:, 0] * S[:, -1], **more)


def _measure(name, instance, scores):
    """The value, or that there is none."""
    try:
        return METRICS[name]().measure(instance, np.asarray(scores, dtype=float)).value
    except UndefinedError:
        return None


@pytest.mark.parametrize("name", METRICS)
def test_it_says_what_it_is(name):
    metric = METRICS[name]()
    assert metric.name == name
    assert metric.direction in ("higher", "lower", "none")
    assert metric.question.endswith("?")
    text = type(metric).__doc__
    for part in ("Sign:", "nit", "Cost", "When it misleads", "Source:", ">>>"):
        assert part in text, part
    for field in fields(metric):
        assert f"{field.name}: " in text


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("n", [2, 7, 14])
def test_evaluations_are_no_more_than_the_cost_says(name, n):
    instance = _curved(n)
    before = instance.game.evaluations
    METRICS[name]().measure(instance, np.random.default_rng(n).normal(size=n))
    assert instance.game.evaluations - before <= METRICS[name]().cost(n)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(name, bad):
    instance = _curved(4)
    with pytest.raises(OptionError, match="feature 2 is"):
        METRICS[name]().measure(instance, np.array([1.0, 0.5, bad, 0.0]))
    with pytest.raises(OptionError, match="one score for"):
        METRICS[name]().measure(instance, np.ones(5))


@pytest.mark.parametrize("name", PLAIN)
def test_the_order_of_the_features_does_not_matter(name):
    """Everything permuted together: masks, scores and the game. Five features: nothing is drawn."""
    rng = np.random.default_rng(1)
    weights, phi = rng.normal(size=(2, 5))
    order = np.array([3, 0, 4, 1, 2])

    def answer(S):
        return np.tanh(S @ weights) + S[:, 1] * S[:, 2]

    one = game_instance(5, answer)
    other = game_instance(5, lambda S: answer(S[:, np.argsort(order)]))
    shuffled = replace(
        other,
        pool=Pool(one.pool.masks[:, order], one.pool.values, one.pool.full, one.pool.complete, 0),
        spans=tuple(spans(int(np.flatnonzero(order == 2)[0]))),
    )
    assert one.spans == tuple(spans(2))
    assert METRICS[name]().measure(shuffled, phi[order]).value == pytest.approx(
        METRICS[name]().measure(one, phi).value, abs=1e-12
    )


@pytest.mark.parametrize("name", [name for name in PLAIN if name not in UNIT])
@pytest.mark.parametrize("scale", [1e-6, 1e7])
def test_the_unit_of_the_scores_does_not_matter(name, scale):
    phi = np.random.default_rng(2).normal(size=9)
    assert _measure(name, _curved(9), phi * scale) == pytest.approx(
        _measure(name, _curved(9), phi), rel=1e-9, abs=1e-9
    )


@cache
def _batched(masker, budget, link):
    return model_instance(masker=masker, budget=budget, link=link)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("masker", ["mask-token", "deletion"])
def test_batches_and_padding_do_not_matter(name, masker):
    """One input a batch, all in one, and (with words deleted) padded to the longest beside it."""
    scores = [0.3, -0.2, 0.9, 0.1]
    values = [
        _measure(name, _batched(masker, budget, LINKS.get(name)), scores) for budget in (1, 4096)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    assert values[0] is not None


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("scores", [[1.0], [0.0], [-2.0]])
def test_one_feature(name, scores):
    value = _measure(name, linear([2.0], bias=-1.0), scores)
    assert value is None or np.isfinite(value)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("n", [2, 6, 14])
def test_equal_scores(name, n):
    for level in (0.0, 1.0):
        value = _measure(name, _curved(n), np.full(n, level))
        assert value is None or np.isfinite(value)


@pytest.mark.parametrize("name", PLAIN)
def test_a_model_that_never_changes(name):
    instance = game_instance(5, lambda S: np.full(len(S), 7.25))
    value = _measure(name, instance, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert value is None or np.isfinite(value)


@pytest.mark.parametrize("name", METRICS)
def test_the_same_seed_gives_the_same_bits(name):
    kept = []
    for _ in range(2):
        instance = model_instance(link=LINKS.get(name))
        kept.append(METRICS[name]().measure(instance, np.array([0.3, -0.2, 0.9, 0.1])))
    assert kept[0].to_json() == kept[1].to_json()
    assert Measurement.from_json(kept[0].to_json()) == kept[0]


@pytest.mark.parametrize("name", PLAIN)
def test_measured_otherwise_compared_never(name):
    phi = np.arange(6.0) + 1
    found = METRICS[name]().measure(linear([1.0, 2, 3, 4, 5, -1]), phi)
    assert found.difference(METRICS[name]().measure(linear([1.0, 2, 3, 4, 5, -1]), phi)) == 0
    seeded = METRICS[name]().measure(linear([1.0, 2, 3, 4, 5, -1], seed=4), phi)
    with pytest.raises(OptionError, match="cannot be compared"):
        found.difference(seeded)
    for field in fields(METRICS[name]):
        changed = {"bins": "0.3", "normalise": False, "k": 2, "overlap": 0.9}.get(field.name)
        if changed is None:
            changed = getattr(METRICS[name](), field.name) + 1
        other = METRICS[name](**{field.name: changed}).measure(linear([1.0, 2, 3, 4, 5, -1]), phi)
        with pytest.raises(OptionError, match=field.name):
            found.difference(other)


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].needs])
def test_what_an_instance_lacks_is_refused(name):
    """Never a guess: the metric, what it needs, and where it is to be had."""
    bare = replace(
        model_instance(), spans=None, explanation=None, explain=None, explain_at=None, value_at=None
    )
    needs = set(METRICS[name].needs) - {"embeddings"}
    if not needs:
        return
    with pytest.raises(CapabilityError, match=rf"{name} .*got none; pass whence.measure") as caught:
        METRICS[name]().measure(bare, np.ones(4))
    assert any(f"{need}=..." in str(caught.value) for need in needs)


@pytest.mark.parametrize("name", SOFT)
def test_soft_metrics_say_what_they_need(name):
    with pytest.raises(CapabilityError, match="embeddings"):
        METRICS[name]().measure(linear([1.0, 2.0]), np.ones(2))
    with pytest.raises(OptionError, match="draws=3"):
        METRICS[name](draws=3).measure(model_instance(), np.ones(4))


@pytest.mark.parametrize("name", SOFT)
def test_soft_metrics_ask_as_often_as_they_say(name, monkeypatch):
    instance = model_instance()
    asked = []
    plain = EmbeddingGame.at
    monkeypatch.setattr(
        EmbeddingGame, "at", lambda self, points: asked.append(len(points)) or plain(self, points)
    )
    before = instance.game.evaluations
    found = METRICS[name](draws=9).measure(instance, np.array([0.3, -0.2, 0.9, 0.1]))
    assert asked == [METRICS[name](draws=9).cost(4)] == [20]
    assert instance.game.evaluations == before
    assert found.n == 9
    assert "standard error" in found.interval.how


GAMES = st.integers(2, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(-3, 3), min_size=1 << n, max_size=1 << n),
        st.lists(st.floats(-3, 3), min_size=n, max_size=n),
    )
)


@settings(max_examples=40, deadline=None)
@given(GAMES)
def test_scores_lie_between_their_limits(drawn):
    """Any game, any scores: lo <= AOPC <= hi, and the shares and correlations stay in range."""
    values, phi = np.array(drawn[0]), np.array(drawn[1])
    n = len(phi)
    instance = game_instance(n, lambda S: values[S @ (1 << np.arange(n))])
    limits = chain_limits(instance)
    aopc = METRICS["aopc"]().measure(instance, phi)
    whole = instance.full
    assert whole - limits.high - 1e-9 <= aopc.value <= whole - limits.low + 1e-9
    assert whole - limits.high - 1e-9 <= aopc.random <= whole - limits.low + 1e-9
    for name, low in (
        ("normalised-aopc", 0),
        ("entropy", 0),
        ("gini", 0),
        ("decision-flip", 0),
        ("sensitivity-n", -1),
        ("leave-one-out-correlation", -1),
        ("pool-fidelity", -1),
    ):
        value = _measure(name, instance, phi)
        assert value is None or low - 1e-9 <= value <= 1 + 1e-9
    gone = METRICS["deletion"]().measure(instance, phi)
    assert gone.best <= gone.value + 1e-12
    assert (
        gone.value == pytest.approx(METRICS["insertion"]().measure(instance, -phi).value, abs=1e-9)
        or len(np.unique(phi)) < n
    )


def test_a_flip_that_never_comes_is_no_flip():
    instance = linear([1.0, 1.0], bias=5.0)
    found = DecisionFlip().measure(instance, np.array([2.0, 1.0]))
    assert (found.value, found.unit, found.best, found.random) == (1.0, CENSORED, None, None)
    assert DecisionFlip().flips_at(instance, np.array([2.0, 1.0])) is None
    late = DecisionFlip().measure(linear([1.0, 1.0], bias=-0.5), np.array([2.0, 1.0]))
    assert (late.value, late.unit) == (1.0, "share removed")
    with pytest.raises(OptionError, match="right-censored"):
        found.difference(late)


def test_by_name():
    assert METRICS.make("NormalisedAopc", {"beam": 3}) == METRICS["normalised-aopc"](beam=3)
    assert METRICS.make("sensitivity n") == METRICS["sensitivity-n"]()
    made = METRICS["gini"]()
    assert METRICS.make(made) is made
    with pytest.raises(OptionError, match="already made"):
        METRICS.make(made, {"a": 1})
    with pytest.raises(OptionError, match="sensitivity-n"):
        METRICS.make("sensitivity-m")
    with pytest.raises(OptionError, match="has no options"):
        METRICS.make("gini", {"bins": 3})
    with pytest.raises(OptionError, match="draws"):
        METRICS.make("sensitivity-n", {"drawz": 3})
