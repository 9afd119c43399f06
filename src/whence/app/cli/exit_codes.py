"""Exit codes, and errors as one message on stderr."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from enum import IntEnum

import typer

from whence.app.shared.formatting import visible
from whence.core.errors import (
    BudgetError,
    CapabilityError,
    DeadlockError,
    InputError,
    Interrupted,
    ModelLoadError,
    ModelOutputError,
    OptionError,
    RecordError,
    TrustError,
    UndefinedError,
    WhenceError,
    WriteError,
)

__all__ = ["Exit", "code_of", "failing_plainly"]


class Exit(IntEnum):
    """Meaning of the command's exit code."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INPUT = 3
    MODEL = 4
    WRITE = 5
    SOME_ROWS_FAILED = 6
    NOT_VERIFIED = 7
    # 128 + 2, the number of SIGINT: what shells report of a command stopped by Ctrl-C.
    INTERRUPTED = 130


CODES = (
    "Exit codes: 0 done; 1 unexpected error; 2 wrong option, label, method or budget; "
    "3 the text cannot be explained; 4 the model cannot be loaded or used; 5 a file could not be "
    "written; 6 some rows failed; 7 a record does not hold, or its trust is below the required "
    "grade; 130 stopped by the user."
)

_BY_TYPE: tuple[tuple[type[WhenceError], Exit], ...] = (
    (Interrupted, Exit.INTERRUPTED),
    (WriteError, Exit.WRITE),
    (InputError, Exit.INPUT),
    (RecordError, Exit.INPUT),
    (UndefinedError, Exit.INPUT),
    (TrustError, Exit.NOT_VERIFIED),
    (ModelLoadError, Exit.MODEL),
    (ModelOutputError, Exit.MODEL),
    (CapabilityError, Exit.MODEL),
    (DeadlockError, Exit.MODEL),
    (OptionError, Exit.USAGE),
    (BudgetError, Exit.USAGE),
)


def code_of(error: WhenceError) -> Exit:
    """The exit code of an error."""
    for kind, code in _BY_TYPE:
        if isinstance(error, kind):
            return code
    return Exit.UNEXPECTED


@contextmanager
def failing_plainly() -> Generator[None]:
    """Turn errors of whence into one line on stderr and an exit code; others keep their traceback."""
    try:
        yield
    except WhenceError as error:
        print(f"whence: {_shown(str(error))}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(code_of(error)) from None
    except KeyboardInterrupt:
        print("whence: stopped", file=sys.stderr)  # noqa: T201
        raise typer.Exit(Exit.INTERRUPTED) from None


def _shown(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
