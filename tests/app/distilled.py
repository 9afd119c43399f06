"""Distillations small enough to be made for a test, one of them of hostile texts and labels."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from tests.students.worlds import UNCHECKED, rule, texts

from whence.core.statistics.proportions import Interval, proportion
from whence.students.certificate.learning_curve import LearningCurve, Point, PowerLaw
from whence.students.data.query_budget import Budget
from whence.students.distill import distill
from whence.students.families.rule_list import RuleList
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.word_features import Feature, Looking, WordFeatures
from whence.students.regions.region import Example, Has, Region, RegionFeatures, Words
from whence.students.routing.selective_prediction import SelectivePrediction, Step
from whence.students.teacher.teacher import Teacher

NASTY = "<script>alert(1)</script> \"a\" & 'b' \x1b[2J\u202e rtl שלום 👍"
SMALL = Budget(flips=40, again=20, attributions=0, parting=0)


@cache
def distilled(students=None):
    """Of a rule that the students find."""
    wanted = (RuleList(rules=4), SparseLinear(features=10)) if students is None else students
    teacher = Teacher.of_labels(
        lambda batch: [rule(text) for text in batch], labels=["accept", "reject"], version="r1"
    )
    return distill(teacher, texts(420), students=wanted, budget=SMALL, checks=UNCHECKED)


@cache
def hostile():
    """Whose label, region and examples would be markup and control characters if let."""
    labels = ["accept", NASTY]
    teacher = Teacher.of_labels(
        lambda batch: [NASTY if rule(text) == "reject" else "accept" for text in batch],
        labels=labels,
    )
    found = distill(
        teacher, texts(420), students=(RuleList(rules=4),), budget=SMALL, checks=UNCHECKED
    )
    return replace(found, searched=True, regions=(region(NASTY),), teacher=NASTY)


def region(text="a text", few=False):
    """A region of two conditions with one example."""
    return Region(
        conditions=(Has(0, True), Words(20, False)),
        features=RegionFeatures.of(WordFeatures(Looking(longest=1), [Feature("ngram", "than")])),
        agreement=None if few else proportion(78, 102),
        elsewhere=proportion(190, 200),
        on_select=proportion(20, 31),
        chance=None if few else 0.001,
        searched=0.01,
        confirmed=not few,
        veto=True,
        worst=(Example(text, "accept", 0.91, "reject", 0.77),),
    )


def curve(law=True):
    """Four sizes, and the law through them where asked for."""
    found = PowerLaw(a=0.9, b=0.4, c=0.5, unit=100.0)
    points = [
        Point(texts=n, draws=2, kappa=Interval(found(n), found(n) - 0.05, found(n) + 0.05, 60))
        for n in (100, 200, 400, 800)
    ]
    laws = (found,) * 5 if law else ()
    return LearningCurve(
        points=tuple(points), law=found if law else None, resampled=laws, level=0.95
    )


def answering(certified=True):
    """A curve that falls as more is answered; the last rung has too few texts for a number."""
    shares = np.linspace(0.2, 1.0, 5)
    rungs = [
        Step(
            1 - s / 2,
            proportion(int(100 * s), 100),
            proportion(int(100 * s * (1 - s / 10)), int(100 * s)),
        )
        for s in shares
    ]
    rungs.insert(0, Step(0.99, proportion(5, 100), None))
    return SelectivePrediction(
        threshold=0.8 if certified else None,
        target=0.95,
        level=0.95,
        coverage=proportion(60 if certified else 0, 100),
        agreement=proportion(59, 60) if certified else None,
        curve=tuple(rungs),
    )
