"""The one sentence that a doctor reads: what was removed, what came of it, and never a false fall."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.instances import game_instance, linear

from whence.core import Label, Output
from whence.evaluation.trust.grading import Verdict
from whence.evaluation.trust.marked import marked_words
from whence.evaluation.trust.summary import summary_sentence

USABLE = Verdict("B", ())
TEXTS = ("chest", "pain", "denied", "today", "by", "her")


def sentence(instance, scores, **options):
    phi = np.asarray(scores, dtype=float)
    named = replace(instance, texts=TEXTS)
    return summary_sentence(named, marked_words(named, phi, None, "default"), USABLE, **options)


def test_it_names_the_words_and_both_numbers():
    """Without "chest": log-odds 3.5 - 4.1 = -0.6; without one of the others 3.5, all alike."""
    instance = linear([4.1, 0, 0, 0, 0, 0], bias=-0.6, link="log_odds")
    assert sentence(instance, [4.1, 0, 0, 0, 0, 0]) == (
        "When the highest-scored word (\u201cchest\u201d) is removed, the probability of "
        "\u201cy\u201d falls from 97 % to 35 %; removing another word leaves 97 %."
    )


def test_what_is_removed_in_vain_is_said_to_stay():
    """Over 99.9 % before and after: no fall is claimed, and log-odds tell what moved."""
    saturated = linear([3.0, 1, 0, 0, 0, 0], bias=12.0, link="log_odds")
    text = sentence(saturated, [3.0, 0, 0, 0, 0, 0])
    assert "stays over 99.9 % (log-odds 16.0 before and 13.0 nat after)" in text
    assert "falls" not in text
    assert "over 99.9 % to over 99.9 %" not in text


def test_a_generated_text_is_told_by_its_log_probability():
    instance = linear([5.0, 0, 0, 0, 0, 0], bias=-30.0)
    instance.game.outputs = (
        Output(
            name="\nDecision: reject, " + "since the debts are old " * 4,
            link="log_probability",
            unit="nat",
            target=Label(label="y"),
        ),
    )
    text = sentence(instance, [5.0, 0, 0, 0, 0, 0])
    assert "becomes 148 times less likely (its logarithm -25.0 before, -30.0 nat after)" in text
    assert "removing another word makes it as likely as before" in text
    assert "under 0.1 %" not in text
    assert "\u201cDecision: reject, since" in text
    assert "\u2026\u201d" in text


def test_a_rise_is_no_fall_and_other_words_may_do_as_much():
    instance = linear([-2.0, 0, 1, 0, -1, 0], bias=1.0, link="log_odds")
    assert "rises from 27 % to 73 %" in sentence(instance, [9.0, 0, 0, 0, 0, 0])
    same = linear([1.0, 2.0, 0.5, 1.5, 0.2, 1.2], link="log_odds")
    assert sentence(same, [9.0, 0, 0, 0, 0, 0]).endswith("Other words do as much.")
    assert not sentence(same, [0.0, 9, 0, 0, 0, 0]).endswith("Other words do as much.")


@pytest.mark.parametrize(("n", "named"), [(6, True), (40, False)])
def test_many_words_are_counted_and_not_named(n, named):
    weights = np.arange(n, 0, -1.0)
    instance = replace(
        game_instance(n, lambda S: S @ weights), texts=tuple(f"w{i}" for i in range(n))
    )
    text = summary_sentence(instance, marked_words(instance, weights, None, "quick"), USABLE)
    assert ("(\u201cw0\u201d" in text) is named
    assert text.startswith(
        "When the 3 highest-scored" if named else "When the 20 highest-scored words are"
    )
