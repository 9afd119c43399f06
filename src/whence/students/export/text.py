"""A student in Markdown: what it is, what reading it costs, and the whole of it."""

from __future__ import annotations

import re

from whence.students.families.base import Fitted

__all__ = ["as_markdown", "fenced", "inline"]


def as_markdown(student: Fitted, *, name: str) -> str:
    """The whole student for a reader, with its labels and how much there is to read.

    Args:
        student: student of a readable family.
        name: name of the student, such as ``"rule-list-10"``.

    Example:
        >>> import numpy as np
        >>> from whence.students.features.vectorizer import Features, ReadableFeatures
        >>> from whence.students.families.rule_list import FittedRuleList, Rule
        >>> rule = Rule((), np.array([0.8, 0.2]), 40.0)
        >>> student = FittedRuleList(("accept", "reject"), Features(ReadableFeatures(), []), [rule])
        >>> print(as_markdown(student, name="rule-list-0"))
        # rule-list-0
        <BLANKLINE>
        A student of kind rule-list. To read: 0 words and 1 numbers.
        <BLANKLINE>
        Labels: `accept`, `reject`.
        <BLANKLINE>
        ```text
        accept (0.80, 40 texts)
        ```
        <BLANKLINE>
    """
    cost = student.reading_cost
    labels = ", ".join(inline(label) for label in student.labels)
    return (
        f"# {_line(name)}\n\nA student of kind {student.kind}. "
        f"To read: {cost.words:,} words and {cost.numbers:,} numbers.\n\n"
        f"Labels: {labels}.\n\n{fenced(student.to_text())}\n"
    )


def fenced(text: str, language: str = "text") -> str:
    """A block of text as it is, behind a fence that it does not hold itself."""
    # CommonMark, section 4.5: a block ends at a fence at least as long as the one it began with.
    fence = "`" * max(3, _longest(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def inline(text: str) -> str:
    r"""A piece of text as it is, within a line.

    Example:
        >>> inline("a`b"), inline("two\nlines")
        ('``a`b``', '`two lines`')
    """
    line = _line(text)
    mark = "`" * (_longest(line) + 1)
    # CommonMark, section 6.1: one space on each side is taken off again, and parts the text's own
    # backticks from the marks. An empty span is none, so it gets its space too.
    pad = " " if line.startswith("`") or line.endswith("`") or not line.strip() else ""
    return f"{mark}{pad}{line}{pad}{mark}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _longest(text: str) -> int:
    """The longest run of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)
