"""Functions named on the command line, as ``python:MODULE:FUNCTION``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from whence.core.errors import ModelLoadError, OptionError

__all__ = ["PYTHON", "function_named"]

PYTHON = "python:"
"""What a reference to a function begins with."""


def function_named(name: str) -> Callable[[list[str]], Any]:
    """The function of ``MODULE:FUNCTION``, from where Python finds modules.

    Raises:
        OptionError: not of that form.
        ModelLoadError: no such module or function.

    Example:
        >>> function_named("os.path:basename")("a/b")
        'b'
    """
    module, colon, function = name.partition(":")
    if not colon or not module or not function:
        raise OptionError(f"expected {PYTHON}MODULE:FUNCTION, got {PYTHON}{name}")
    try:
        result = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ModelLoadError(
            f"could not load {PYTHON}{name}: {error}. The module must be where Python finds it; "
            "PYTHONPATH=. adds this folder."
        ) from error
    if not callable(result):
        raise ModelLoadError(f"{PYTHON}{name} is a {type(result).__name__}, not a function")
    return result
