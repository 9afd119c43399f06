"""A student as a query over a table of texts that were split into words beforehand."""

from __future__ import annotations

from whence.students.families.base import Fitted
from whence.students.formats.sql_features import spaced, storable
from whence.students.formats.sql_query import MOST, SqlQuery

__all__ = ["MOST", "as_sql", "spaced"]

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
        student: student of a family that is written as SQL: rule lists, trees, scorecards, and
            sparse linear and additive students of at most 300 features and pairs.
        table: name of the table of texts; a dot separates a schema from a table.
        key: name of the column that identifies a row.
        text: name of the column that holds :func:`spaced` texts.

    Raises:
        CapabilityError: another family, or features that no comparison of text finds.
        OptionError: an empty name, or one that the query uses itself.

    Example:
        >>> import numpy as np
        >>> from whence.students.features.vectorizer import Features
        >>> from whence.students.families.rule_list import FittedRuleList, Literal, Rule
        >>> features = Features.from_json({"longest": 1, "negation": False, "position": False,
        ...                                "lexicons": {}, "features": [["ngram", "late", 1]]})
        >>> rules = [Rule((Literal(0, True),), np.array([0.1, 0.9]), 9.0),
        ...          Rule((), np.array([0.8, 0.2]), 40.0)]
        >>> query = as_sql(FittedRuleList(("accept", "reject"), features, rules))
        >>> [line.strip() for line in query.splitlines() if "LIKE" in line]
        ['WHEN "tokens" LIKE \'% late %\' THEN 0']
    """
    query = SqlQuery(student.labels, student.features, table=table, key=key, text=text)
    for label in student.labels:
        storable(label)
    return _HEAD.format(text=query.text) + student.to_sql(query)
