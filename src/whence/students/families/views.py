"""Fitted students as plain data: what a page or a picture is drawn from, without any mark-up.

A family gives one of these forms in :meth:`~whence.students.families.base.Fitted.view`. How it looks
is a matter of the page, which knows forms and no families.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = [
    "Answer",
    "CasesView",
    "NodeView",
    "PointsView",
    "RulesView",
    "TreeView",
    "TreesView",
    "View",
    "WeightsView",
]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Probabilities that a part of a student answers with.

    Attributes:
        chances: probability of each label.
        texts: number of texts that the part decides; ``None`` where it is not counted.
    """

    chances: Float[np.ndarray, " labels"]
    texts: float | None = None


@dataclass(frozen=True, slots=True)
class RulesView:
    """Rules in their order, each a condition in words and its answer; the last has no condition."""

    rules: tuple[tuple[str | None, Answer], ...]


@dataclass(frozen=True, slots=True)
class PointsView:
    """Points of features, the highest first, and the table from sums to probabilities.

    Attributes:
        points: feature in words, and its points for the second label.
        steps: sum from which on a probability of the second label holds.
    """

    points: tuple[tuple[str, int], ...]
    steps: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class WeightsView:
    """Weights of features in logits, the largest first.

    Attributes:
        start: intercept of each label.
        rows: feature in words, and its weight on each label.
    """

    start: Float[np.ndarray, " labels"]
    rows: tuple[tuple[str, Float[np.ndarray, " labels"]], ...]


@dataclass(frozen=True, slots=True, eq=False)
class NodeView:
    """A question of a tree, or a leaf.

    Attributes:
        question: feature asked for, in words; ``None`` at a leaf.
        value: probabilities, or what a leaf adds to them.
        texts: number of texts that come here.
        yes: place of the node for texts that have the feature.
        no: place of the node for those that lack it.
    """

    question: str | None
    value: Float[np.ndarray, " labels"]
    texts: float
    yes: int = -1
    no: int = -1


@dataclass(frozen=True, slots=True)
class TreeView:
    """Nodes of one tree, the root first; its leaves hold probabilities."""

    nodes: tuple[NodeView, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TreesView:
    """Trees whose leaves are added up.

    Attributes:
        start: probabilities that the leaves are added to.
        trees: nodes of each tree, the root first.
    """

    start: Float[np.ndarray, " labels"]
    trees: tuple[Sequence[NodeView], ...]


@dataclass(frozen=True, slots=True)
class CasesView:
    """Texts that were seen with their answers, and the answer to a text like none of them."""

    cases: tuple[tuple[str, Answer], ...]
    otherwise: Answer


View = RulesView | PointsView | WeightsView | TreeView | TreesView | CasesView
