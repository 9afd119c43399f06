from __future__ import annotations

import numpy as np
import pytest

from whence.core import ModelIdentity, RecordError
from whence.evaluation.trust import calibration
from whence.evaluation.trust.calibration import calibration_of, family_of, risk_controlled


def _identity(architecture):
    return ModelIdentity(ref="m", task="classification", architecture=architecture, fingerprint="f")


def test_the_risk_is_held_on_new_cases():
    """Over many draws of the cases the threshold is set on, the next case is wrong at 5 % at most."""
    wrongs, granted = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        fidelity = rng.random(200)
        wrong = rng.random(200) > fidelity
        threshold = risk_controlled(fidelity, wrong)
        new = rng.random(400)
        bad = rng.random(400) > new
        above = new >= threshold
        wrongs.append(np.mean(above & bad))
        granted.append(np.mean(above))
    assert np.mean(wrongs) <= 0.05
    # P(above t and wrong) = (1 - t)^2 / 2 = 0.05 at t = 0.68: the threshold is not idly strict.
    assert np.mean(granted) > 0.25


def test_too_few_cases_hold_no_risk():
    assert risk_controlled(np.ones(18), np.zeros(18, dtype=bool)) is None
    assert risk_controlled(np.ones(19), np.zeros(19, dtype=bool)) == 1.0
    assert risk_controlled(np.zeros(0), np.zeros(0, dtype=bool)) is None


def test_equal_values_share_their_threshold():
    fidelity = np.array([0.9] * 30 + [0.5] * 10)
    wrong = np.array([False] * 30 + [True] + [False] * 9)
    # One wrong of those at 0.5 may not be split from its equals.
    assert risk_controlled(fidelity, wrong) == 0.5
    wrong[30:] = True
    assert risk_controlled(fidelity, wrong) == 0.9


def test_explanations_of_one_input_count_once():
    fidelity = np.linspace(1, 0, 200)
    wrong = np.zeros(200, dtype=bool)
    wrong[:10] = True
    # All ten wrong ones explain one input: one loss of 20 inputs, and not 10 of 200.
    inputs = np.repeat(np.arange(20), 10).tolist()
    assert risk_controlled(fidelity, wrong) == fidelity[8]
    assert risk_controlled(fidelity, wrong, inputs) is None
    assert risk_controlled(fidelity, wrong, inputs, risk=0.1) == 0.0
    assert risk_controlled(fidelity, wrong, list(range(20)) * 10, risk=0.1) == 0.0


def test_families_by_their_class():
    assert family_of("ModernBertForSequenceClassification") == "ModernBert"
    assert family_of("GPT2LMHeadModel") == "GPT2"


def test_a_damaged_table_is_named(tmp_path, monkeypatch):
    (tmp_path / "calibration.json").write_text("{}")
    monkeypatch.setattr(calibration, "files", lambda package: tmp_path)
    calibration.table.cache_clear()
    with pytest.raises(RecordError, match="damaged"):
        calibration_of(_identity("BertForSequenceClassification"), "quick")
    (tmp_path / "calibration.json").unlink()
    assert calibration_of(_identity("BertForSequenceClassification"), "quick") is None
    monkeypatch.undo()
    calibration.table.cache_clear()
