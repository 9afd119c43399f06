"""How all pages are made of their templates."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from whence.app.shared.formatting import number, signed

__all__ = ["environment"]


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
    return templates
