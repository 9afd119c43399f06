"""A student as a query over a table of raw texts."""

from __future__ import annotations

from whence.students.families.base import Fitted
from whence.students.formats.sql_features import storable
from whence.students.formats.sql_query import MOST, SqlQuery

__all__ = ["MOST", "as_sql"]

_HEAD = """\
-- For {dialect}. The column {text} holds the texts as they are. The answer is NULL of a text that is
-- NULL or holds a character outside Windows-1252, a control, a soft hyphen or 64 apostrophes in a row.
"""


def as_sql(
    student: Fitted,
    *,
    table: str = "texts",
    key: str = "id",
    text: str = "text",
    dialect: str = "sqlite",
) -> str:
    """One ``SELECT`` that gives the label and the probabilities of every row of a table.

    The query splits the raw texts into words as the student does. Of a text with a character
    outside Windows-1252, a control, a soft hyphen or 64 apostrophes in a row, and of NULL, label
    and probabilities are NULL: the student may answer there, the query does not.

    Columns: the key, ``label``, and ``probability of ...`` for each label. Rules, trees and
    scorecards give the student's own numbers; those of linear and additive students are computed
    by ``EXP``, to about 1e-15. For SQLite from 3.35 on, for linear and additive students with its
    mathematical functions, and for PostgreSQL from 12 on in a database of UTF-8. Names stand in
    double quotes.

    Args:
        student: student of a family that is written as SQL: rule lists, trees, scorecards, and
            sparse linear and additive students of at most 300 features and pairs.
        table: name of the table of texts; a dot separates a schema from a table.
        key: name of the column that identifies a row.
        text: name of the column that holds the raw texts.
        dialect: ``"sqlite"`` or ``"postgresql"``.

    Raises:
        CapabilityError: another family, or features that no comparison of text finds.
        OptionError: an empty name, one that the query uses itself, or another dialect.

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
        ["WHEN words LIKE '% late %' THEN 0"]
    """
    query = SqlQuery(
        student.labels, student.features, table=table, key=key, text=text, dialect=dialect
    )
    for label in student.labels:
        storable(label)
    return _HEAD.format(dialect=dialect, text=query.text) + student.to_sql(query)
