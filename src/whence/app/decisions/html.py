"""Edits, rules and interactions as a self-contained page, or as an element of a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whence._version import __version__
from whence.app.decisions.sheet import sheet_of
from whence.app.shared.templates import environment, script_json

__all__ = ["fragment", "page", "pages"]


def pages(records: Sequence[Any]) -> str:
    """A page of one record or several of one kind; it holds them whole, as JSON."""
    sheets = [sheet_of(record) for record in records]
    stored = [script_json(record.to_json()) for record in records]
    return (
        environment()
        .get_template("decision_page.html")
        .render(title=sheets[0].title, sheets=sheets, records=stored, version=__version__)
    )


def page(record: Any) -> str:
    """A self-contained page of one record."""
    return pages([record])


def fragment(record: Any) -> str:
    """One element with its own scoped style, for a notebook's output cell."""
    return environment().get_template("decision_fragment.html").render(sheet=sheet_of(record))
