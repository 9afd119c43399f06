"""How all pages are made of their templates."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from whence.app.shared.colour import DARK_NOTEBOOK, DARK_PAGE
from whence.app.shared.formatting import number, signed

__all__ = ["environment", "script_json"]


@cache
def environment() -> Environment:
    """Templates of this package: everything is escaped, and a missing name is an error."""
    templates = Environment(
        loader=PackageLoader("whence.app", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["signed"] = signed
    templates.filters["number"] = number
    templates.filters["notebook"] = _notebook
    return templates


def script_json(text: str | bytes) -> Markup:
    r"""JSON for a script element, in which no text can end the element.

    Example:
        >>> script_json('{"a": "</script>"}')
        Markup('{"a": "\\u003c/script>"}')
    """
    plain = text.decode("ascii") if isinstance(text, bytes) else text
    return Markup(plain.replace("<", "\\u003c"))


def _notebook(rules: str) -> Markup:
    """Style rules whose dark theme follows the notebook around them, not the reader's system.

    A rule in braces after a selector is nested in it (CSS Nesting, in all browsers since 2023).
    """
    return Markup(str(rules).replace(DARK_PAGE, DARK_NOTEBOOK))
