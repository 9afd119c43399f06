"""Values that can be displayed, and the table of views that display them.

Values hold no view code, and this room imports none. :mod:`whence.app.views` enters a view of each
class in the three tables below; the package's root loads that module when a value is first
displayed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import singledispatch
from typing import Any

from whence._composition import load_views
from whence.core.errors import CapabilityError
from whence.core.files import write_atomic

__all__ = ["FRAGMENT", "PAGE", "TEXT", "fragment_of", "page_of", "text_of"]


def _table(form: str) -> Any:
    """An empty table of views, which says what it lacks."""

    @singledispatch
    def view(value: object) -> str:
        raise CapabilityError(f"a {type(value).__name__} has no view as {form}")

    return view


TEXT = _table("text")
"""Class to the function that writes its values as text without colour codes."""

FRAGMENT = _table("an HTML element")
"""Class to the function that writes its values as one HTML element for a notebook cell."""

PAGE = _table("a page")
"""Class to the function that writes its values as a self-contained page."""


def text_of(value: object) -> str:
    """The value as text without colour codes.

    Raises:
        CapabilityError: its class has no such view.
    """
    return _view(TEXT, value)(value)


def fragment_of(value: object) -> str:
    """The value as one HTML element with its own scoped style, for a notebook cell.

    Raises:
        CapabilityError: its class has no such view.
    """
    return _view(FRAGMENT, value)(value)


def page_of(value: object, path: str | os.PathLike[str] | None = None) -> str:
    """The value as a self-contained page, written to ``path``, whole or not at all, where given.

    Raises:
        CapabilityError: its class has no such view.
        WriteError: the file could not be written.
    """
    page = _view(PAGE, value)(value)
    if path is not None:
        write_atomic(path, page.encode("utf-8"))
    return page


def _view(table: Any, value: object) -> Callable[[object], str]:
    # Views are loaded when a class has none yet, and not on import: they bring templates and
    # terminal colours that a computation never needs.
    if table.dispatch(type(value)) is table.dispatch(object):
        load_views()
    return table.dispatch(type(value))
