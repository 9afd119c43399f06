"""An attack as an audit: words are swapped so that the answer stays and the explanation moves."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import CapabilityError, OptionError
from whence.core.explanations import Attribution
from whence.core.measurements import Measurement
from whence.evaluation.instance import Explain, Instance, Neighbours
from whence.evaluation.metrics.base import Direction, Metric, Need
from whence.evaluation.robustness.rank_agreement import (
    PERSISTENCE,
    agreement,
    align_features,
    overlap_chance,
    top_size,
)
from whence.evaluation.robustness.text_perturbations import (
    decides,
    holds,
    own_neighbours,
    replaced,
)
from whence.evaluation.stopwords import carries_no_content
from whence.games.question import Question
from whence.models.protocols import Input

__all__ = ["Attack", "SwapAttack"]


ANOTHER = 0.5
"""Overlap from which an explanation counts as another: that of Burger, Chen & Le (2023),
arXiv:2305.12351, at which the label's stability question fails too."""


@dataclass(frozen=True, slots=True, eq=False)
class Attack:
    """The worst input found, and every constraint as measured again on it and the original.

    Attributes:
        source: attacked input; the original where nothing was found.
        swaps: each word and what took its place.
        measurement: rank-biased overlap of the two explanations.
        changed: share of the original's words that differ.
        moved: why the prediction did not hold on the final input; ``None``: it held.
        explanations, decisions: number of each that it took.
    """

    source: Input
    swaps: tuple[tuple[str, str], ...]
    measurement: Measurement
    changed: float
    moved: str | None
    explanations: int
    decisions: int

    @property
    def succeeded(self) -> bool:
        """Whether all constraints hold and the explanation is another: an overlap of 0.5 or less."""
        return self.moved is None and bool(self.swaps) and self.measurement.value <= ANOTHER


@dataclass(frozen=True, kw_only=True, slots=True)
class SwapAttack(Metric):
    """Overlap with the explanation after word swaps that keep the prediction and move the scores.

    Words outside the top fifth are tried in the order of what leaving them out does; each swap
    that leaves the prediction as it was (same label, probability moved by less than 0.1 from the
    original's) and lowers the overlap further is kept. Swaps come from ``Instance.neighbours``,
    or from the model's own table of embeddings. Value: rank-biased overlap of the final
    explanation with the original. Sign: higher is more robust. Unit: rank-biased overlap.
    Cost: n + 1 evaluations, then at most ``candidates`` passes and explanations for each word.
    ``random``: the overlap of two random rankings of that length; ``best`` is 1.

    When it misleads: the value is what this greedy search reached; a better attack may reach
    less. A swap that keeps the prediction need not keep the meaning.

    Args:
        candidates: number of swaps tried for each word.
        most_changed: largest share of the words that may be swapped.
        most_explanations: number of explanations at which the search stops.

    Source: Burger, Chen & Le (2023), arXiv:2305.12351; Ivankay et al. (2022), arXiv:2206.03178.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "Missed 4 payments.", method="input-x-gradient", trust="off")
        >>> whence.measure(model, e, ["attacked-overlap"])[0].best
        1.0
    """

    candidates: int = 10
    most_changed: float = 0.2
    most_explanations: int = 200
    name: ClassVar[str] = "attacked-overlap"
    direction: ClassVar[Direction] = "higher"
    question: ClassVar[str] = "Can swapped words move the scores and not the answer?"
    rank: ClassVar[int] = 190
    needs: ClassVar[tuple[Need, ...]] = ("explain", "explanation")

    def cost(self, n: int) -> int:
        """Each word left out, and all present: see :meth:`Metric.cost`."""
        return n + 1

    def explanations(self, n: int) -> int:
        """Those of the search and that of the final input: see :meth:`Metric.explanations`."""
        return min(self.most_explanations, n * self.candidates) + 1

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`; :meth:`attack` also gives the swaps."""
        return self.attack(instance, scores).measurement

    def attack(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Attack:
        """Search, then explain the final input afresh and measure everything on that pair.

        Raises:
            CapabilityError: an analytic game, or nothing explains another input.
            OptionError: options out of range.
        """
        question = instance.question
        if question is None:
            raise CapabilityError(
                f"{self.name} swaps words; expected an instance of a text, got an analytic game, "
                "which has none"
            )
        phi = self._checked(instance, scores)
        if self.candidates < 1 or not 0 < self.most_changed <= 1 or self.most_explanations < 1:
            raise OptionError(
                f"{self.name}: expected candidates and most_explanations above 0 and most_changed "
                f"above 0 and at most 1, got candidates={self.candidates}, "
                f"most_explanations={self.most_explanations}, most_changed={self.most_changed}"
            )
        neighbours = instance.neighbours or own_neighbours(question.model)
        search = _Search(self, instance, question, phi)
        search.run(neighbours)
        return search.final()

    def result(self, instance: Instance, overlap: float, *, random: float) -> Measurement:
        """The measurement of a finished search."""
        return self._measurement(
            instance,
            overlap,
            unit="rank-biased overlap",
            n=1,
            random=random,
            best=1.0,
            p=PERSISTENCE,
        )


class _Search:
    def __init__(
        self,
        attack: SwapAttack,
        instance: Instance,
        question: Question,
        scores: Float[np.ndarray, " n"],
    ) -> None:
        assert instance.explain is not None
        assert instance.explanation is not None
        self.attack, self.instance, self.question = attack, instance, question
        self.explain: Explain = instance.explain
        self.seed = instance.explanation.provenance.seed
        self.features = question.segmentation.features
        self.scores = scores
        self.texts = [feature.text for feature in instance.explanation.segmentation.features]
        self.before = decides(question, question.source)
        self.chosen: dict[int, str] = {}
        self.explanations, self.decisions = 0, 1

    def run(self, neighbours: Neighbours) -> None:
        # A product that is whole but for rounding counts as whole: 0.29 * 100 is
        # 28.999999999999996.
        allowed = floor(self.attack.most_changed * self.instance.n + 1e-9)
        best = 1.0
        text = self.question.segmentation.document.text
        for index in self._order():
            if len(self.chosen) >= allowed:
                return
            word = self.features[index]
            candidates = list(neighbours(text, word.start, word.end))[: self.attack.candidates]
            swap: tuple[float, str] | None = None
            for other in candidates:
                if other.casefold() == word.text.casefold():
                    continue
                source = self._source({**self.chosen, index: other})
                self.decisions += 1
                if holds(self.before, decides(self.question, source)) is not None:
                    continue
                if self.explanations >= self.attack.most_explanations:
                    break
                overlap, _ = self._compared(source)
                # Two sums of equal parts may differ in the last digit, and a swap for nothing uses
                # up the limit.
                if overlap < best - 1e-12:
                    best, swap = overlap, (overlap, other)
            if swap is not None:
                self.chosen[index] = swap[1]
            if self.explanations >= self.attack.most_explanations:
                return

    def _order(self) -> list[int]:
        n = self.instance.n
        without = self.instance.decided(~np.eye(n, dtype=bool))
        whole = self.instance.decided(np.ones((1, n), dtype=bool))[0]
        # A swapped top word falls in rank because it is gone, which says nothing of the
        # explanation.
        top = set(np.argsort(-np.abs(self.scores), kind="stable")[: top_size(n)].tolist())
        order: list[int] = np.argsort(-np.abs(whole - without), kind="stable").tolist()
        return [i for i in order if i not in top and not carries_no_content(self.features[i].text)]

    def _source(self, chosen: dict[int, str]) -> Input:
        changes = [(self.features[i].start, self.features[i].end, new) for i, new in chosen.items()]
        return replaced(self.question, changes)

    def _compared(self, source: Input) -> tuple[float, tuple[Attribution, Int[np.ndarray, "p 2"]]]:
        self.explanations += 1
        again = self.explain(source, self.seed)
        pairs = align_features(self.texts, [f.text for f in again.segmentation.features])
        other: Float[np.ndarray, " m"] = np.array(again.scores[:, self.instance.output])
        return agreement(self.scores, other, pairs).overlap, (again, pairs)

    def final(self) -> Attack:
        """Nothing the search believed is taken over: the pair is measured anew."""
        source = self._source(self.chosen) if self.chosen else self.question.source
        overlap, (again, pairs) = self._compared(source)
        self.decisions += 1
        reason = holds(self.before, decides(self.question, source))
        texts = [f.text for f in again.segmentation.features]
        same = sum(self.texts[i] == texts[j] for i, j in pairs.tolist())
        other: Float[np.ndarray, " m"] = np.array(again.scores[:, self.instance.output])
        measurement = self.attack.result(
            self.instance,
            overlap,
            random=overlap_chance(self.scores, other, pairs).value,
        )
        return Attack(
            source=source,
            swaps=tuple((self.features[i].text, new) for i, new in sorted(self.chosen.items())),
            measurement=measurement,
            changed=(len(self.texts) - same) / len(self.texts),
            moved=reason,
            explanations=self.explanations,
            decisions=self.decisions,
        )
