"""The tree of errors: each says what was asked, what was found and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = [
    "BudgetError",
    "CapabilityError",
    "DeadlockError",
    "DigestError",
    "GradientError",
    "InputError",
    "Interrupted",
    "ModelLoadError",
    "ModelOutputError",
    "NewerVersionError",
    "OptionError",
    "RecordError",
    "TextTooLongError",
    "TrustError",
    "UndefinedError",
    "WhenceError",
    "WriteError",
    "unknown",
]


class WhenceError(Exception):
    """Whatever whence refuses to do; catching it catches every error of ours."""


# Each error is also the built-in one that Python raises in such a case, so that callers who catch
# that need not know ours.
class OptionError(WhenceError, ValueError):
    """An option, method, label or name that does not exist, or a value out of its range."""


class InputError(WhenceError, ValueError):
    """A text, pair or conversation that cannot be explained as it is."""


class TextTooLongError(InputError):
    """The text has more tokens than the model reads; nothing is ever cut silently.

    Attributes:
        length: tokens of the encoded input, special tokens included.
        limit: tokens the model can read.
        passages: characters ``(start, end)`` of pieces that would each fit, in order; empty
            where none can.
    """

    def __init__(
        self,
        message: str,
        *,
        length: int,
        limit: int,
        passages: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(message)
        self.length = length
        self.limit = limit
        self.passages = tuple(passages)


class ModelLoadError(WhenceError, OSError):
    """The model or its tokenizer could not be read from where it was asked for."""


class ModelOutputError(WhenceError, ValueError):
    """The model answered with something that is no score: wrong shape, NaN or infinity."""


class CapabilityError(WhenceError, TypeError):
    """The model cannot give what the method needs (gradients, a mask token, ...)."""


class GradientError(CapabilityError):
    """What autograd gives is not the derivative of the model's answer to these token ids."""


class DeadlockError(WhenceError, RuntimeError):
    """Two threads hold a model each, and each waits for the model of the other."""


class BudgetError(WhenceError, ValueError):
    """The budget of model evaluations is too small for what was asked.

    Attributes:
        needed: smallest number of evaluations that would do.
        budget: evaluations that were granted.
    """

    def __init__(self, message: str, *, needed: int, budget: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.budget = budget


class UndefinedError(WhenceError, ValueError):
    """A measure that has no value on this input, such as a share of nothing."""


class RecordError(WhenceError, ValueError):
    """A stored record that cannot be read back: damaged, foreign, or not valid."""


class DigestError(RecordError):
    """The content of a record is not what its digest was taken of: it was changed."""


class NewerVersionError(RecordError):
    """A record written by a newer whence than the one that reads it."""


class WriteError(WhenceError, OSError):
    """A file could not be written; what stood there before is untouched."""


class TrustError(WhenceError, AssertionError):
    """An explanation whose trust label is below what was required of it."""


# A KeyboardInterrupt too, so that loops which let only that through still stop.
class Interrupted(WhenceError, KeyboardInterrupt):  # noqa: N818 - a stop is no error
    """The run was stopped by the user; the evaluations already made stay in the cache.

    Attributes:
        evaluations: coalitions answered before the stop; 0 where it fell outside of a game.
    """

    def __init__(self, message: str, *, evaluations: int) -> None:
        super().__init__(message)
        self.evaluations = evaluations


# Twelve names are about two lines of a terminal. Chosen by hand.
def _listing(choices: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(choices[:most])
    rest = len(choices) - most
    return f"{shown} and {rest} more" if rest > 0 else shown


def unknown(what: str, asked: object, choices: Iterable[str]) -> OptionError:
    """The error for a name that does not exist, with the nearest names that do.

    Args:
        what: kind of the thing asked for, e.g. ``"method"``.
        asked: name as given.
        choices: names that exist.

    Example:
        >>> str(unknown("link", "logits", ["logit", "probability"]))
        "unknown link 'logits'; did you mean 'logit'? Choose from: logit, probability"
    """
    # Matched without regard to case, and shown as they are written; 0.6 is the default of difflib.
    names = [str(choice) for choice in choices]
    folded = {name.casefold(): name for name in names}
    near = get_close_matches(str(asked).casefold(), list(folded), n=1, cutoff=0.6)
    hint = f"did you mean '{folded[near[0]]}'? " if near else ""
    listing = f"Choose from: {_listing(names)}" if names else "There is nothing to choose from"
    return OptionError(f"unknown {what} {str(asked)!r}; {hint}{listing}")
