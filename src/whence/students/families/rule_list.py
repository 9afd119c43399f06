"""An ordered list of rules: the first that applies answers, with probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from whence.core.errors import OptionError
from whence.students.families.base import (
    Evidence,
    Fitted,
    ReadingCost,
    Reasons,
    Student,
    feature_subset,
    training_weights,
)
from whence.students.families.views import Answer, RulesView
from whence.students.features.vectorizer import Features
from whence.students.fitting.sparse import dense, size
from whence.students.fitting.splits import Sums, floor_of, gains, purity, sums_of
from whence.students.formats.onnx_graph import Graph
from whence.students.formats.sql_query import SqlQuery

__all__ = ["FittedRuleList", "Literal", "Rule", "RuleList"]

# Chosen by hand; not calibrated. Each takes one more product with the table.
BEAM = 30
"""First conditions that are tried with a second one."""

# Chosen by hand; not calibrated.
WORTH = 1.02
"""A second condition must raise the gain by this factor, or the shorter rule is kept."""


class Literal(NamedTuple):
    """A feature that must be there, or must be absent."""

    column: int
    there: bool


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Conditions that must all hold (none: the rule that always applies), and the answer.

    ``chances`` is the mean of the teacher's probabilities over the ``texts`` it was learnt from:
    those that no rule before it applied to.
    """

    literals: tuple[Literal, ...]
    chances: Float[np.ndarray, " labels"]
    texts: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleList(Student):
    """If A and not B: x; else if C: y; else z.

    Each rule is the one of at most ``conditions`` conditions that, split from the texts still
    without an answer, takes most off the squared error to the teacher's probabilities. Rules that
    depend on the order are read with the ones before them denied. Greedy like a tree, though
    pairs of conditions are seen together where the first alone tells anything.
    Rivest (1987), doi:10.1007/BF00058680; Letham et al. (2015), arXiv:1511.01644.

    Args:
        rules: most rules, the last one ("else") not counted.
        conditions: most conditions of one rule, 1 or 2; the first asks for a feature that is there.
        least_texts: texts that a rule must apply to.
        least_gain: share of the whole squared error that a rule must take off.
    """

    size_field = "rules"
    aliases = ("rules",)
    default_sizes = (10,)
    rank = 3

    rules: int = 10
    conditions: int = 2
    least_texts: int = 5
    least_gain: float = 1e-3

    def check(self, labels: Sequence[str]) -> None:
        """Refuse settings that cannot be fitted; see :meth:`Student.check`."""
        if self.rules < 0 or self.conditions not in (1, 2) or self.least_texts < 1:
            raise OptionError(
                f"rules={self.rules}, conditions={self.conditions}, "
                f"least_texts={self.least_texts}: out of range"
            )

    def fit(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
    ) -> FittedRuleList:
        """Learn, one rule after the other."""
        self.check(labels)
        share = training_weights(table, targets, features, labels, weights)
        columns = sparse.csc_array(table)
        rows = np.arange(size(table)[0])
        sums = sums_of(table, targets, share, rows)
        floor = floor_of(sums, targets, share, self.least_gain)
        rules: list[Rule] = []
        while len(rules) < self.rules and len(rows):
            best = self._best(table, columns, targets, share, rows, sums)
            if best is None or best[0] <= floor:
                break
            literals = best[1]
            inside = np.ones(len(rows), dtype=np.bool_)
            for literal in literals:
                has = np.isin(rows, _having(columns, literal.column), assume_unique=True)
                inside &= has == literal.there
            caught = sums_of(table, targets, share, rows[inside])
            rules.append(Rule(literals, caught.total / caught.weight, caught.weight))
            rows, sums = rows[~inside], sums.less(caught)
        # Summed afresh: what is left after so many subtractions carries their rounding, and this
        # answer is shown. It is never empty, as every rule had to leave least_texts behind.
        rest = sums_of(table, targets, share, rows)
        rules.append(Rule((), rest.total / rest.weight, rest.weight))
        return FittedRuleList(labels, *_compact(features, rules))

    def _best(
        self,
        table: sparse.csr_array,
        columns: sparse.csc_array,
        targets: np.ndarray,
        share: np.ndarray,
        rows: np.ndarray,
        sums: Sums,
    ) -> tuple[float, tuple[Literal, ...]] | None:
        alone = gains(sums, float(self.least_texts))
        if not np.isfinite(alone).any():
            return None
        first = int(alone.argmax())
        best = (float(alone[first]), (Literal(first, True),))
        if self.conditions == 1:
            return best
        inside = np.zeros(size(table)[0], dtype=np.bool_)
        inside[rows] = True
        bar = best[0] * WORTH
        candidates: list[int] = np.argsort(-alone, kind="stable")[:BEAM].tolist()
        for column in candidates:
            # Sorted by gain: behind the first feature that too few texts have come only such.
            if not np.isfinite(alone[column]):
                break
            having = _having(columns, column)
            group = sums_of(table, targets, share, having[inside[having]])
            # The second condition is there, or absent; the column itself makes no second one.
            for there in (True, False):
                weight = group.with_weight if there else group.weight - group.with_weight
                total = group.with_total if there else group.total - group.with_total
                result = _gain(sums, weight, total, float(self.least_texts))
                result[column] = -np.inf
                second = int(result.argmax())
                if result[second] > max(bar, best[0]):
                    best = (
                        float(result[second]),
                        (Literal(column, True), Literal(second, there)),
                    )
        return best


def _having(columns: sparse.csc_array, column: int) -> Int[np.ndarray, " rows"]:
    return columns.indices[columns.indptr[column] : columns.indptr[column + 1]].astype(np.int64)


def _gain(sums: Sums, weight: np.ndarray, total: np.ndarray, least: float) -> np.ndarray:
    """Fall of the squared error where rows of this weight and total are split off."""
    rest = sums.weight - weight
    whole = float((sums.total**2).sum()) / sums.weight
    result = purity(weight, total) + purity(rest, sums.total - total) - whole
    result[(weight < least) | (rest < least)] = -np.inf
    return result


def _compact(features: Features, rules: Sequence[Rule]) -> tuple[Features, list[Rule]]:
    used = np.unique([literal.column for rule in rules for literal in rule.literals])
    # Without any condition the list is empty, of which NumPy makes floats, no indices.
    used = used.astype(np.int64)
    place = {column: new for new, column in enumerate(used.tolist())}
    renamed = [
        Rule(
            tuple(Literal(place[c], there) for c, there in rule.literals), rule.chances, rule.texts
        )
        for rule in rules
    ]
    return feature_subset(features, used), renamed


class FittedRuleList(Fitted):
    """Rules in their order; the last has no condition."""

    def __init__(self, labels: Sequence[str], features: Features, rules: Sequence[Rule]) -> None:
        super().__init__(labels, features)
        self.rules = tuple(rules)

    def applied(self, table: sparse.csr_array) -> Int[np.ndarray, " texts"]:
        """Which rule answers each text."""
        has = dense(table) > 0
        result = np.full(size(table)[0], len(self.rules) - 1)
        free = np.ones(size(table)[0], dtype=np.bool_)
        for index, rule in enumerate(self.rules[:-1]):
            holds = free.copy()
            for column, there in rule.literals:
                holds &= has[:, column] == there
            result[holds] = index
            free &= ~holds
        return result

    def counted(self, table: sparse.csr_array) -> FittedRuleList:
        """The same rules, with the number of texts each decides."""
        counts = np.bincount(self.applied(table), minlength=len(self.rules)).tolist()
        rules = [
            Rule(rule.literals, rule.chances, float(n))
            for rule, n in zip(self.rules, counts, strict=True)
        ]
        return FittedRuleList(self.labels, self.features, rules)

    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """The answer of the first rule that applies."""
        return np.stack([rule.chances for rule in self.rules])[self.applied(table)]

    @property
    def reading_cost(self) -> ReadingCost:
        """The conditions, and the probabilities (all labels but one) of every rule."""
        words = sum(
            self.features.cost([column]) + (not there)
            for rule in self.rules
            for column, there in rule.literals
        )
        return ReadingCost(words, len(self.rules) * (len(self.labels) - 1))

    def explain(self, text: str) -> Reasons:
        """The rule that answered; its share is what it differs by from answering "else".

        Where no rule applied there is no evidence: the features of all of them are absent.
        """
        rule = self.rules[int(self.applied(self.features.table([text]))[0])]
        base = self.rules[-1].chances
        spans = self.features.spans(text)
        places = [place for column, there in rule.literals if there for place in spans[column]]
        evidence: list[Evidence] = []
        if rule.literals:
            share = rule.chances - base
            evidence.append(Evidence(self.condition(rule), tuple(sorted(places)), share))
        return self._reasons(text, base, evidence, "probability")

    def condition(self, rule: Rule) -> str:
        """The conditions of a rule in words."""
        return " and ".join(
            self.features.describe(column, there=there) for column, there in rule.literals
        )

    def to_text(self) -> str:
        """One line a rule."""
        lines: list[str] = []
        for index, rule in enumerate(self.rules):
            top = int(rule.chances.argmax())
            says = f"{self.labels[top]} ({rule.chances[top]:.2f}, {rule.texts:.0f} texts)"
            lead = f"if {self.condition(rule)}: " if rule.literals else ""
            lines.append(("else " if index else "") + lead + says)
        return "\n".join(lines)

    def view(self) -> RulesView:
        """The rules in words."""
        rules = [
            (self.condition(rule) if rule.literals else None, Answer(rule.chances, rule.texts))
            for rule in self.rules
        ]
        return RulesView(tuple(rules))

    def to_sql(self, query: SqlQuery) -> str:
        """The first rule that holds."""
        answers = [rule.chances for rule in self.rules]
        return query.first_that_holds([rule.literals for rule in self.rules], answers)

    def to_onnx(self, graph: Graph, presence: str) -> str:
        """The first rule that holds; the last always does."""
        answers = np.stack([rule.chances for rule in self.rules])
        return graph.first_that_holds(presence, [rule.literals for rule in self.rules], answers)

    def to_json(self) -> dict[str, Any]:
        """Features and rules."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "features": self.features.to_json(),
            "rules": [
                [[[c, there] for c, there in r.literals], r.chances.tolist(), r.texts]
                for r in self.rules
            ],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> FittedRuleList:
        """What :meth:`to_json` wrote."""
        rules = [
            Rule(tuple(Literal(c, there) for c, there in literals), np.array(chances), texts)
            for literals, chances, texts in tree["rules"]
        ]
        return cls(tree["labels"], Features.from_json(tree["features"]), rules)
