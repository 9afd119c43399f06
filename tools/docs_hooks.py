"""Lists in the documentation that are written when it is built, from what the package defines.

A page holds a line that names a registry (:class:`whence.core.registry.Registry`):

    <!-- members of whence.attribution.METHODS -->
    <!-- table of whence.games.MASKERS: name, describes, needs -->

The first becomes an entry of the reference for each class, the second a table with a row for each
class and a column for each class attribute; ``about`` is the first line of its docstring.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

MEMBERS = re.compile(r"^<!-- members of (\S+) -->$", re.MULTILINE)
TABLE = re.compile(r"^<!-- table of (\S+): (.+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    return fill_lists(markdown)


def fill_lists(markdown: str) -> str:
    """A page with its lists written out."""
    markdown = MEMBERS.sub(lambda match: member_entries(match[1]), markdown)
    return TABLE.sub(lambda match: member_table(match[1], match[2].split(", ")), markdown)


def member_entries(registry: str) -> str:
    """A line for mkdocstrings for each class."""
    return "\n\n".join(f"::: {cls.__module__}.{cls.__qualname__}" for cls in members(registry))


def member_table(registry: str, columns: list[str]) -> str:
    """A table of class attributes, names in code type."""
    rows = [[cell(cls, column) for column in columns] for cls in members(registry)]
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def members(registry: str) -> list[type]:
    module, name = registry.rsplit(".", 1)
    return list(getattr(import_module(module), name).values())


def cell(cls: type, column: str) -> str:
    if column == "about":
        return (cls.__doc__ or "").strip().split("\n")[0]
    value = str(getattr(cls, column))
    return f"`{value}`" if column in ("name", "unit") else value
