"""An attack as an audit: words are swapped so that the answer stays and the explanation moves."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import CapabilityError, OptionError
from whence.core.explanations import Attribution
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.robustness.rank_agreement import (
    PERSISTENCE,
    agreement,
    align_features,
    overlap_chance,
    top_size,
)
from whence.evaluation.robustness.stability import Explain
from whence.evaluation.robustness.text_perturbations import Neighbours, decides, holds, replaced
from whence.evaluation.stopwords import carries_no_content
from whence.games.question import Question
from whence.models.protocols import Input

__all__ = ["Attack", "SwapAttack"]


@dataclass(frozen=True, slots=True, eq=False)
class Attack:
    """The worst input found, and every constraint as measured again on it and the original.

    Attributes:
        source: the attacked input; the original where nothing was found.
        swaps: each word and what took its place.
        measurement: rank-biased overlap of the two explanations.
        changed: share of the original's words that differ.
        moved: why the prediction did not hold on the final input; ``None``: it held.
        explanations, decisions: what it took.
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
        return self.moved is None and bool(self.swaps) and self.measurement.value <= 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class SwapAttack:
    """Greedy search for word swaps that keep the prediction and move the explanation.

    Words outside the top fifth are tried in the order of what leaving them out does; each swap
    that leaves the prediction as it was (same label, probability moved by less than 0.1 from the
    original's) and lowers the overlap further is kept. Value: rank-biased overlap with the original
    explanation; higher is more robust. Cost: n + 1 evaluations, then at most ``candidates`` passes
    and explanations for each word. The value is what this search found: a better attack may find
    less.

    Args:
        candidates: swaps tried for each word.
        most_changed: share of the words that may be swapped.
        most_explanations: stop after so many.

    Source: Burger, Chen & Le (2023), arXiv:2305.12351; Ivankay et al. (2022), arXiv:2206.03178.
    """

    candidates: int = 10
    most_changed: float = 0.2
    most_explanations: int = 200

    def measure(
        self, instance: Instance, found: Attribution, explain: Explain, neighbours: Neighbours
    ) -> Attack:
        """Search, then explain the final input afresh and measure everything on that pair.

        Args:
            instance: the input that was explained.
            found: its explanation.
            explain: the same method on another input.
            neighbours: who proposes swaps: ``own_neighbours(model)``, or a masked model.

        Raises:
            CapabilityError: an analytic game.
            OptionError: options out of range.
        """
        question = instance.question
        if question is None:
            raise CapabilityError("an attack swaps words; an analytic game has none")
        if self.candidates < 1 or not 0 < self.most_changed <= 1 or self.most_explanations < 1:
            raise OptionError("candidates, most_changed and most_explanations must be above 0")
        search = _Search(self, instance, question, found, explain)
        search.run(neighbours)
        return search.final()


class _Search:
    def __init__(
        self,
        attack: SwapAttack,
        instance: Instance,
        question: Question,
        found: Attribution,
        explain: Explain,
    ) -> None:
        self.attack, self.instance, self.question = attack, instance, question
        self.explain, self.seed = explain, found.provenance.seed
        self.features = question.segmentation.features
        self.scores = np.array(found.scores[:, instance.output])
        self.texts = [feature.text for feature in found.segmentation.features]
        self.before = decides(question, question.source)
        self.chosen: dict[int, str] = {}
        self.explanations, self.decisions = 0, 1

    def run(self, neighbours: Neighbours) -> None:
        allowed = floor(self.attack.most_changed * self.instance.n + 1e-9)
        best = 1.0
        text = self.question.segmentation.document.text
        for index in self._order():
            if len(self.chosen) >= allowed:
                return
            word = self.features[index]
            proposed = list(neighbours(text, word.start, word.end))[: self.attack.candidates]
            found: tuple[float, str] | None = None
            for other in proposed:
                if other.casefold() == word.text.casefold():
                    continue
                source = self._source({**self.chosen, index: other})
                self.decisions += 1
                if holds(self.before, decides(self.question, source)) is not None:
                    continue
                if self.explanations >= self.attack.most_explanations:
                    break
                overlap, _ = self._compared(source)
                if overlap < best - 1e-12:
                    best, found = overlap, (overlap, other)
            if found is not None:
                self.chosen[index] = found[1]
            if self.explanations >= self.attack.most_explanations:
                return

    def _order(self) -> list[int]:
        n = self.instance.n
        without = self.instance.decided(~np.eye(n, dtype=bool))
        whole = self.instance.decided(np.ones((1, n), dtype=bool))[0]
        held = set(np.argsort(-np.abs(self.scores), kind="stable")[: top_size(n)].tolist())
        order: list[int] = np.argsort(-np.abs(whole - without), kind="stable").tolist()
        return [i for i in order if i not in held and not carries_no_content(self.features[i].text)]

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
        moved = holds(self.before, decides(self.question, source))
        texts = [f.text for f in again.segmentation.features]
        same = sum(self.texts[i] == texts[j] for i, j in pairs.tolist())
        other: Float[np.ndarray, " m"] = np.array(again.scores[:, self.instance.output])
        measurement = Measurement(
            name="attacked-overlap",
            value=overlap,
            unit="rank-biased overlap",
            n=1,
            direction="higher",
            interval=None,
            specification=self.instance.specification(
                "SwapAttack",
                candidates=self.attack.candidates,
                most_changed=self.attack.most_changed,
                most_explanations=self.attack.most_explanations,
                p=PERSISTENCE,
            ),
            random=overlap_chance(self.scores, other, pairs).value,
            best=1.0,
        )
        return Attack(
            source=source,
            swaps=tuple((self.features[i].text, new) for i, new in sorted(self.chosen.items())),
            measurement=measurement,
            changed=(len(self.texts) - same) / len(self.texts),
            moved=moved,
            explanations=self.explanations,
            decisions=self.decisions,
        )
