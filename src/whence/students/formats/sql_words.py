"""Raw texts split into words by SQL, as the student splits them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from whence.core.errors import OptionError
from whence.students.features.tokenizer import words
from whence.students.formats.sql_features import literal

__all__ = ["ALPHABET", "prepared"]

# Function that makes a character from its number: in literals, editors change line breaks.
_CHARACTER = {"sqlite": "char", "postgresql": "chr"}

ALPHABET = "\t\n\v\f\r" + bytes(n for n in range(32, 256) if n not in (127, 173)).decode(
    "cp1252", "ignore"
)
"""Characters of Windows-1252 (code points of Unicode) without controls and the soft hyphen. None
combines with its neighbour, so that each is folded alone."""

_MARK, _LEFT, _RIGHT = "\x01\x02\x03"
"""Signs outside the alphabet, for what is under way."""

_DOUBLINGS = 6
"""Apostrophes in a row are told apart up to 2 ** 6 - 1."""

_NESTED = 12
"""Calls in each other: SQLite's parser takes some thirty."""


def prepared(table: str, key: str, text: str, dialect: str) -> str:
    """Common table expressions, the last of which, ``prepared``, holds the words of each text.

    A space stands on both sides of every word. ``words`` is NULL of a text with a character outside
    :data:`ALPHABET`, or with 64 apostrophes in a row.

    Args:
        table: quoted name of the table of texts.
        key: quoted name of the column that identifies a row.
        text: quoted name of the column of texts.
        dialect: database that the query is for.

    Raises:
        OptionError: another dialect.
    """
    if dialect not in _CHARACTER:
        known = ", ".join(_CHARACTER)
        raise OptionError(f"expected a dialect among {known}, got {dialect!r}")
    character = _CHARACTER[dialect]
    plain = {sign: _plain(sign) for sign in ALPHABET}
    folded = [pair for pair in plain.items() if pair[0] != pair[1]]
    left = sorted(set("".join(plain.values())))
    # What is left of a text without every sign of the alphabet; a long row of apostrophes stays.
    strange = [("'" * 2**_DOUBLINGS, _MARK), *((sign, "") for sign in left)]
    steps = [
        *_steps("words", "", folded, character),
        ("words", ", words AS rest"),
        *_steps("words", ", rest", list(_apart()), character),
        *_steps("rest", ", words", strange, character),
    ]
    lines = [f"text0 AS (\n SELECT {key}, ' ' || {text} || ' ' AS words FROM {table}\n)"]
    lines += [
        f"text{at} AS (\n SELECT {key}, {column}{other} FROM text{at - 1}\n)"
        for at, (column, other) in enumerate(steps, 1)
    ]
    lines.append(
        f"prepared AS MATERIALIZED (\n SELECT {key}, CASE WHEN rest = '' THEN words END AS words"
        f" FROM text{len(steps)}\n)"
    )
    return ", ".join(lines)


def _plain(sign: str) -> str:
    """A sign as the tokenizer leaves it, set apart by spaces where it is no letter."""
    found = words(f"a{sign}b")
    if len(found) == 1:
        return found[0][1:-1]
    return f" {found[1]} " if len(found) == 3 else " "


def _apart() -> Iterator[tuple[str, str]]:
    """Replacements that set apostrophes at an end of a word apart, and leave single spaces."""
    # A row of apostrophes joins two words unless it touches a space. The mark that begins at a
    # space runs through the row by halving steps, as one replacement moves it once.
    sizes = [2**step for step in range(_DOUBLINGS - 1, -1, -1)]
    yield " '", f" {_MARK}"
    yield from ((_MARK + "'" * size, _MARK * (size + 1)) for size in sizes)
    yield "' ", f"{_MARK} "
    yield from (("'" * size + _MARK, _MARK * (size + 1)) for size in sizes)
    yield _MARK, " ' "
    yield " ", _LEFT + _RIGHT
    yield _RIGHT + _LEFT, ""
    yield _LEFT + _RIGHT, " "


def _steps(
    column: str, other: str, pairs: Sequence[tuple[str, str]], character: str
) -> Iterator[tuple[str, str]]:
    """Replacements in one column, some for each expression, with the columns that stay."""
    for at in range(0, len(pairs), _NESTED):
        inner = column
        for old, new in pairs[at : at + _NESTED]:
            inner = f"replace({inner}, {_said(old, character)}, {_said(new, character)})"
        yield f"{inner} AS {column}", other


def _said(text: str, character: str) -> str:
    """A text in printable ASCII alone."""
    parts = re.findall(r"[ -~]+|[^ -~]", text) or [""]
    return " || ".join(
        literal(part) if part.isascii() and part.isprintable() else f"{character}({ord(part)})"
        for part in parts
    )
