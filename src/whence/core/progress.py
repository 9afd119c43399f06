"""Progress of a long computation, as its caller is told of it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[str, int, int], None]
"""A callable of ``(what, done, total)``: the name of the work, the parts done, and all its parts."""
