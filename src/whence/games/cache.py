"""The cache of evaluations: a model's answers, by all that decides them, readout and input.

The key is a SHA-256 over the model's :class:`~whence.models.values.AnswerState`, the readout and the
row as the model read it; text and masker are in the row. Without a cache of the caller's, answers are
kept for one public call. A caller's cache is read only where the model's state can be read whole, and
one kept answer is asked again in each call before any is used.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol, cast, runtime_checkable

import numpy as np

from whence.core.errors import OptionError
from whence.models.values import AnswerState

__all__ = ["Cache", "CallCache", "MemoryCache", "cache_key", "call_cache"]


def cache_key(state: str, readout: str, row: bytes) -> bytes:
    """The key of one evaluation: 32 bytes.

    Example:
        >>> len(cache_key("model", "readout", b"row"))
        32
    """
    digest = hashlib.sha256()
    for part in (state.encode(), readout.encode(), row):
        # Lengths keep the parts apart: ("a", "bc") and ("ab", "c") would else share a key.
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


@runtime_checkable
class Cache(Protocol):
    """A store of evaluations."""

    def get(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """The stored values of some keys, ``None`` where there is none."""
        ...

    def put(self, keys: Sequence[bytes], values: Sequence[np.ndarray]) -> None:
        """Store some values."""
        ...


class MemoryCache:
    """A cache in memory; the least recently used evaluations leave when it is full.

    Several threads may use one.

    Args:
        most: number of stored evaluations at most; the million of the default is chosen by hand and
            takes about 260 MB where one number is explained.
    """

    def __init__(self, most: int = 1_000_000) -> None:
        if most < 1:
            raise OptionError(f"expected room for 1 evaluation or more, got most={most}")
        self._most = most
        self._values: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """The stored values of some keys, ``None`` where there is none."""
        values: list[np.ndarray | None] = []
        with self._lock:
            for key in keys:
                value = self._values.get(key)
                if value is not None:
                    self._values.move_to_end(key)
                values.append(value)
        return values

    def put(self, keys: Sequence[bytes], values: Sequence[np.ndarray]) -> None:
        """Store some values."""
        with self._lock:
            for key, value in zip(keys, values, strict=True):
                self._values[key] = value
                self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)


class CallCache(MemoryCache):
    """The answers of one public call, in memory, before those of a store that the caller gave.

    The store is left alone where something that decides an answer cannot be read (a hook, a replaced
    ``forward``), and where the model answers the probe otherwise than the store; ``notes`` says so.

    Args:
        store: cache of the caller; none: nothing outlives the call.
    """

    def __init__(self, store: Cache | None) -> None:
        super().__init__()
        self._store = store
        self._usable: dict[AnswerState, bool] = {}
        self.notes: list[str] = []

    def known(
        self,
        keys: Sequence[bytes],
        state: AnswerState,
        ask: Callable[[bytes], np.ndarray],
    ) -> list[np.ndarray | None]:
        """The kept values of some keys, ``None`` where there is none.

        Args:
            keys: keys of :func:`cache_key`.
            state: state of the model that the keys name.
            ask: function that evaluates the row of a key. Cost: one evaluation for each state in a
                call, made when the store first knows a key.
        """
        values = self.get(keys)
        missing = [index for index, value in enumerate(values) if value is None]
        if not missing or not self._may_use(state):
            return values
        store = cast("Cache", self._store)
        stored = store.get([keys[index] for index in missing])
        self._take_notes()
        hits = [(i, value) for i, value in zip(missing, stored, strict=True) if value is not None]
        if hits and state not in self._usable:
            index, value = hits[0]
            fresh = ask(keys[index])
            self._usable[state] = _same(value, fresh, state.tolerance)
            if not self._usable[state]:
                self.notes.append(
                    f"the cache was not used: of an input that it knows, it holds {_shown(value)}, and "
                    f"the model answered {_shown(fresh)}; something that whence cannot read decides its "
                    "answers"
                )
        if self._usable.get(state, True):
            for index, value in hits:
                values[index] = value
            # In memory from here on: what was read and checked once stays the same to the call's end.
            self.put([keys[i] for i, _ in hits], [value for _, value in hits])
        return values

    def keep(self, keys: Sequence[bytes], values: Sequence[np.ndarray], state: AnswerState) -> None:
        """Store some values, in the caller's store too where their state can be read."""
        self.put(keys, values)
        if self._may_use(state):
            cast("Cache", self._store).put(keys, values)
            self._take_notes()

    def _may_use(self, state: AnswerState) -> bool:
        if self._store is None or state.key is None:
            return False
        if state.doubts and state not in self._usable:
            self._usable[state] = False
            self.notes.append(
                f"the cache was not used, since whence cannot read all that decides an answer: "
                f"{'; '.join(state.doubts)}"
            )
        return self._usable.get(state, True)

    def _take_notes(self) -> None:
        take = getattr(self._store, "take_notes", None)
        if take is not None:
            self.notes += take()


def call_cache(cache: Cache | None) -> CallCache:
    """The answers of this call above a caller's cache; one made further up in the call stays."""
    return cache if isinstance(cache, CallCache) else CallCache(cache)


def _same(stored: np.ndarray, fresh: np.ndarray, tolerance: float) -> bool:
    """Whether two answers differ by no more than other batches make them: in a share of the larger, or of 1."""
    if stored.shape != fresh.shape:
        return False
    return bool(np.all(np.abs(stored - fresh) <= tolerance * np.maximum(1.0, np.abs(fresh))))


def _shown(value: np.ndarray) -> str:
    return ", ".join(f"{number:.4g}" for number in value[:3])
