"""A student as a query over a table of texts that were split into words beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whence.core.errors import CapabilityError, OptionError
from whence.students.export.sql_features import conditions_of, literal, spaced, storable
from whence.students.families.additive import FittedAdditive
from whence.students.families.base import Fitted
from whence.students.families.decision_tree import FittedTree
from whence.students.families.rule_list import FittedRules
from whence.students.families.scorecard import FittedScorecard
from whence.students.families.sparse_linear import FittedLinear

__all__ = ["MOST", "as_sql", "spaced"]

MOST = 300
"""Terms that are added up at most: SQLite takes expressions up to a depth of 1,000."""

_OURS = ("answer", "label", "points")

_HEAD = """\
-- The column {text} holds the words of a text as whence splits them, each between single spaces
-- (whence.students.export.sql.spaced); of the bare text the answers are others.
"""


def as_sql(student: Fitted, *, table: str = "texts", key: str = "id", text: str = "tokens") -> str:
    r"""One ``SELECT`` that gives the label and the probabilities of every row of a table.

    Columns: the key, ``label``, and ``probability of ...`` for each label. Rules, trees and
    scorecards give the student's own numbers; those of linear and additive students are computed
    by ``EXP``, to about 1e-15. Standard SQL, tested in SQLite; where a backslash escapes inside a
    literal (MySQL), that must be turned off, and where ``[`` is a wildcard (SQL Server) no feature
    may hold it. Names stand in double quotes.

    Args:
        student: a rule list, tree or scorecard, or one that adds up no more than 300 features
            and pairs.
        table: where the texts are; a dot parts a schema from a table.
        key: the column that names a row.
        text: the column that holds :func:`spaced` texts.

    Raises:
        CapabilityError: another kind of student, or features that no comparison of text finds.
        OptionError: a name that is none, or one that the query uses itself.

    Example:
        >>> from whence.students.features.vectorizer import Features
        >>> from whence.students.families.rule_list import Literal, Rule
        >>> features = Features.from_json({"longest": 1, "negation": False, "position": False,
        ...                                "lexicons": {}, "features": [["ngram", "late", 1]]})
        >>> rules = [Rule((Literal(0, True),), np.array([0.1, 0.9]), 9.0),
        ...          Rule((), np.array([0.8, 0.2]), 40.0)]
        >>> query = as_sql(FittedRules(("accept", "reject"), features, rules))
        >>> [line.strip() for line in query.splitlines() if "LIKE" in line]
        ['WHEN "tokens" LIKE \'% late %\' THEN 0']
    """
    if key in _OURS or (key[:1] in ("f", "z") and key[1:].isdecimal()):
        raise OptionError(f"key={key!r} is a column of the query itself; rename it in a view")
    names = _Names(_table(table), _name(key), _name(text))
    for label in student.labels:
        storable(label)
    head = _HEAD.format(text=names.text)
    if isinstance(student, FittedLinear):
        terms = [f"f{j}" for j in range(len(student.features))]
        return head + _sums(student, terms, student.weights, student.intercept, names)
    if isinstance(student, FittedAdditive):
        terms = [f"f{j}" for j in range(len(student.features))]
        terms += [f"f{a} * f{b}" for a, b in student.pairs]
        return head + _sums(student, terms, student.adds, student.base, names)
    conditions = conditions_of(student.features, names.text)
    if isinstance(student, FittedRules):
        return head + _rules(student, conditions, names)
    if isinstance(student, FittedTree):
        return head + _tree(student, conditions, names)
    if isinstance(student, FittedScorecard):
        return head + _scorecard(student, conditions, names)
    raise CapabilityError(
        f"{type(student).__name__} is not written as SQL; rule lists, trees, scorecards and small "
        "linear and additive students are"
    )


class _Names:
    """The table and its columns, as they are written in the query."""

    def __init__(self, table: str, key: str, text: str) -> None:
        self.table, self.key, self.text = table, key, text


def _rules(student: FittedRules, conditions: Sequence[str], names: _Names) -> str:
    *conditional, _ = student.rules
    lines = [
        " WHEN "
        + " AND ".join(_held(conditions[c], there) for c, there in rule.literals)
        + f" THEN {index}"
        for index, rule in enumerate(conditional)
    ]
    which = _case(lines, str(len(conditional)))
    return _cells(student, which, [rule.chances for rule in student.rules], names)


def _tree(student: FittedTree, conditions: Sequence[str], names: _Names) -> str:
    leaves: list[np.ndarray] = []

    def write(index: int, depth: int) -> str:
        """One ``CASE`` goes down a whole chain of questions.

        The child that nests less stands inside it, so cases nest no deeper than the logarithm of
        the leaves; SQLite's parser takes some twenty in each other.
        """
        lines: list[str] = []
        node = student.nodes[index]
        while node.column is not None:
            inside = ranks[node.there] <= ranks[node.absent]
            first, index = (node.there, node.absent) if inside else (node.absent, node.there)
            answer = write(first, depth + 1)
            lines.append(f" WHEN {_held(conditions[node.column], inside)} THEN {answer}")
            node = student.nodes[index]
        leaves.append(node.chances)
        return _case(lines, str(len(leaves) - 1), depth)

    ranks = _ranks(student)
    return _cells(student, write(0, 0), leaves, names)


def _ranks(student: FittedTree) -> list[int]:
    """How deep the cases of each node nest: one more than its children's where these are equal."""
    found = [0] * len(student.nodes)
    # Children stand after their parent.
    for place in range(len(found) - 1, -1, -1):
        node = student.nodes[place]
        if node.column is not None:
            there, absent = found[node.there], found[node.absent]
            found[place] = max(there, absent, min(there, absent) + 1)
    return found


def _cells(student: Fitted, which: str, chances: Sequence[np.ndarray], names: _Names) -> str:
    """The query where the text decides which of some answers is given."""
    tops = [literal(student.labels[int(answer.argmax())]) for answer in chances]
    columns = [f"{_chosen('answer', tops)} AS label"]
    for place, label in enumerate(student.labels):
        numbers = [_number(float(answer[place])) for answer in chances]
        columns.append(f"{_chosen('answer', numbers)} AS {_probability(label)}")
    inner = f"WITH answered AS (\n SELECT {names.key},\n {which} AS answer\n FROM {names.table}\n)"
    return f"{inner}\nSELECT {names.key},\n" + ",\n".join(columns) + "\nFROM answered\n"


def _scorecard(student: FittedScorecard, conditions: Sequence[str], names: _Names) -> str:
    points = [
        f" + CASE WHEN {condition} THEN {int(point)} ELSE 0 END"
        for condition, point in zip(conditions, student.points.tolist(), strict=True)
    ]
    steps = list(zip(student.sums.tolist(), student.chances.tolist(), strict=True))
    # A sum below the smallest takes its entry too.
    answers = [(f"points >= {start}", np.array([1 - p, p])) for start, p in reversed(steps[1:])]
    answers.append(("", np.array([1 - steps[0][1], steps[0][1]])))

    def column(values: Sequence[str], name: str) -> str:
        lines = [
            f" WHEN {condition} THEN {value}"
            for (condition, _), value, below in zip(answers, values, values[1:], strict=False)
            if value != below
        ]
        return f"{_case(lines, values[-1])} AS {name}"

    tops = [literal(student.labels[int(answer.argmax())]) for _, answer in answers]
    columns = ["points", column(tops, "label")]
    for place, label in enumerate(student.labels):
        numbers = [_number(float(answer[place])) for _, answer in answers]
        columns.append(column(numbers, _probability(label)))
    added = "\n".join(["0", *points])
    inner = f"WITH added AS (\n SELECT {names.key},\n {added} AS points\n FROM {names.table}\n)"
    return f"{inner}\nSELECT {names.key},\n" + ",\n".join(columns) + "\nFROM added\n"


def _sums(
    student: Fitted,
    terms: Sequence[str],
    weights: np.ndarray,
    intercept: np.ndarray,
    names: _Names,
) -> str:
    """The query where weights of terms are added up, and the greatest sum decides."""
    labels = len(student.labels)
    if len(terms) > MOST:
        raise CapabilityError(
            f"a student that adds up {len(terms)} terms is not written as SQL, {MOST} at most: "
            "databases limit the depth of a sum. Distil one of fewer features."
        )
    conditions = conditions_of(student.features, names.text)
    found = [f" CASE WHEN {c} THEN 1 ELSE 0 END AS f{j}" for j, c in enumerate(conditions)]
    inner = ",\n".join([f" SELECT {names.key}", *found]) + f"\n FROM {names.table}"
    sums: list[str] = []
    for place in range(labels):
        # The intercept comes last, as when the student decides: then ties stay ties.
        column: list[float] = weights[:, place].tolist()
        added = [_signed(w, f" * {term}") for w, term in zip(column, terms, strict=True)]
        added.append(_signed(float(intercept[place]), ""))
        sums.append(" 0.0" + "".join(added) + f" AS z{place}")
    scored = ",\n".join([f" SELECT {names.key}", *sums]) + "\n FROM found"
    lines = [
        " WHEN "
        + " AND ".join(f"z{place} >= z{other}" for other in range(place + 1, labels))
        + f" THEN {literal(student.labels[place])}"
        for place in range(labels - 1)
    ]
    columns = [f"{_case(lines, literal(student.labels[-1]))} AS label"]
    for place, label in enumerate(student.labels):
        others = "".join(f" + EXP(z{o} - z{place})" for o in range(labels) if o != place)
        columns.append(f"1.0 / (1.0{others}) AS {_probability(label)}")
    return (
        f"WITH found AS (\n{inner}\n), scored AS (\n{scored}\n)\n"
        f"SELECT {names.key},\n" + ",\n".join(columns) + "\nFROM scored\n"
    )


def _held(condition: str, there: bool) -> str:
    return condition if there else f"NOT ({condition})"


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
    return repr(float(value))


def _signed(value: float, rest: str) -> str:
    return f"\n {'-' if value < 0 else '+'} {_number(abs(value))}{rest}"


def _probability(label: str) -> str:
    return _quoted(f"probability of {label}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _name(name: str) -> str:
    if not name or "\x00" in name:
        raise OptionError(f"{name!r} names no table or column")
    return _quoted(name)


def _table(name: str) -> str:
    return ".".join(_name(part) for part in name.split("."))
