"""One re-entrant lock for a module: held by whatever hooks or changes it, and by every pass."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from torch.utils.weak import WeakIdKeyDictionary

from whence.core.errors import DeadlockError

__all__ = ["locked", "uncompiled"]


class _ModuleLock:
    """Which thread holds a module, and how often; its number says which of several is the first."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.number = next(self._numbers)
        self.owner: int | None = None
        self.depth = 0


# By identity, and weak: a lock must keep no model alive.
_LOCKS: Any = WeakIdKeyDictionary()
# Of tensors the address of their numbers. A weak reference to a parameter would forbid its owner
# torch.utils.swap_tensors, by which torch moves and casts parameters that wrap others. An address that
# was freed and taken again lets two models wait for each other without need, as long as both live.
_STORAGES: WeakValueDictionary[int, _ModuleLock] = WeakValueDictionary()
# Guards all of these, and wakes whoever waits when a lock is let go.
_CHANGE = threading.Condition()
_WAITING: dict[int, list[_ModuleLock]] = {}
_THREAD = threading.local()


@contextmanager
def locked(module: Any) -> Generator[None]:
    """Keep other threads from running, hooking or changing ``module`` in this context.

    Modules that share a submodule or a parameter (two handles on one model, a classifier and an
    embedder on one encoder, an adapter around a model) share a lock. A thread may enter again.

    Raises:
        DeadlockError: this thread holds a model that another one waits for, which holds this one.
    """
    entered: set[int] = _THREAD.__dict__.setdefault("entered", set())
    # Passes nest inside hooks; of a large model, looking its parts up takes a millisecond.
    if id(module) in entered:
        yield
        return
    locks = _locks_of(module)
    _take(locks, type(module).__name__)
    entered.add(id(module))
    try:
        yield
    finally:
        entered.discard(id(module))
        _release(locks)


@contextmanager
def uncompiled(module: Any) -> Generator[None]:
    """Run as it is written what was compiled: code compiled without hooks calls none."""
    # The lock, so that nothing is compiled again while another thread has hooks on it.
    with locked(module):
        swaps = [swap for child in module.modules() for swap in _compiled(child)]
        for child, name, _, written in swaps:
            setattr(child, name, written)
    try:
        yield
    finally:
        with locked(module):
            for child, name, compiled, _ in swaps:
                setattr(child, name, compiled)


def _compiled(child: Any) -> Iterator[tuple[Any, str, Any, Any]]:
    """Attributes that hold compiled code, with it and what to run in its place."""
    # child.compile()
    name = "_compiled_call_impl"
    if getattr(child, name) is not None:
        yield child, name, getattr(child, name), None
    # torch.compile(child), put where the child was
    if "forward" in vars(child) and hasattr(child, "_orig_mod"):
        yield child, "forward", child.forward, child._orig_mod.__call__  # noqa: SLF001


def _take(locks: list[_ModuleLock], name: str) -> None:
    """Take all locks at once, when none of them is another thread's."""
    thread = threading.get_ident()
    with _CHANGE:
        _WAITING[thread] = locks
        try:
            while _others(thread):
                if thread in _awaited_by(thread):
                    raise DeadlockError(
                        f"two threads wait for each other: this one has a model and needs the "
                        f"{name}, which another has, who needs the first. Ask one model after the "
                        "other has answered, or both in the same order in every thread"
                    )
                _CHANGE.wait()
        finally:
            del _WAITING[thread]
        for lock in locks:
            lock.owner = thread
            lock.depth += 1


def _release(locks: list[_ModuleLock]) -> None:
    with _CHANGE:
        for lock in locks:
            lock.depth -= 1
            if not lock.depth:
                lock.owner = None
                _CHANGE.notify_all()


def _others(thread: int) -> set[int]:
    """The threads that hold what one waits for."""
    owners = {lock.owner for lock in _WAITING.get(thread, ())}
    return {owner for owner in owners if owner not in (None, thread)}


def _awaited_by(thread: int) -> set[int]:
    """The threads that a thread waits for, those that they wait for, and so on."""
    reached: set[int] = set()
    ahead = _others(thread)
    while ahead:
        reached |= ahead
        ahead = {other for each in ahead for other in _others(each)} - reached
    return reached


def _locks_of(module: Any) -> list[_ModuleLock]:
    """The locks of all parts of a module."""
    parts, tensors = [module], ()
    if hasattr(module, "modules"):
        parts, tensors = list(module.modules()), tuple(module.parameters())
    storages = [address for tensor in tensors if (address := _address(tensor))]
    with _CHANGE:
        known = (*map(_LOCKS.get, parts), *map(_STORAGES.get, storages))
        taken = {lock.number: lock for lock in known if lock is not None}
        # Parts that were put in later (an adapter, a head) join the lock of the others.
        first = taken[min(taken)] if taken else _ModuleLock()
        taken[first.number] = first
        for part in parts:
            _LOCKS.setdefault(part, first)
        for address in storages:
            _STORAGES.setdefault(address, first)
    return list(taken.values())


def _address(tensor: Any) -> int:
    """Where a tensor's numbers lie; 0 for one that holds none of its own."""
    try:
        return int(tensor.untyped_storage().data_ptr())
    # Tensors that wrap others have no storage, or one that cannot be asked.
    except (RuntimeError, NotImplementedError):
        return 0
