"""What a module raises while it reads, as an error that says so."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from whence.core.errors import ModelOutputError, WhenceError

__all__ = ["name_module_errors"]

_PACKAGE = str(Path(__file__).parents[2])


@contextmanager
def name_module_errors(architecture: str) -> Generator[None]:
    """Raise what the module's own code raises in this context as :class:`ModelOutputError`.

    Errors of whence, also in a hook that the module calls, are passed on as they are.
    """
    try:
        yield
    except (WhenceError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a module raises whatever its author wrote
        if not _from_module(error.__traceback__):
            raise
        first = (str(error).strip() or "no message").split("\n")[0].rstrip(".")
        raise ModelOutputError(
            f"{architecture} raised {type(error).__name__} while it read the text: {first}. whence "
            "gives a model the tokens of the text and their mask; one that needs more cannot be asked"
        ) from error


def _from_module(trace: TracebackType | None) -> bool:
    """Whether the innermost of our frames called a module, which raised."""
    called: Any = False
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_filename.startswith(_PACKAGE):
            called = False
        elif isinstance(frame.f_locals.get("self"), torch.nn.Module):
            called = True
        trace = trace.tb_next
    return bool(called)
