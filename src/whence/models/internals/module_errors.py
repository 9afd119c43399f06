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
        read = _read_by_module(error.__traceback__)
        if read is None:
            raise
        first = (str(error).strip() or "no message").split("\n")[0].rstrip(".")
        raise ModelOutputError(
            f"{architecture} raised {type(error).__name__} while it read {read}: {first}. {_advice()}"
        ) from error


def _advice() -> str:
    if torch.is_grad_enabled():
        return "It was read to be differentiated; methods without gradients may work"
    return (
        "It was given token ids and their mask, as every model is; one that needs more, or another "
        "length, cannot be asked"
    )


def _read_by_module(trace: TracebackType | None) -> str | None:
    """What a module that the innermost of our frames called was reading; ``None``: none was called."""
    read, called = "the text", False
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_filename.startswith(_PACKAGE):
            called = False
        elif isinstance(frame.f_locals.get("self"), torch.nn.Module):
            called = True
            read = _described(frame.f_locals.get("kwargs")) or read
        trace = trace.tb_next
    return read if called else None


def _described(inputs: Any) -> str | None:
    ids = inputs.get("input_ids") if isinstance(inputs, dict) else None
    if not torch.is_tensor(ids) or ids.dim() != 2:
        return None
    rows, tokens = ids.shape
    return f"{tokens} tokens" if rows == 1 else f"{rows} texts of {tokens} tokens"
