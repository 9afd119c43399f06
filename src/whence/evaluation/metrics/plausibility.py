"""Plausibility: whether explanations mark what people marked. It says nothing of faithfulness.

A model may decide rightly for reasons that no person would give, and a true account of it is then
implausible. So these metrics stand apart: they never ask the model, take no part in a verdict,
and judge scores against spans of characters that people marked (``Instance.spans``). A feature
counts as marked by people when it shares a character with such a span. Equal scores are ties, in
every order alike: values are means over all ways to break them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

from whence.core.errors import InputError, OptionError, UndefinedError
from whence.core.features import Segmentation, Span
from whence.core.measurements import Interval, Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric, Need
from whence.evaluation.metrics.ranking import average_precision, precision_at_k

__all__ = ["AveragePrecision", "PrecisionAtK", "SpanF1", "TokenF1", "marked_by_people"]

BREAKS = 200
"""Ways to break ties that are drawn where a mean over all has no closed form: the standard error
of a mean of numbers between 0 and 1 is then at most 0.5 / sqrt(200) = 0.035."""


def marked_by_people(segmentation: Segmentation, spans: Sequence[Span]) -> Bool[np.ndarray, " n"]:
    """Which features share a character with a span that people marked.

    Raises:
        InputError: a span lies outside the text.
        UndefinedError: no feature is marked, or all are, so that nothing can be told apart.

    Example:
        >>> from whence.core.features import Document, Feature
        >>> text = "not good"
        >>> features = tuple(Feature(start=a, end=b, text=text[a:b], part="text")
        ...                  for a, b in ((0, 3), (4, 8)))
        >>> words = Segmentation(unit="word", document=Document.plain(text), features=features)
        >>> marked_by_people(words, [Span(start=5, end=8)]).tolist()
        [False, True]
    """
    size = len(segmentation.document.text)
    inside = np.zeros(size, dtype=bool)
    for span in spans:
        if span.end > size:
            raise InputError(
                f"expected spans within the {size} characters of the whole document, got "
                f"{span.start} to {span.end}"
            )
        inside[span.start : span.end] = True
    marked = np.array([inside[f.start : f.end].any() for f in segmentation.features], dtype=bool)
    if marked.all() or not marked.any():
        raise UndefinedError(
            f"people's spans mark {int(marked.sum())} of {len(marked)} features; some and not all "
            "must be marked for scores to tell them apart"
        )
    return marked


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plausibility(Metric):
    """Agreement of scores with what people marked; the model is not asked."""

    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[tuple[Need, ...]] = ("spans",)

    def cost(self, n: int) -> int:
        """None: see :meth:`Metric.cost`."""
        return 0

    def _truth(self, instance: Instance) -> Bool[np.ndarray, " n"]:
        assert instance.spans is not None
        return marked_by_people(instance.features, instance.spans)

    def _agreement(
        self,
        instance: Instance,
        value: float,
        *,
        random: float,
        best: float | None,
        interval: Interval | None = None,
        **settings: int,
    ) -> Measurement:
        people = ",".join(f"{span.start}-{span.end}" for span in instance.spans or ())
        return self._measurement(
            instance,
            value,
            unit="share",
            n=instance.n,
            interval=interval,
            random=random,
            best=best,
            spans=people,
            **settings,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenF1(_Plausibility):
    """F1 of the k highest-scored features against those that people marked.

    Formula: 2 TP / (k + G), G the number people marked; TP in expectation over ties. Sign:
    higher is better. No unit. Cost: none. ``random``: of any k features; ``best``: the most that
    k allows.

    When it misleads: people mark what would convince them, not what moved the model. With
    k = G precision and recall are the same.

    Args:
        k: number of features that count as marked; none: as many as people marked.

    Source: DeYoung et al. (2020), arXiv:1911.03429.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float("late" in t) for t in texts])
        >>> e = whence.explain(model, "late again", method="leave-one-out", trust="off")
        >>> whence.measure(model, e, ["token-f1"], spans=[(0, 4)])[0].value
        1.0
    """

    k: int | None = None
    name: ClassVar[str] = "token-f1"
    question: ClassVar[str] = "Does it mark the words that people marked?"
    rank: ClassVar[int] = 300

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        phi, truth = self._checked(instance, scores), self._truth(instance)
        top, gold, n = _top(self.k, truth), int(truth.sum()), len(truth)
        return self._agreement(
            instance,
            2 * top * precision_at_k(phi, truth, top) / (top + gold),
            k=top,
            random=2 * top * gold / n / (top + gold),
            best=2 * min(top, gold) / (top + gold),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionAtK(_Plausibility):
    """Share of the k highest-scored features that people marked, in expectation over ties.

    Sign: higher is better. No unit. Cost: none. ``random``: G / n, G the number people marked.

    When it misleads: as :class:`TokenF1`; with k above G it cannot reach 1 (``best`` says what it
    can reach).

    Args:
        k: number of features that count as marked; none: as many as people marked.

    Source: Bastings et al. (2022), arXiv:2111.07367.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float("late" in t) for t in texts])
        >>> e = whence.explain(model, "late again", method="leave-one-out", trust="off")
        >>> whence.measure(model, e, ["precision-at-k"], spans=[(0, 4)])[0].random
        0.5
    """

    k: int | None = None
    name: ClassVar[str] = "precision-at-k"
    question: ClassVar[str] = "How many of the marked words did people mark?"
    rank: ClassVar[int] = 330

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        phi, truth = self._checked(instance, scores), self._truth(instance)
        top = _top(self.k, truth)
        return self._agreement(
            instance,
            precision_at_k(phi, truth, top),
            k=top,
            random=float(truth.mean()),
            best=min(top, int(truth.sum())) / top,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragePrecision(_Plausibility):
    """Mean precision at each feature that people marked, in expectation over ties.

    Formula: that of :func:`~whence.evaluation.metrics.ranking.average_precision`. Sign: higher is
    better. No unit. Cost: none. ``random``: with all scores tied.

    When it misleads: as :class:`TokenF1`.

    Source: McSherry & Najork (2008), doi:10.1007/978-3-540-78646-7_38.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float("late" in t) for t in texts])
        >>> e = whence.explain(model, "late again", method="leave-one-out", trust="off")
        >>> whence.measure(model, e, ["average-precision"], spans=[(5, 10)])[0].value
        0.5
    """

    name: ClassVar[str] = "average-precision"
    question: ClassVar[str] = "Do the words that people marked stand on top?"
    rank: ClassVar[int] = 320

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        phi, truth = self._checked(instance, scores), self._truth(instance)
        return self._agreement(
            instance,
            average_precision(phi, truth),
            random=average_precision(np.zeros(len(truth)), truth),
            best=1.0,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanF1(_Plausibility):
    """F1 of runs of marked features against people's, each matched to one other at most.

    Formula: the k highest-scored features, and those that people marked, are joined into runs of
    neighbours; a run of one kind may match one run of the other whose intersection over union
    is ``overlap`` or more. 2 matched / (runs of scores + runs of people). Matching is one to one
    and the largest there is, so that neither recall nor precision exceeds 1. Where scores tie
    at the k-th place, the mean over 200 draws of the tied, with its interval. Sign: higher is
    better. No unit. Cost: none. ``random``: the mean over 200 draws of k features.

    When it misleads: as :class:`TokenF1`; one feature missing from a run can cost the whole run.

    Args:
        k: number of features that count as marked; none: as many as people marked.
        overlap: least intersection over union of a match, above 0.

    Source: after DeYoung et al. (2020), arXiv:1911.03429, with one-to-one matching.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float("late" in t) for t in texts])
        >>> e = whence.explain(model, "late again", method="leave-one-out", trust="off")
        >>> whence.measure(model, e, ["span-f1"], spans=[(0, 4)])[0].value
        1.0
    """

    k: int | None = None
    overlap: float = 0.5
    name: ClassVar[str] = "span-f1"
    question: ClassVar[str] = "Does it mark the passages that people marked?"
    rank: ClassVar[int] = 310

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`."""
        phi, truth = self._checked(instance, scores), self._truth(instance)
        if not 0 < self.overlap <= 1:
            raise OptionError(
                f"{self.name}: expected overlap above 0 and at most 1, got overlap={self.overlap}"
            )
        top, n = _top(self.k, truth), len(truth)
        gold = _runs(truth)
        rng = np.random.default_rng([instance.seed, 10])

        def once(order: np.ndarray) -> float:
            chosen = np.zeros(n, dtype=bool)
            chosen[order[:top]] = True
            return _matched_f1(_runs(chosen), gold, self.overlap)

        value, interval = _over_ties(phi, top, once, rng)
        return self._agreement(
            instance,
            value,
            k=top,
            interval=interval,
            random=float(np.mean([once(rng.permutation(n)) for _ in range(BREAKS)])),
            best=1.0 if top == int(truth.sum()) else None,
        )


def _over_ties(
    phi: Float[np.ndarray, " n"],
    top: int,
    once: Callable[[np.ndarray], float],
    rng: np.random.Generator,
) -> tuple[float, Interval | None]:
    """The value of the scores' order; where scores tie at the cut, the mean over drawn orders."""
    cut = np.sort(phi)[::-1][top - 1]
    # Ties above the cut are all inside and ties below are all outside; only those across it matter.
    if np.count_nonzero(phi >= cut) <= top:
        return once(np.argsort(-phi, kind="stable")), None
    values = np.empty(BREAKS)
    for index in range(BREAKS):
        shuffled = rng.permutation(len(phi))
        # A stable sort of a random order leaves equal scores in random order.
        values[index] = once(shuffled[np.argsort(-phi[shuffled], kind="stable")])
    mean = float(values.mean())
    reach = 1.96 * float(values.std(ddof=1)) / BREAKS**0.5
    interval = Interval(
        low=max(0.0, mean - reach),
        high=min(1.0, mean + reach),
        level=0.95,
        how=f"normal, over {BREAKS} ways to break ties",
    )
    return mean, interval


def _top(k: int | None, truth: Bool[np.ndarray, " n"]) -> int:
    if k is None:
        return int(truth.sum())
    if not 1 <= k <= len(truth):
        raise OptionError(f"expected k from 1 to {len(truth)}, the number of features; got k={k}")
    return k


def _runs(chosen: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Runs of neighbouring features, each as its first and the one after its last."""
    # Zeros on both sides give every run a beginning and an end, so the edges come in pairs.
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _matched_f1(runs: list[tuple[int, int]], gold: list[tuple[int, int]], overlap: float) -> float:
    good = np.zeros((len(runs), len(gold)))
    for row, (a, b) in enumerate(runs):
        for column, (c, d) in enumerate(gold):
            shared = max(0, min(b, d) - max(a, c))
            good[row, column] = shared / (b - a + d - c - shared) >= overlap
    # Of zeros and ones the assignment of largest sum is the largest matching. Counting for each run
    # whether any other fits lets one long run match several.
    rows, columns = linear_sum_assignment(good, maximize=True)
    return 2 * float(good[rows, columns].sum()) / (len(runs) + len(gold))
