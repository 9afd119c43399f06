"""Which positions of the text a call of an attention kernel reads: its first query and first key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch

from whence.models.internals.kernel_hooks import KernelCall

__all__ = ["Kind", "PositionTracker", "Positions", "kind_of", "readable"]

Kind = Literal["bidirectional", "causal", "cross"]

# crossattention in BERT and GPT-2, EncDecAttention in T5, encoder_attn in BART.
_CROSS = re.compile(r"cross_?att|encdecattention|encoder_attn", re.IGNORECASE)


def kind_of(kernel: KernelCall) -> Kind:
    """Whether a call reads the whole text, the text before each query, or another text."""
    if _CROSS.search(kernel.name):
        return "cross"
    queries = kernel.states[0].shape[2]
    if kernel.mask is not None and min(queries, kernel.mask.shape[2]) > 1:
        return "bidirectional" if _reads_next(kernel) else "causal"
    # Eager functions add the mask that they get and draw no triangle of their own.
    if kernel.mask is None and kernel.implementation == "eager" and queries > 1:
        return "bidirectional"
    # The order in which the sdpa function of transformers decides: the argument, then the module,
    # then true.
    stated = kernel.options.get("is_causal")
    # A single query shows no order; several families state a decoder's layers as not causal and
    # leave that to the mask.
    if queries == 1 and "decoder" in kernel.name.split("."):
        return "causal"
    if stated or (stated is None and getattr(kernel.module, "is_causal", True)):
        return "causal"
    return "bidirectional"


def _reads_next(kernel: KernelCall) -> bool:
    """Whether the mask lets any query read the key behind its own.

    One diagonal and not the whole triangle, which would be a copy of the mask.
    """
    queries, keys = _sizes(kernel)
    assert kernel.mask is not None
    diagonal = kernel.mask[..., :keys].diagonal(keys - queries + 1, dim1=2, dim2=3)
    return bool(readable(diagonal).any())


def readable(mask: torch.Tensor) -> torch.Tensor:
    """Cells of a mask that may be read: true ones, or those that are not near the dtype's least number."""
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


class Positions(NamedTuple):
    """The position of a call's first query and of its first key."""

    query: int
    key: int


@dataclass(slots=True, eq=False)
class PositionTracker:
    """Finds the positions of a model's kernel calls, one by one as they run.

    A call with as many keys as queries has no cache, or an empty one: its positions begin at 0.
    Further keys come from a cache, and the queries follow them. A cache with a window drops keys
    and does not count them; where such a cache was filled before the first call that is tracked,
    positions count from the first key that is left.
    """

    _following: dict[str, int] = field(default_factory=dict[str, int])
    _latest: tuple[int, int] = (0, 0)

    def positions(self, kernel: KernelCall) -> Positions:
        """The positions of the next call."""
        queries, keys = _sizes(kernel)
        kind = kind_of(kernel)
        if kind == "bidirectional":
            return Positions(0, 0)
        if kind == "cross":
            # Its queries are those of the decoder's own attention just before it.
            first, count = self._latest
            return Positions(first if count == queries else 0, 0)
        first, last_key = 0, keys - 1
        if keys > queries:
            last_key = _last_readable_key(kernel)
            first = last_key + 1 - queries
            # A cache of fixed size has empty slots after the last readable key. Without such slots a
            # window may have dropped keys, and the position among the rest is too low.
            if last_key == keys - 1:
                first = max(first, self._following.get(kernel.name, 0))
        self._following[kernel.name] = first + queries
        self._latest = (first, queries)
        return Positions(first, first + queries - 1 - last_key)


def _sizes(kernel: KernelCall) -> tuple[int, int]:
    query, key, _ = kernel.states
    return int(query.shape[2]), int(key.shape[2])


def _last_readable_key(kernel: KernelCall) -> int:
    """The last key that the last query of any input may read."""
    queries, keys = _sizes(kernel)
    if kernel.mask is None:
        # Without a mask, kernels count a triangle of several queries from the first key on.
        return keys - 1 if queries == 1 else queries - 1
    row = kernel.mask[:, :, min(queries, kernel.mask.shape[2]) - 1, :keys]
    places = readable(row).any(0).any(0).nonzero()
    return int(places[-1]) if len(places) else keys - 1
