"""Which positions a call of an attention kernel is about: where its queries and keys begin."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch

from whence.models.internals.kernel_hooks import KernelCall

__all__ = ["Kind", "Place", "Places", "kind_of"]

Kind = Literal["bidirectional", "causal", "cross"]

_CROSS = re.compile(r"cross_?att|encdecattention|encoder_attn", re.IGNORECASE)


def kind_of(kernel: KernelCall) -> Kind:
    """Whether a call reads to both sides, only back, or another text."""
    if _CROSS.search(kernel.name):
        return "cross"
    stated = kernel.options.get("is_causal")
    if stated or (stated is None and getattr(kernel.module, "is_causal", True)):
        return "causal"
    return "bidirectional"


class Place(NamedTuple):
    """The position of a call's first query and of its first key."""

    query: int
    key: int


@dataclass(slots=True, eq=False)
class Places:
    """Places the calls of a model's layers, given one by one as they run.

    A call with as many keys as queries has no cache, or one with nothing in it yet: its positions
    begin at 0. More keys than that are a cache's, and its queries follow what the cache holds. A
    cache with a window forgets how much it held; where such a cache was filled before the first
    call that is seen, positions count from the first key that is left.
    """

    _following: dict[str, int] = field(default_factory=dict[str, int])
    _latest: tuple[int, int] = (0, 0)

    def place(self, kernel: KernelCall) -> Place:
        """Where the next call begins."""
        queries, keys = _sizes(kernel)
        kind = kind_of(kernel)
        if kind == "bidirectional":
            return Place(0, 0)
        if kind == "cross":
            # Its queries are those of the decoder's own attention just before it.
            first, count = self._latest
            return Place(first if count == queries else 0, 0)
        first, own = 0, keys - 1
        if keys > queries:
            own = _own_key(kernel)
            first = own + 1 - queries
            # Behind the own key of a cache of fixed size lie slots that hold nothing yet. Where
            # none is left, a window may have dropped keys, and the place among the rest is too low.
            if own == keys - 1:
                first = max(first, self._following.get(kernel.name, 0))
        self._following[kernel.name] = first + queries
        self._latest = (first, queries)
        return Place(first, first + queries - 1 - own)


def _sizes(kernel: KernelCall) -> tuple[int, int]:
    query, key, _ = kernel.states
    return int(query.shape[2]), int(key.shape[2])


def _own_key(kernel: KernelCall) -> int:
    """The last key that the last query of any input may read."""
    queries, keys = _sizes(kernel)
    if kernel.mask is None:
        # Without a mask, kernels count a triangle of several queries from the first key on.
        return keys - 1 if queries == 1 else queries - 1
    row = kernel.mask[:, :, min(queries, kernel.mask.shape[2]) - 1, :keys]
    allowed = row if row.dtype == torch.bool else row > torch.finfo(row.dtype).min / 2
    places = allowed.any(0).any(0).nonzero()
    return int(places[-1]) if len(places) else keys - 1
