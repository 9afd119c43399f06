from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from tests.evaluation.instances import linear, spans, words

from whence.core import CapabilityError, InputError, OptionError, UndefinedError
from whence.core.features import Span
from whence.evaluation.metrics.plausibility import (
    AveragePrecision,
    PrecisionAtK,
    SpanF1,
    TokenF1,
    marked_by_people,
)
from whence.evaluation.metrics.registry import METRICS

PLAUSIBILITY = {
    kind.name: kind for kind in METRICS.values() if kind.__module__.endswith("plausibility")
}


def measured(kind, phi, where, **options):
    """A metric of scores of the words w0 w1 .. against what people marked of them."""
    instance = replace(linear(np.zeros(len(phi))), spans=tuple(where))
    return kind(**options).measure(instance, phi)


def test_a_feature_that_shares_one_character_is_marked():
    assert marked_by_people(words(4), [Span(start=1, end=4)]).tolist() == [True, True, False, False]
    with pytest.raises(InputError, match="whole document"):
        marked_by_people(words(2), [Span(start=3, end=9)])
    for every in (spans(0, 1), []):
        with pytest.raises(UndefinedError, match="some and not all"):
            marked_by_people(words(2), every)


def test_perfect_and_upside_down():
    truth = np.array([0.0, 1.0, 1.0, 0.0, 0.0])
    for name, measure in PLAUSIBILITY.items():
        assert measured(measure, truth, spans(1, 2)).value == pytest.approx(1.0), name
        worst = measured(measure, -truth, spans(1, 2)).value
        assert worst == (pytest.approx((1 / 4 + 2 / 5) / 2) if name == "average-precision" else 0.0)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(2, 6).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 2), min_size=n, max_size=n),
            st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda t: any(t) and not all(t)),
            st.integers(1, n),
        )
    )
)
def test_ties_are_broken_in_every_way(drawn):
    """The value is the mean over all orders that the scores allow."""
    phi, truth, k = np.array(drawn[0], dtype=float), np.array(drawn[1]), drawn[2]
    n, gold = len(phi), int(truth.sum())
    orders = [o for o in permutations(range(n)) if all(np.diff(phi[list(o)]) <= 0)]
    where = spans(*np.flatnonzero(truth).tolist())

    def ap(order):
        hits = truth[list(order)]
        return np.mean((np.cumsum(hits) / np.arange(1, n + 1))[hits])

    found = measured(AveragePrecision, phi, where).value
    assert found == pytest.approx(np.mean([ap(o) for o in orders]))
    hits = np.mean([truth[list(o[:k])].sum() for o in orders])
    assert measured(PrecisionAtK, phi, where, k=k).value == pytest.approx(hits / k)
    f1 = measured(TokenF1, phi, where, k=k)
    assert f1.value == pytest.approx(2 * hits / (k + gold))
    assert 0 <= f1.value <= f1.best + 1e-12
    assert 0 <= measured(SpanF1, phi, where, k=k).value <= 1


def test_average_precision_is_scikits_without_ties():
    rng = np.random.default_rng(0)
    for _ in range(20):
        phi, truth = rng.normal(size=12), rng.random(12) < 0.4
        truth[:2] = True, False
        ours = measured(AveragePrecision, phi, spans(*np.flatnonzero(truth).tolist()))
        assert ours.value == pytest.approx(average_precision_score(truth, phi))


def test_each_run_matches_one_other_at_most():
    # People mark words 0 and 1 as one run; the scores mark 0, 1 and 4.
    phi = np.array([9.0, 8.0, 0.0, 0.0, 7.0, 0.0])
    found = measured(SpanF1, phi, spans(0, 1), k=3)
    assert found.value == pytest.approx(2 * 1 / (2 + 1))
    # Two runs of half the length each reach the overlap; only one of them is matched.
    phi = np.array([9.0, 0.0, 8.0, 0.0, 0.0])
    found = measured(SpanF1, phi, spans(0, 1, 2), k=2, overlap=0.3)
    assert found.value == pytest.approx(2 * 1 / (2 + 1))
    assert measured(SpanF1, phi, spans(0, 1, 2), k=2).value == 0.0


def test_ties_at_the_edge_of_a_run_are_drawn():
    found = measured(SpanF1, np.zeros(4), spans(0))
    assert found.interval.low <= 0.25 <= found.interval.high
    assert measured(SpanF1, np.arange(4.0), spans(0)).interval is None
    assert found.to_json() == measured(SpanF1, np.zeros(4), spans(0)).to_json()


@pytest.mark.parametrize("draws", [pytest.param(400, marks=pytest.mark.slow), 100])
def test_random_scores_reach_what_is_said_of_them(draws):
    rng = np.random.default_rng(5)
    # Four standard errors of a mean of values that differ by 0.3.
    near = 4 * 0.3 / np.sqrt(draws)
    for name, measure in PLAUSIBILITY.items():
        found = [measured(measure, rng.normal(size=8), spans(1, 2, 6)) for _ in range(draws)]
        assert np.mean([f.value for f in found]) == pytest.approx(found[0].random, abs=near), name


def test_what_is_refused():
    with pytest.raises(OptionError, match="feature 1 is nan"):
        measured(TokenF1, np.array([1.0, np.nan]), spans(0))
    with pytest.raises(OptionError, match="k=3"):
        measured(PrecisionAtK, np.ones(2), spans(0), k=3)
    with pytest.raises(OptionError, match="overlap=0"):
        measured(SpanF1, np.ones(2), spans(0), overlap=0.0)
    with pytest.raises(OptionError, match="token-f1"):
        METRICS.make("token-f2")
    one, other = (measured(TokenF1, np.ones(3), spans(0), k=k) for k in (1, 2))
    with pytest.raises(OptionError, match="k: 1 and 2"):
        one.difference(other)
    assert list(PLAUSIBILITY) == ["token-f1", "span-f1", "average-precision", "precision-at-k"]
    with pytest.raises(CapabilityError, match=r"spans=\.\.\., got none"):
        TokenF1().measure(replace(linear(np.zeros(3)), spans=None), np.ones(3))
