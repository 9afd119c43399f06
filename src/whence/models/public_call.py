"""One call of a public function: what is found out about a model once holds until it returns."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["forget", "once_a_call", "public_call"]

P = ParamSpec("P")
R = TypeVar("R")

_FACTS: ContextVar[WeakKeyDictionary[Any, dict[str, Any]] | None] = ContextVar(
    "whence_public_call", default=None
)


def public_call(function: Callable[P, R]) -> Callable[P, R]:
    """Let ``function`` read each model's weights, for its fingerprint, once; a call inside it joins in.

    Between two calls anything may have changed, and nothing is taken over.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if _FACTS.get() is not None:
            return function(*args, **kwargs)
        token = _FACTS.set(WeakKeyDictionary())
        try:
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
