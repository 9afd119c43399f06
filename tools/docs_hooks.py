"""Lists of the documentation that follow from the classes: a hook of ``mkdocs build``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from whence.evaluation.metrics.registry import METRICS

__all__ = ["LISTS", "on_page_markdown"]

LISTS: dict[str, Any] = {"<!-- every metric -->": METRICS}
"""For each mark in a page, the registry whose classes stand in its place."""


def entries(classes: Iterable[type]) -> str:
    """The lines by which mkdocstrings prints the docstrings of some classes."""
    return "\n\n".join(f"::: {cls.__module__}.{cls.__name__}" for cls in classes)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with each mark replaced by its list."""
    for mark, registry in LISTS.items():
        markdown = markdown.replace(mark, entries(registry.values()))
    return markdown
