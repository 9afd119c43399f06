"""One re-entrant lock for a module: held by whatever hooks or changes it, and by every pass."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from torch.utils.weak import WeakIdKeyDictionary

__all__ = ["locked", "uncompiled"]


class _ModuleLock:
    """A re-entrant lock with a number, so that several are always taken in one order."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.number = next(self._numbers)
        self.lock = threading.RLock()


# By identity: tensors compare element by element. Weak, since a lock must keep no weights alive.
_LOCKS: Any = WeakIdKeyDictionary()
_TABLE = threading.Lock()
_THREAD = threading.local()


@contextmanager
def locked(module: Any) -> Generator[None]:
    """Keep other threads from running, hooking or changing ``module`` in this context.

    Modules that share a submodule or a parameter (two handles on one model, a classifier and an
    embedder on one encoder, an adapter around a model) share a lock. A thread may enter again. A
    thread that is in the context of one model and enters that of another while a second thread does
    the reverse waits for ever; passes of whence never do so.
    """
    entered: set[int] = _THREAD.__dict__.setdefault("entered", set())
    # Passes nest inside hooks; of a large model, looking its parts up takes a millisecond.
    if id(module) in entered:
        yield
        return
    locks = [each.lock for each in _locks_of(module)]
    _take(locks)
    entered.add(id(module))
    try:
        yield
    finally:
        entered.discard(id(module))
        for lock in locks:
            lock.release()


@contextmanager
def uncompiled(module: Any) -> Generator[None]:
    """Run as it is written what ``module.compile()`` compiled: code compiled without hooks calls none."""
    name = "_compiled_call_impl"
    # The lock, so that nothing is compiled again while another thread has hooks on it.
    with locked(module):
        compiled = [(child, getattr(child, name)) for child in module.modules()]
        compiled = [(child, call) for child, call in compiled if call is not None]
        for child, _ in compiled:
            setattr(child, name, None)
    try:
        yield
    finally:
        with locked(module):
            for child, call in compiled:
                setattr(child, name, call)


def _take(locks: list[Any]) -> None:
    """Take all locks, and hold none while waiting for another."""
    wanted = locks[0]
    while True:
        wanted.acquire()
        taken = [wanted]
        for lock in locks:
            if lock is not wanted:
                if not lock.acquire(blocking=False):
                    break
                taken.append(lock)
        else:
            return
        # A thread that holds this one, of a part, may want those of the whole.
        for each in taken:
            each.release()
        wanted = lock


def _locks_of(module: Any) -> list[_ModuleLock]:
    """The locks of all parts of a module, in the order in which they are taken."""
    parts = [module]
    if hasattr(module, "modules"):
        parts = [*module.modules(), *module.parameters()]
    with _TABLE:
        taken = {lock.number: lock for part in parts if (lock := _LOCKS.get(part)) is not None}
        # Parts that were put in later (an adapter, a head) join the lock of the others.
        first = min(taken.values(), key=lambda lock: lock.number) if taken else _ModuleLock()
        taken[first.number] = first
        for part in parts:
            _LOCKS.setdefault(part, first)
    return [taken[number] for number in sorted(taken)]
