"""Methods side by side, and the choice among them, as an element for a notebook."""

from __future__ import annotations

from whence.app.shared.templates import environment
from whence.app.trust.measurement_tables import TableView, comparison_table, selection_table
from whence.core.selection import Selection
from whence.workflows.select import Comparison

__all__ = ["comparison_fragment", "selection_fragment"]


def comparison_fragment(comparison: Comparison) -> str:
    """A table of methods by metrics, with its own scoped style."""
    return _fragment(comparison_table(comparison))


def selection_fragment(selection: Selection) -> str:
    """A table of candidates and the choice, with its own scoped style."""
    return _fragment(selection_table(selection))


def _fragment(view: TableView) -> str:
    return environment().get_template("measurements_fragment.html").render(view=view)
