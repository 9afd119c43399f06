"""Attention weights while the model runs its own kernel.

Weights are not asked of the model, for that would switch it to another kernel. Each entry of
transformers' table of attention functions is replaced *under its own name* while a watch lasts:
the model's own function computes the output, then the weights are computed again in blocks of
rows by the ``eager_attention_forward`` of the model's own file. No ``n x n`` tensor is made. A
certificate for each call compares ``weights @ values`` with what the kernel returned.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from transformers import AttentionInterface

from whence.core.errors import CapabilityError

__all__ = ["AttentionCall", "AttentionSink", "watching"]

Kernel = Callable[..., tuple[torch.Tensor, Any]]
Kind = Literal["bidirectional", "causal", "cross"]

_CROSS = re.compile(r"cross_?att|encdecattention|encoder_attn", re.IGNORECASE)
_EAGER = "eager"


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """One call of one attention layer.

    Attributes:
        name: the module's path in the model.
        kind: ``bidirectional``, ``causal``, or ``cross``.
        heads, queries, keys: sizes; grouped key heads are repeated to the query heads.
        query_start, key_start: the position of the first query and of the first key: with a
            cache, and with a sliding window that dropped keys, neither need be 0.
    """

    name: str
    kind: Kind
    heads: int
    queries: int
    keys: int
    query_start: int
    key_start: int


@runtime_checkable
class AttentionSink(Protocol):
    """What takes the weights as they come."""

    def rows(
        self,
        call: AttentionCall,
        start: int,
        weights: Float[np.ndarray, "batch heads rows keys"],
        seen: Bool[np.ndarray, "batch rows"],
    ) -> None:
        """Weights of the queries from ``start`` on, counted within the call.

        ``seen`` is false for a row that may attend to nothing (padding on the left); its weights
        are zero and mean nothing.
        """
        ...

    def close(self, call: AttentionCall, error: float, rounding: float) -> None:
        """The call is over: ``max |weights @ values - output| / max |output|`` over its rows.

        ``rounding`` is the relative step between numbers of the output's own dtype: a kernel in
        half precision cannot be met more closely than that.
        """
        ...


@dataclass(slots=True, eq=False)
class _Watch:
    names: dict[int, str]
    sink: AttentionSink
    row_block: int
    read: dict[str, int] = field(default_factory=dict[str, int])


_ACTIVE: ContextVar[_Watch | None] = ContextVar("whence_watch", default=None)
_LOCK = threading.Lock()
_originals: dict[str, Kernel | None] = {}
_watchers = 0


@contextmanager
def watching(module: Any, sink: AttentionSink, *, row_block: int = 64) -> Generator[dict[str, int]]:
    """Give ``sink`` every attention weight that ``module`` computes in this context.

    Yields the queries read so far by each layer that could be watched.

    The module's outputs stay bit for bit what they are. Other threads and other modules run
    their own kernels untouched. Everything is put back at the end, after an exception too.

    Layers that keep their softmax to themselves (DeBERTa, GPT-J, Bloom) call no shared function,
    and give nothing: compare what came with what was expected.

    Cost: the weights of each layer once more, ``row_block`` rows of them in memory at a time.

    Raises:
        CapabilityError: in the forward pass, where the kernel's mask cannot be read by rows.
    """
    names = {id(child): name for name, child in module.named_modules()}
    _install()
    watch = _Watch(names=names, sink=sink, row_block=row_block)
    token = _ACTIVE.set(watch)
    try:
        yield watch.read
    finally:
        _ACTIVE.reset(token)
        _uninstall()


def _table() -> dict[str, Kernel]:
    # Setting has a public way (register), putting back has none; a test pins the attribute.
    return cast("dict[str, Kernel]", AttentionInterface._global_mapping)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _install() -> None:
    global _watchers
    with _LOCK:
        _watchers += 1
        if _watchers > 1:
            return
        table = _table()
        for name in [*table, _EAGER]:
            _originals[name] = table.get(name)
            table[name] = _shadow(name, table.get(name))


def _uninstall() -> None:
    global _watchers
    with _LOCK:
        _watchers -= 1
        if _watchers:
            return
        table = _table()
        for name, kernel in _originals.items():
            if kernel is None:
                table.pop(name, None)
            else:
                table[name] = kernel
        _originals.clear()


def _shadow(implementation: str, kernel: Kernel | None) -> Kernel:
    def run(
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: Any = None,
        **options: Any,
    ) -> tuple[torch.Tensor, Any]:
        file = sys.modules[type(module).__module__]
        eager = cast("Kernel | None", getattr(file, "eager_attention_forward", None))
        own = kernel or eager
        if own is None:
            raise KeyError(implementation)
        found = own(module, query, key, value, attention_mask, **options)
        watch = _ACTIVE.get()
        if watch is not None and id(module) in watch.names:
            if eager is None or (attention_mask is not None and attention_mask.dim() != 4):
                raise CapabilityError(
                    f"attention weights asked of {watch.names[id(module)]}, which runs "
                    f"{implementation!r}: its weights cannot be computed by rows. Load the model "
                    "with attn_implementation='sdpa'."
                )
            _again(watch, eager, module, (query, key, value), attention_mask, options, found[0])
        return found

    return run


def _again(
    watch: _Watch,
    eager: Kernel,
    module: Any,
    states: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    mask: torch.Tensor | None,
    options: dict[str, Any],
    output: torch.Tensor,
) -> None:
    # In float32, whatever the model's dtype: only the kernel's own rounding is left to differ.
    query, key, value = (state.float() for state in states)
    call = _describe(watch, module, query, key, options)
    rest = {k: v for k, v in options.items() if k not in {"dropout", "position_bias"}}
    bias = options.get("position_bias")
    causal = call.kind == "causal" and mask is None and call.queries > 1
    worst = torch.zeros((), dtype=torch.float32, device=query.device)
    with torch.no_grad():
        for start in range(0, call.queries, watch.row_block):
            end = min(start + watch.row_block, call.queries)
            rows, seen = _row_mask(mask, start, end, query, key, causal=causal)
            extra = dict(rest)
            if bias is not None:
                extra["position_bias"] = bias[:, :, start:end] if bias.shape[2] > 1 else bias
            part = query[:, :, start:end]
            result, weights = eager(module, part, key, value, rows, dropout=0.0, **extra)
            gap = (result.float() - output[:, start:end].float()).abs().amax((2, 3))
            worst = torch.maximum(worst, torch.where(seen, gap, 0.0).max())
            weights = weights.float() * seen[:, None, :, None]
            watch.sink.rows(call, start, weights.cpu().numpy(), seen.cpu().numpy())
        size = float(output.float().abs().max())
    error = float(worst) / size if size else float(worst)
    watch.sink.close(call, error, torch.finfo(output.dtype).eps)


def _describe(
    watch: _Watch, module: Any, query: torch.Tensor, key: torch.Tensor, options: dict[str, Any]
) -> AttentionCall:
    name = watch.names[id(module)]
    queries, keys = int(query.shape[2]), int(key.shape[2])
    kind: Kind = "bidirectional"
    if _CROSS.search(name):
        kind = "cross"
    elif options.get("is_causal") or (
        options.get("is_causal") is None and getattr(module, "is_causal", True)
    ):
        kind = "causal"
    first = watch.read.get(name, 0)
    watch.read[name] = first + queries
    positions = kind == "causal"
    return AttentionCall(
        name=name,
        kind=kind,
        heads=int(query.shape[1]),
        queries=queries,
        keys=keys,
        query_start=first,
        # The last key is the last query's own; what a window dropped lies before the first.
        key_start=first + queries - keys if positions else 0,
    )


def _row_mask(
    mask: torch.Tensor | None,
    start: int,
    end: int,
    query: torch.Tensor,
    key: torch.Tensor,
    *,
    causal: bool,
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Rows of the mask as what is added to the scores, and which rows see any key."""
    batch = query.shape[0]
    least = torch.finfo(query.dtype).min
    barred = least if mask is None or mask.dtype == torch.bool else torch.finfo(mask.dtype).min
    everything = torch.ones(batch, end - start, dtype=torch.bool, device=query.device)
    if mask is None:
        if not causal:
            return None, everything
        columns = torch.arange(key.shape[2], device=query.device)
        lines = torch.arange(start, end, device=query.device)
        allowed = (columns[None] <= lines[:, None])[None, None]
        added = torch.zeros(allowed.shape, dtype=query.dtype, device=query.device)
        return added.masked_fill(~allowed, least), everything
    rows = mask[:, :, start:end] if mask.shape[2] > 1 else mask
    rows = rows[..., : key.shape[2]]
    if rows.dtype == torch.bool:
        added = torch.zeros(rows.shape, dtype=query.dtype, device=query.device)
        added = added.masked_fill(~rows, least)
    else:
        added = rows
    # A float mask may carry a bias; only what nears the least number is a mask.
    open_rows = (added > barred / 2).any(-1).any(1)
    return added, open_rows.expand(batch, end - start)
