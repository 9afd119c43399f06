import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from tests.students import worlds

from whence.students.families.scorecard import FittedScorecard, Scorecard, isotonic

LABELS = ("accept", "reject")


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
def test_isotonic_is_the_nearest_rising_sequence(values):
    weights = np.arange(1, len(values) + 1, dtype=float)
    found = isotonic(np.array(values), weights)
    theirs = optimize.isotonic_regression(values, weights=weights).x
    assert found == pytest.approx(theirs, abs=1e-9)


def fitted_to_points():
    table, features = worlds.table(4000, 40, density=0.3)
    points = np.zeros(40)
    points[[2, 9, 30]] = [3, -2, 1]
    second = 1 / (1 + np.exp(-(table @ points)))
    targets = np.stack([1 - second, second], axis=1)
    return Scorecard(features=3).fit(table, targets, features=features, labels=LABELS), points


def test_points_are_recovered_up_to_their_scale():
    fitted, points = fitted_to_points()
    assert [f.words for f in fitted.features.kept] == ["f0002", "f0009", "f0030"]
    ratio = fitted.points / points[[2, 9, 30]]
    assert ratio == pytest.approx(np.full(3, ratio[0]))
    assert np.abs(fitted.points).max() <= 5


def test_reasons_are_points_and_the_table_rises():
    fitted, _ = fitted_to_points()
    reasons = fitted.explain("f0002 f0009")
    assert reasons.total[1] == fitted.points[0] + fitted.points[1]
    assert (np.diff(fitted.chances) >= 0).all()
    assert "sum: probability of reject" in fitted.to_text()
    assert fitted.reading_cost.words == 3


def test_written_and_read_back_and_unseen_sums():
    fitted, _ = fitted_to_points()
    again = FittedScorecard.from_json(json.loads(json.dumps(fitted.to_json())))
    texts = ["f0002", "f0009 f0009", "", "f0030 f0002 f0009"]
    assert np.array_equal(again.predict_proba(texts), fitted.predict_proba(texts))


def test_one_class_only():
    table, features = worlds.table(50, 5)
    targets = np.tile([1.0, 0.0], (50, 1))
    fitted = Scorecard().fit(table, targets, features=features, labels=LABELS)
    assert fitted.predict(["f0001"]) == ["accept"]
