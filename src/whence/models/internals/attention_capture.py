"""Attention weights, captured while the model runs its own kernel.

Asking a model for its weights switches it to another kernel, so they are not asked for. The model's
own function computes the output (see :mod:`whence.models.internals.kernel_hooks`), then the weights
are computed again in blocks of rows by the ``eager_attention_forward`` of the model's own file. No
``n x n`` tensor is made. A certificate for each call compares ``weights @ values`` with the output.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float

from whence.core.errors import CapabilityError
from whence.models.internals.kernel_hooks import KernelCall, States, hook_kernels
from whence.models.internals.token_positions import Kind, PositionTracker, kind_of, readable

__all__ = [
    "CERTIFICATE_LIMIT",
    "AttentionCall",
    "AttentionSink",
    "Kind",
    "LayerStates",
    "RowReader",
    "StatesSink",
    "capture_attention",
    "kind_of",
]

CERTIFICATE_LIMIT = 1e-3
"""Largest certificate with which weights are those of the kernel, in full precision. Measured certificates
of float32 models are below 1e-5 (docs/explanation/attention.md); the two powers of ten above that are
chosen by hand. A half-precision model rounds its output, so its limit is the relative step of its
dtype (bfloat16: 7.8e-3)."""


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """One call of one attention layer.

    Attributes:
        name: the module's path in the model.
        kind: ``bidirectional``, ``causal``, or ``cross``.
        heads, queries, keys: sizes; grouped key heads are repeated to the query heads.
        query_start, key_start: the position of the first query and of the first key: with a
            cache, and with a sliding window that dropped keys, neither need be 0; see
            :class:`~whence.models.internals.token_positions.PositionTracker`.
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
    """An object that takes the weights of each call, block by block."""

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

        ``rounding`` is the relative step between numbers of the output's own dtype: the output of a
        kernel in half precision cannot be matched more closely than that.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LayerStates:
    """The states that give a call's scores: ``score = cap(scaling q . k) + bias``.

    Attributes:
        query: ``[heads, queries, width]``.
        key, value: ``[groups, keys, width]``; head ``h`` reads group ``h // (heads / groups)``.
        scaling: a factor of every product.
        softcap: ``c`` of ``c tanh(score / c)``, or ``None``.
        bias: ``[heads, queries + keys - 1]`` by distance: entry ``j - i + queries - 1`` is added
            to the score of query ``i`` and key ``j``; ``None`` where the layer has none.
        dtype: of the model's own states, of which these are exact copies in float32.
    """

    query: Float[np.ndarray, "heads queries width"]
    key: Float[np.ndarray, "groups keys width"]
    value: Float[np.ndarray, "groups keys value_width"]
    scaling: float
    softcap: float | None
    bias: Float[np.ndarray, "heads distances"] | None
    dtype: str


@runtime_checkable
class StatesSink(AttentionSink, Protocol):
    """A sink that also takes the states of a call of one input, before its rows."""

    def states(self, call: AttentionCall, states: LayerStates) -> None:
        """The states of the rows that follow."""
        ...


@contextmanager
def capture_attention(
    module: Any, sink: AttentionSink, *, row_block: int = 64
) -> Generator[dict[str, int]]:
    """Give ``sink`` every attention weight that ``module`` computes in this context.

    Yields the number of queries so far of each layer whose weights were captured. The module's
    outputs stay bit for bit what they are; see
    :func:`~whence.models.internals.kernel_hooks.hook_kernels`.

    Layers that compute their softmax themselves (DeBERTa, GPT-J, Bloom) call no shared function and
    give nothing: compare the names that came with those expected.

    Cost: the weights of each layer once more, ``row_block`` rows of them in memory at a time.

    Raises:
        CapabilityError: in the forward pass, where the kernel's mask cannot be read by rows.
    """
    hook = _CaptureHook(sink=sink, row_block=row_block)
    with hook_kernels(module, hook):
        yield hook.queries


@dataclass(slots=True, eq=False)
class _CaptureHook:
    sink: AttentionSink
    row_block: int
    queries: dict[str, int] = field(default_factory=dict[str, int])
    positions: PositionTracker = field(default_factory=PositionTracker)

    def before(self, name: str, states: States) -> States:
        return states

    def after(self, call: KernelCall) -> torch.Tensor:
        self._compute_weights(call)
        return call.output

    def _compute_weights(self, kernel: KernelCall) -> None:
        """Compute the weights of a call again, by rows, and its certificate."""
        call = self._describe(kernel)
        reader = RowReader(kernel)
        # States have no batch axis: in a batch, each padded row would have keys of its own that may
        # not be read.
        if isinstance(self.sink, StatesSink) and len(kernel.output) == 1:
            self.sink.states(call, _states(kernel))
        error = 0.0
        with torch.no_grad():
            for start in range(0, call.queries, self.row_block):
                lines = torch.arange(start, min(start + self.row_block, call.queries))
                result, weights, seen = reader.read(lines.to(kernel.output.device))
                gap = max(reader.miss(lines, each, seen) for each in (result, reader.mix(weights)))
                error = max(error, gap)
                # Not times zero: softmax may give NaN over a row that may read nothing.
                weights = torch.where(seen[:, None, :, None], weights.float(), 0.0)
                self.sink.rows(call, start, weights.cpu().numpy(), seen.cpu().numpy())
        self.sink.close(call, error, torch.finfo(kernel.output.dtype).eps)

    def _describe(self, kernel: KernelCall) -> AttentionCall:
        query, key, _ = kernel.states
        queries, keys = int(query.shape[2]), int(key.shape[2])
        positions = self.positions.positions(kernel)
        self.queries[kernel.name] = self.queries.get(kernel.name, 0) + queries
        return AttentionCall(
            name=kernel.name,
            kind=kind_of(kernel),
            heads=int(query.shape[1]),
            queries=queries,
            keys=keys,
            query_start=positions.query,
            key_start=positions.key,
        )


def _states(kernel: KernelCall) -> LayerStates:
    # Exact also for half precision, of which each number is one of float32.
    query, key, value = (state[0].float().cpu().numpy() for state in kernel.states)
    scaling = kernel.options.get("scaling")
    # What the attention functions of transformers take where neither the call nor the module names
    # a scale.
    if scaling is None:
        scaling = getattr(kernel.module, "scaling", query.shape[-1] ** -0.5)
    cap = kernel.options.get("softcap")
    bias = kernel.options.get("position_bias")
    if bias is not None:
        # Along the last row backwards to the first key, then up the last column.
        table = bias[0].float().cpu().numpy()
        bias = np.concatenate([table[:, -1], table[:, -2::-1, -1]], axis=1)
    return LayerStates(
        query=query,
        key=key,
        value=value,
        scaling=float(scaling),
        softcap=None if cap is None else float(cap),
        bias=bias,
        dtype=str(kernel.states[0].dtype).removeprefix("torch."),
    )


class RowReader:
    """Computes chosen rows of one call again, with the eager function of the model's own file."""

    def __init__(self, kernel: KernelCall) -> None:
        self.kernel = kernel
        # In float32 at least, so that the only difference to a half-precision kernel is the kernel's
        # own rounding.
        query, key, value = (_at_least_float32(state) for state in kernel.states)
        self.states = (query, key, value)
        # Dropout is given as 0; the rest (scale, cap, sinks, bias) goes on as the kernel got it, what
        # is of each query row by row.
        self.options = {k: v for k, v in kernel.options.items() if k != "dropout"}
        # A kernel that gets no mask draws the triangle itself, from is_causal; the eager function
        # adds nothing but the mask it gets. A single query (a step with a cache) reads every key.
        causal = kind_of(kernel) == "causal" and kernel.mask is None
        self.causal = causal and query.shape[2] > 1

    def read(
        self, lines: torch.Tensor, *, barred: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Output, weights and which rows see any key, for the queries of these indices.

        ``barred[batch, heads, rows, keys]`` are cells that may not be read beside the masked ones.
        """
        query, key, value = self.states
        rows, seen = _row_mask(self.kernel.mask, lines, query, key, causal=self.causal)
        if barred is not None:
            cut = torch.zeros(barred.shape, dtype=query.dtype, device=query.device)
            cut = cut.masked_fill(barred, torch.finfo(query.dtype).min)
            least = torch.finfo(query.dtype).min
            # Twice the least number is -inf, and a softmax over a row of nothing but -inf is NaN.
            rows = cut if rows is None else (rows.to(query.dtype) + cut).clamp_min(least)
        extra = {name: self._rows_of(option, lines) for name, option in self.options.items()}
        result, weights = self.kernel.eager(
            self.kernel.module, query[:, :, lines], key, value, rows, dropout=0.0, **extra
        )
        return result, weights, seen

    def mix(self, weights: torch.Tensor) -> torch.Tensor:
        """``weights @ values``: what the weights alone make, whatever the layer does behind them.

        An eager function may scale its output afterwards (by a sink in closed form), and give
        weights that do not hold the scale.
        """
        value = self.states[2]
        value = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
        return (weights.to(value.dtype) @ value).transpose(1, 2)

    def miss(self, lines: torch.Tensor, result: torch.Tensor, seen: torch.Tensor) -> float:
        """How far the output of these rows, computed again, is from the kernel's own.

        Over the layer's largest output and not entry by entry: an output near zero is a sum in
        which larger terms cancel, and its relative error has no bound.
        """
        output = self.kernel.output
        # In the wider of the two dtypes: the output of a half-precision kernel is compared as it
        # is, and the bound is that dtype's own step.
        gap = (result - output[:, lines].to(result.dtype)).abs().amax((2, 3)).float()
        size = float(output.float().abs().max()) or 1.0
        # A cut of edges that no head reads leaves no row.
        return float(torch.where(seen, gap, 0.0).max()) / size if gap.numel() else 0.0

    def check(self, lines: torch.Tensor) -> None:
        """Compute rows again as the kernel did, before they are changed.

        Raises:
            CapabilityError: they miss the kernel's output: a change of them would be one of another
                function.
        """
        result, _, seen = self.read(lines)
        error = self.miss(lines, result, seen)
        if not error <= max(CERTIFICATE_LIMIT, torch.finfo(self.kernel.output.dtype).eps):
            raise CapabilityError(
                f"the weights of {self.kernel.name}, computed again, miss its kernel's output by "
                f"{error:.1e} of its size, so no edge of it can be cut"
            )

    def _rows_of(self, option: Any, lines: torch.Tensor) -> Any:
        """What an option holds for some queries; one of a single row is broadcast over them."""
        queries = self.states[0].shape[2]
        per_query = torch.is_tensor(option) and option.dim() == 4 and option.shape[2] == queries > 1
        return option[:, :, lines] if per_query else option


def _at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _row_mask(
    mask: torch.Tensor | None,
    lines: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    *,
    causal: bool,
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Rows of the mask as what is added to the scores, and which rows see any key."""
    batch = query.shape[0]
    least = torch.finfo(query.dtype).min
    everything = torch.ones(batch, len(lines), dtype=torch.bool, device=query.device)
    if mask is None:
        if not causal:
            return None, everything
        columns = torch.arange(key.shape[2], device=query.device)
        allowed = (columns[None] <= lines[:, None])[None, None]
        added = torch.zeros(allowed.shape, dtype=query.dtype, device=query.device)
        return added.masked_fill(~allowed, least), everything
    rows = mask[:, :, lines] if mask.shape[2] > 1 else mask
    rows = rows[..., : key.shape[2]]
    # A float mask may hold a bias too; only numbers near the dtype's least one bar a key.
    open_rows = readable(rows).any(-1).any(1)
    if rows.dtype == torch.bool:
        added = torch.zeros(rows.shape, dtype=query.dtype, device=query.device)
        rows = added.masked_fill(~rows, least)
    return rows, open_rows.expand(batch, len(lines))
