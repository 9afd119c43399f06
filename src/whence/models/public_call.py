"""One call of a public function: what is found out about a model once holds until it returns."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from whence.core.errors import Interrupted

__all__ = ["forget", "once_a_call", "public_call", "stoppable"]

P = ParamSpec("P")
R = TypeVar("R")

_FACTS: ContextVar[WeakKeyDictionary[Any, dict[str, Any]] | None] = ContextVar(
    "whence_public_call", default=None
)


@contextmanager
def stoppable(name: str) -> Generator[None]:
    """Raise :class:`Interrupted` wherever the user stops what is done inside.

    A game says more of its own stops; most of a call's time may go by outside of it, as in the loading of
    a library.
    """
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"{name} was stopped; what was computed is in the cache, where one was given, so the same "
            "call with the same cache continues from here",
            evaluations=0,
        ) from stop


def public_call(function: Callable[P, R]) -> Callable[P, R]:
    """Let ``function`` read each model's weights, for its fingerprint, once; a call inside it joins in.

    Between two calls anything may have changed, and nothing is taken over. A stop by the user is raised
    as :class:`Interrupted`.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if _FACTS.get() is not None:
            return function(*args, **kwargs)
        token = _FACTS.set(WeakKeyDictionary())
        try:
            with stoppable(function.__name__):
                return function(*args, **kwargs)
        finally:
            _FACTS.reset(token)

    return run


def once_a_call(owner: Any, name: str, compute: Callable[[], R]) -> R:
    """``compute()``, once for each owner and name in a public call; outside of one, each time."""
    every = _FACTS.get()
    if every is None:
        return compute()
    try:
        facts = every.setdefault(owner, {})
    # A model of the caller's own class may have no hash, or take no weak reference.
    except TypeError:
        return compute()
    if name not in facts:
        facts[name] = compute()
    return facts[name]


def forget() -> None:
    """Find everything out anew: the weights of a model were changed, or put back."""
    every = _FACTS.get()
    if every is not None:
        every.clear()
