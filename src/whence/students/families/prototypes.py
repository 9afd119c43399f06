"""A few texts that stand for all: a new text is answered as the one it is most like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from whence.core.errors import InputError, OptionError
from whence.students.families.base import (
    Evidence,
    Fitted,
    ReadingCost,
    Reasons,
    Student,
    feature_subset,
    training_weights,
)
from whence.students.families.views import Answer, CasesView
from whence.students.features.vectorizer import Features
from whence.students.fitting.sparse import dense, size

__all__ = ["Case", "FittedPrototypes", "Prototypes"]

# The sparse product of a block with 20,000 texts takes up to 10 MB with its indices, where that
# of 1,000 candidates at once would take 160 MB. Chosen by hand.
BLOCK = 64
"""Candidates whose similarities to all texts are multiplied out at once."""

# Chosen by hand; the reason says how many more there are.
NAMED = 5
"""Shared features that a reason names."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A text that was seen, and the answer of the texts that are most like it.

    ``chances`` is the mean of the teacher's probabilities over those ``texts`` (their weight).
    """

    text: str
    chances: Float[np.ndarray, " labels"]
    texts: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Prototypes(Student):
    """The nearest of a few shown texts answers.

    Similarity is the cosine of the features a text has, each weighted by ``log(n / n_j) + 1``
    where ``n_j`` of ``n`` texts have it. With ``s(i, p)`` the similarity of a text and ``m`` the
    mean over texts, prototypes are added one by one so that

        sum over labels of  m(max s(i, p) of the label's own p over its own texts)
                          - m(max s(i, p) of the label's own p over all other texts)

    rises most, until there are ``cases`` or it would fall. Its cost is that of comparing
    ``candidates`` texts with all.

    A text is like another in its topic first: a teacher that goes by single words is followed far
    less than by a list of rules. The student holds training texts word for word, and so does
    whatever is written of it. Bien and Tibshirani (2011), doi:10.1214/11-AOAS495.

    Args:
        cases: prototypes at most.
        candidates: texts that prototypes are chosen among, drawn where there are more.
        seed: seed of that draw.
    """

    size_field = "cases"
    aliases = ("cases",)
    needs_whole_texts = True

    cases: int = 20
    candidates: int = 1000
    seed: int = 0

    def check(self, labels: Sequence[str]) -> None:
        """Refuse settings that cannot be fitted; see :meth:`Student.check`."""
        if self.cases < 1 or self.candidates < 1:
            raise OptionError(f"cases={self.cases}, candidates={self.candidates}: at least 1 each")

    def fit(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
        texts: Sequence[str] | None = None,
    ) -> FittedPrototypes:
        """Choose the prototypes, and average the teacher over the texts nearest to each.

        Args:
            table: row of features for each text.
            targets: probabilities of the teacher.
            features: features of the columns.
            labels: labels of the columns of ``targets``.
            weights: weight of each text; all equal by default.
            texts: texts of the rows, as far as the teacher read them.
        """
        self.check(labels)
        share = training_weights(table, targets, features, labels, weights)
        n = size(table)[0]
        if texts is None or len(texts) != n:
            number = "none" if texts is None else len(texts)
            raise InputError(
                f"expected the {n} texts of the rows in texts=, got {number}; "
                "prototypes are shown word for word"
            )
        # The + 1 keeps a feature that all texts have from weighing nothing, so that texts of
        # nothing else are still like each other. Small weights can leave a feature less than one
        # text.
        holding = np.asarray(share @ table)
        rarity = np.log(n / np.clip(holding, 1.0, n)) + 1
        chosen = self._chosen(_unit(table, rarity), targets.argmax(axis=1), share)
        columns = np.unique(table[chosen].indices).astype(np.int64)
        base = share @ targets / n
        quoted = [texts[row] for row in chosen]
        empty = [Case(text, base, 0.0) for text in quoted]
        draft = FittedPrototypes(
            labels, feature_subset(features, columns), empty, rarity[columns], base
        )
        # Asked of the draft, not of the similarities above: a case counts the very texts that it
        # answers later, ties and rounding included.
        near = draft.nearest(sparse.csr_array(table[:, columns]))
        cases: list[Case] = []
        for place, text in enumerate(quoted):
            nearby = np.where(near == place, share, 0.0)
            weight = float(nearby.sum())
            # A prototype with the features of an earlier one is nearest to nothing; it answers the
            # mean.
            cases.append(Case(text, nearby @ targets / weight if weight else base, weight))
        return FittedPrototypes(labels, draft.features, cases, draft.rarity, base)

    def learn(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
        texts: Sequence[str] | None = None,
    ) -> FittedPrototypes:
        """As :meth:`fit`."""
        return self.fit(
            table, targets, features=features, labels=labels, weights=weights, texts=texts
        )

    def _chosen(
        self, unit: sparse.csr_array, tops: Int[np.ndarray, " texts"], share: np.ndarray
    ) -> list[int]:
        """Rows of the prototypes, in the order in which they were added."""
        n = size(unit)[0]
        rows = np.arange(n)
        if n > self.candidates:
            sample = np.random.default_rng(self.seed).permutation(n)[: self.candidates]
            rows = np.sort(sample)
        # What weighs nothing is an edit or a bare n-gram, which nobody should be shown as a case.
        rows = rows[share[rows] > 0]
        across = sparse.csr_array(unit.T)
        near = np.empty((len(rows), n), dtype=np.float32)
        for start in range(0, len(rows), BLOCK):
            part = sparse.csr_array(unit[rows[start : start + BLOCK]])
            near[start : start + BLOCK] = dense(sparse.csr_array(part @ across))
        # For each label, what a text's similarity counts: for its own, against all others.
        counts: dict[int, np.ndarray] = {}
        covered: dict[int, np.ndarray] = {}
        for label in np.unique(tops).tolist():
            same, other = np.where(tops == label, share, 0.0), np.where(tops == label, 0.0, share)
            signed = same / max(float(same.sum()), 1e-12) - other / max(float(other.sum()), 1e-12)
            counts[label], covered[label] = signed.astype(np.float32), np.zeros(n, dtype=np.float32)
        gains = np.empty(len(rows))
        result: list[int] = []
        stale = set(counts)
        while len(result) < self.cases and len(rows):
            for label in stale:
                for place in np.flatnonzero(tops[rows] == label).tolist():
                    more = np.maximum(near[place] - covered[label], 0)
                    gains[place] = float(more @ counts[label])
            best = int(gains.argmax())
            if gains[best] <= 0:
                break
            label = int(tops[rows[best]])
            result.append(int(rows[best]))
            np.maximum(covered[label], near[best], out=covered[label])
            # A prototype changes what its own label covers and no other, so the gains of the others
            # stand.
            stale = {label}
        return result


def _unit(table: sparse.csr_array, rarity: Float[np.ndarray, " features"]) -> sparse.csr_array:
    """Rows of weighted features, of length 1."""
    data = rarity[table.indices]
    rows = np.repeat(np.arange(size(table)[0]), np.diff(table.indptr))
    length = np.sqrt(np.bincount(rows, weights=data * data, minlength=size(table)[0]))
    # A text without a feature has length 0, but also no entry that would be divided by it. 32 bits
    # halve the table of similarities; the scorer rounds alike.
    scaled = (data / length[rows]).astype(np.float32)
    return sparse.csr_array((scaled, table.indices, table.indptr), shape=size(table))


class FittedPrototypes(Fitted):
    """Cases in the order in which they were chosen, and what each shared feature weighs.

    A text that shares no feature with any case gets ``base``, the mean answer.
    """

    quotes_texts = True

    def __init__(
        self,
        labels: Sequence[str],
        features: Features,
        cases: Sequence[Case],
        rarity: Float[np.ndarray, " features"],
        base: Float[np.ndarray, " labels"],
    ) -> None:
        super().__init__(labels, features)
        self.cases = tuple(cases)
        self.rarity = rarity
        self.base = base
        table = features.table([case.text for case in self.cases])
        # The length of the text asked about is the same for all cases and need not be known.
        self._pull = sparse.csr_array(_unit(table, rarity) * rarity).astype(np.float64)

    def nearest(self, table: sparse.csr_array) -> Int[np.ndarray, " texts"]:
        """The case each text is most like, the first of equals; -1 where it is like none."""
        if not self.cases:
            return np.full(size(table)[0], -1, dtype=np.int64)
        pulls = dense(sparse.csr_array(table @ self._pull.T))
        return np.where(pulls.max(axis=1) > 0, pulls.argmax(axis=1), -1).astype(np.int64)

    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """The answer of the nearest case."""
        # The mean answer stands last, where -1 finds it.
        return np.stack([*(case.chances for case in self.cases), self.base])[self.nearest(table)]

    @property
    def reading_cost(self) -> ReadingCost:
        """All words of the cases; their probabilities, and the weight of every feature."""
        words = sum(len(case.text.split()) for case in self.cases)
        answers = (len(self.cases) + 1) * (len(self.labels) - 1)
        return ReadingCost(words, answers + len(self.features))

    def explain(self, text: str) -> Reasons:
        """The nearest case, by the features shared with it that weigh most."""
        index = int(self.nearest(self.features.table([text]))[0])
        evidence: list[Evidence] = []
        if index >= 0:
            case, spans = self.cases[index], self.features.spans(text)
            shared = [j for j in self.features.of(case.text) if j in spans]
            shared.sort(key=lambda j: -float(self.rarity[j]))
            top = shared[:NAMED]
            words = ", ".join(self.features.describe(j) for j in top)
            more = f" and {len(shared) - len(top)} more" if len(shared) > len(top) else ""
            places = sorted({place for j in top for place in spans[j]})
            says = f"most like case {index + 1}, by {words}{more}"
            evidence.append(Evidence(says, tuple(places), case.chances - self.base))
        return self._reasons(text, self.base, evidence, "probability")

    def to_text(self) -> str:
        """One line a case: its answer, then the whole text."""
        lines = [
            f"{place}. {self._answer(case.chances)}, {case.texts:.0f} texts): {case.text}"
            for place, case in enumerate(self.cases, start=1)
        ]
        return "\n".join([*lines, f"like none of them: {self._answer(self.base)})"])

    def _answer(self, chances: np.ndarray) -> str:
        top = int(chances.argmax())
        return f"{self.labels[top]} ({chances[top]:.2f}"

    def view(self) -> CasesView:
        """The cases, word for word."""
        cases = [(case.text, Answer(case.chances, case.texts)) for case in self.cases]
        return CasesView(tuple(cases), Answer(self.base))

    def to_json(self) -> dict[str, Any]:
        """Features with their weights, and the cases word for word."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "features": self.features.to_json(),
            "rarity": self.rarity.tolist(),
            "base": self.base.tolist(),
            "cases": [[case.text, case.chances.tolist(), case.texts] for case in self.cases],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> FittedPrototypes:
        """What :meth:`to_json` wrote."""
        cases = [Case(text, np.array(chances), texts) for text, chances, texts in tree["cases"]]
        return cls(
            tree["labels"],
            Features.from_json(tree["features"]),
            cases,
            np.array(tree["rarity"], dtype=np.float64),
            np.array(tree["base"], dtype=np.float64),
        )
