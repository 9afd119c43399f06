"""A query that gives a student's label and probabilities for every row of a table of texts.

Families describe themselves by one of four shapes: the first condition that holds, a tree of
questions, points looked up in a table, a weighted sum. The text of the query is written here alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from whence.core.errors import CapabilityError, OptionError
from whence.students.features.word_features import WordFeatures
from whence.students.formats.sql_features import conditions_of, literal
from whence.students.formats.sql_words import prepared

__all__ = ["MOST", "SqlQuery"]

MOST = 300
"""Terms of a sum at most: SQLite takes expressions up to a depth of 1,000 (its documented limit
SQLITE_MAX_EXPR_DEPTH), and each term nests some three deep."""

# Columns of the inner queries, which a key of the same name would make ambiguous.
_OURS = ("answer", "label", "points", "words", "rest")

# Inner queries: a table of the same name would be asked for by itself.
_INNER = re.compile(r"answered|added|found|scored|prepared|text\d+", re.IGNORECASE)


@runtime_checkable
class Question(Protocol):
    """A node of a tree: the feature it asks for, ``None`` at a leaf, and its two children.

    Children stand after their parent.
    """

    column: int | None
    absent: int
    there: int


class SqlQuery:
    """The table, its columns and the features, from which a family writes its query.

    Args:
        labels: labels of the student.
        features: features of the student.
        table: name of the table; a dot separates a schema from a table.
        key: name of the column that identifies a row.
        text: name of the column that holds the texts.
        dialect: database that the query is for.

    Raises:
        OptionError: an empty name, one that the query uses itself, or an unknown dialect.
    """

    def __init__(
        self,
        labels: Sequence[str],
        features: WordFeatures,
        *,
        table: str,
        key: str,
        text: str,
        dialect: str,
    ) -> None:
        lower = key.lower()
        if lower in _OURS or (lower[:1] in ("f", "z") and lower[1:].isdecimal()):
            raise OptionError(f"key={key!r} is a column of the query itself; rename it in a view")
        if _INNER.fullmatch(table):
            raise OptionError(f"table={table!r} is part of the query itself; make a view of it")
        self.labels, self.features = tuple(labels), features
        self.key, self.text = _name(key), _name(text)
        named = ".".join(_name(part) for part in table.split("."))
        self._prepared = prepared(named, self.key, self.text, dialect)

    @cached_property
    def conditions(self) -> list[str]:
        """What is true of a text that has each feature.

        Raises:
            CapabilityError: a feature that no comparison of text finds.
        """
        return conditions_of(self.features, "words")

    def first_that_holds(
        self, rules: Sequence[Sequence[tuple[int, bool]]], answers: Sequence[np.ndarray]
    ) -> str:
        """The query of rules in their order.

        Args:
            rules: columns of each rule, and whether the text must have them; none in the last.
            answers: probabilities of each rule.
        """
        # CASE gives the first condition that holds, as the list does. It gives its number, which
        # the outer query looks up for each column: long conditions are written once, not once a
        # label.
        lines = [
            " WHEN " + " AND ".join(self._holds(c, there) for c, there in rule) + f" THEN {index}"
            for index, rule in enumerate(rules[:-1])
        ]
        return self._by_answer(_case(lines, str(len(lines))), answers)

    def tree(self, nodes: Sequence[Question], answers: Sequence[np.ndarray]) -> str:
        """The query of a tree.

        Args:
            nodes: questions and leaves, the root first.
            answers: probabilities of each node.
        """
        leaves: list[np.ndarray] = []
        ranks = _ranks(nodes)

        def write(index: int, depth: int) -> str:
            """One ``CASE`` goes down a whole chain of questions.

            The child that nests less stands inside it, so cases nest no deeper than the logarithm
            of the leaves; SQLite's parser takes some twenty in each other.
            """
            lines: list[str] = []
            node = nodes[index]
            while node.column is not None:
                inside = ranks[node.there] <= ranks[node.absent]
                first, index = (node.there, node.absent) if inside else (node.absent, node.there)
                answer = write(first, depth + 1)
                lines.append(f" WHEN {self._holds(node.column, inside)} THEN {answer}")
                node = nodes[index]
            leaves.append(answers[index])
            return _case(lines, str(len(leaves) - 1), depth)

        return self._by_answer(write(0, 0), leaves)

    def points(self, points: Sequence[int], sums: Sequence[int], chances: Sequence[float]) -> str:
        """The query of points that are added up and looked up in a table, for two labels.

        Args:
            points: points of each feature.
            sums: sums of the table, ascending.
            chances: probability of the second label from each sum on.
        """
        added = [
            f" + CASE WHEN {condition} THEN {point} ELSE 0 END"
            for condition, point in zip(self.conditions, points, strict=True)
        ]
        steps = list(zip(sums, chances, strict=True))
        # A sum below the smallest takes its entry too.
        answers = [(f"points >= {start}", np.array([1 - p, p])) for start, p in reversed(steps[1:])]
        answers.append(("", np.array([1 - steps[0][1], steps[0][1]])))

        # From the highest sum down; an entry that says the same as the one below needs no line.
        def column(values: Sequence[str], name: str) -> str:
            lines = [
                f" WHEN {condition} THEN {value}"
                for (condition, _), value, below in zip(answers, values, values[1:], strict=False)
                if value != below
            ]
            return f"{_case(lines, values[-1])} AS {name}"

        tops = [literal(self.labels[int(answer.argmax())]) for _, answer in answers]
        columns = ["points", column(tops, "label")]
        for place, label in enumerate(self.labels):
            numbers = [_number(float(answer[place])) for _, answer in answers]
            columns.append(column(numbers, _probability(label)))
        total = "\n".join(["0", *added])
        return self._whole([("added", [f"{total} AS points"])], columns)

    def weighted_sum(
        self, weights: np.ndarray, start: np.ndarray, pairs: Sequence[tuple[int, int]] = ()
    ) -> str:
        """The query of logits that are sums, where the greatest decides.

        Args:
            weights: weight of each feature, then of each pair, on each label.
            start: logit of each label before anything is added.
            pairs: columns of features that count together.

        Raises:
            CapabilityError: more terms than databases add up.
        """
        terms = [f"f{j}" for j in range(len(self.features))]
        terms += [f"f{a} * f{b}" for a, b in pairs]
        if len(terms) > MOST:
            raise CapabilityError(
                f"expected a student of at most {MOST} terms, got {len(terms)}: databases limit the "
                "depth of a sum. Distil one of fewer features"
            )
        cells = [f"CASE WHEN {c} THEN 1 ELSE 0 END AS f{j}" for j, c in enumerate(self.conditions)]
        sums: list[str] = []
        for place in range(len(self.labels)):
            # The intercept comes last, as when the student decides: then ties stay ties.
            column: list[float] = weights[:, place].tolist()
            added = [_signed(w, f" * {term}") for w, term in zip(column, terms, strict=True)]
            added.append(_signed(float(start[place]), ""))
            # Of decimals PostgreSQL makes exact sums, which tie where the student's do not.
            sums.append("CAST(0.0 AS DOUBLE PRECISION)" + "".join(added) + f" AS z{place}")
        return self._whole([("found", cells), ("scored", sums)], self._softmax())

    def _whole(self, inner: Sequence[tuple[str, Sequence[str]]], columns: Sequence[str]) -> str:
        """The query: names and columns of queries that ask the one before, then the answer's."""
        parts, source = [self._prepared], "prepared WHERE words IS NOT NULL"
        for name, cells in inner:
            listed = ",\n ".join([self.key, *cells])
            parts.append(f"{name} AS (\n SELECT {listed}\n FROM {source}\n)")
            source = name
        answer = ",\n".join([self.key, *columns])
        unsaid = ", ".join([self.key, *["NULL"] * len(columns)])
        return (
            f"WITH {', '.join(parts)}\nSELECT {answer}\nFROM {source}\n"
            f"UNION ALL SELECT {unsaid} FROM prepared WHERE words IS NULL\n"
        )

    def _softmax(self) -> list[str]:
        """The columns of label and probabilities from logits ``z0``, ``z1``, ..."""
        labels = len(self.labels)
        # Only labels further on are compared: an earlier one was passed over because a later one is
        # greater, so the greatest is still to come. Of equals the first is taken.
        lines = [
            " WHEN "
            + " AND ".join(f"z{place} >= z{other}" for other in range(place + 1, labels))
            + f" THEN {literal(self.labels[place])}"
            for place in range(labels - 1)
        ]
        columns = [f"{_case(lines, literal(self.labels[-1]))} AS label"]
        for place, label in enumerate(self.labels):
            # 1 / (1 + sum e^(z_o - z_p)), not e^z_p over the sum: large logits would make that inf
            # / inf.
            others = "".join(
                f" + EXP({_bounded(f'z{o} - z{place}')})" for o in range(labels) if o != place
            )
            columns.append(f"1.0 / (1.0{others}) AS {_probability(label)}")
        return columns

    def _by_answer(self, which: str, answers: Sequence[np.ndarray]) -> str:
        """The query where an expression says which of some answers is given."""
        tops = [literal(self.labels[int(answer.argmax())]) for answer in answers]
        columns = [f"{_chosen('answer', tops)} AS label"]
        for place, label in enumerate(self.labels):
            numbers = [_number(float(answer[place])) for answer in answers]
            columns.append(f"{_chosen('answer', numbers)} AS {_probability(label)}")
        return self._whole([("answered", [f"{which} AS answer"])], columns)

    def _holds(self, column: int, there: bool) -> str:
        condition = self.conditions[column]
        return condition if there else f"NOT ({condition})"


def _ranks(nodes: Sequence[Question]) -> list[int]:
    """How deep the cases of each node nest: one more than its children's where these are equal."""
    # The Strahler number of each node, which is at most log2 of the leaves.
    ranks = [0] * len(nodes)
    # Children stand after their parent.
    for place in range(len(nodes) - 1, -1, -1):
        node = nodes[place]
        if node.column is not None:
            there, absent = ranks[node.there], ranks[node.absent]
            ranks[place] = max(there, absent, min(there, absent) + 1)
    return ranks


def _case(lines: Sequence[str], otherwise: str, depth: int = 0) -> str:
    if not lines:
        return otherwise
    pad = "\n" + "  " * depth
    return f"CASE{pad}" + pad.join(lines) + f"{pad} ELSE {otherwise}{pad}END"


def _chosen(column: str, values: Sequence[str]) -> str:
    if len(set(values)) == 1:
        return values[0]
    lines = "".join(f" WHEN {index} THEN {value}" for index, value in enumerate(values))
    return f"CASE {column}{lines} END"


def _number(value: float) -> str:
    # The shortest digits that read back as the same number, and no NumPy scalar's own form.
    return repr(float(value))


def _signed(value: float, rest: str) -> str:
    return f"\n {'-' if value < 0 else '+'} {_number(abs(value))}{rest}"


def _bounded(power: str) -> str:
    # PostgreSQL refuses what is too great or too small for a number; SQLite gives inf or 0.
    return f"CASE WHEN {power} > 700 THEN 700 WHEN {power} < -700 THEN -700 ELSE {power} END"


def _probability(label: str) -> str:
    return _quoted(f"probability of {label}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _name(name: str) -> str:
    if not name or "\x00" in name:
        raise OptionError(f"expected the name of a table or column, got {name!r}")
    return _quoted(name)
