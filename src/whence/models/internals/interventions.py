"""Changes to attention while a model runs: head outputs replaced, values zeroed, edges cut.

The kernel computes what no change touches; a row with a cut edge is computed again by the eager
function of the model's own file. No module and no weight of the model is edited.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from whence.core.errors import CapabilityError, OptionError
from whence.models.internals.attention_capture import RowReader
from whence.models.internals.kernel_hooks import KernelCall, States, hook_kernels

__all__ = ["Change", "EdgeKnockout", "HeadReplacement", "ZeroValues", "intervene"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeadReplacement:
    """Replace a head's output, before the layer's output projection.

    Attributes:
        layer: the layer's name.
        head: head, counted from 0.
        outputs: replacement, for each call of the layer in order: ``[queries, width]``, or one
            row for every query. ``None``: zero.
        queries: positions at which it is replaced; ``None``: all.
    """

    layer: str
    head: int
    outputs: tuple[Float[np.ndarray, "queries width"], ...] | None = None
    queries: Int[np.ndarray, " chosen"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ZeroValues:
    """Set the values of some keys to zero; the attention weights stay as they are."""

    layer: str
    keys: Int[np.ndarray, " chosen"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EdgeKnockout:
    """Bar some queries from some keys; the softmax is taken over the rest (attention knock-out).

    Attributes:
        layer: the layer's name.
        head: head; ``None``: all.
        cut: true where a query (row) may not read a key (column); one array for every call of the
            layer, or one for each in order, where passes read texts of several lengths.

    Geva et al. (2023), arXiv:2304.14767.
    """

    layer: str
    head: int | None
    cut: Bool[np.ndarray, "queries keys"] | tuple[Bool[np.ndarray, "_ _"], ...]


Change = HeadReplacement | ZeroValues | EdgeKnockout


@contextmanager
def intervene(module: Any, changes: Sequence[Sequence[Change]]) -> Generator[None]:
    """Run ``module`` with ``changes[b]`` made to row ``b`` of the batch, in this context.

    Raises:
        OptionError: in the forward pass: no such head or position, or a row left with no key.
        CapabilityError: a layer named here never ran a kernel that can be changed.
    """
    hook = _Changes(changes)
    with hook_kernels(module, hook):
        yield
    missing = sorted(set(hook.by_layer) - set(hook.calls))
    if missing:
        raise CapabilityError(
            f"no shared attention function ran at {', '.join(missing)}, so nothing was changed there; "
            "whence.attend lists the layers of a model"
        )


class _Changes:
    """Kernel hook: values are zeroed before a kernel, outputs replaced and edges cut after it."""

    def __init__(self, changes: Sequence[Sequence[Change]]) -> None:
        self.by_layer: dict[str, list[tuple[int, Change]]] = {}
        self.rows = len(changes)
        self.calls: dict[str, int] = {}
        for row, group in enumerate(changes):
            for change in group:
                self.by_layer.setdefault(change.layer, []).append((row, change))

    def before(self, name: str, states: States) -> States:
        query, key, value = states
        changes = self.by_layer.get(name, [])
        if changes and len(query) != self.rows:
            raise CapabilityError(
                f"expected a batch of {self.rows} rows, one for each change, got {len(query)} at {name}"
            )
        zeros = [(row, change) for row, change in changes if isinstance(change, ZeroValues)]
        if zeros:
            # With a cache, these are the cache's own tensors: zeroed in place they would be zero
            # for every later token.
            value = value.clone()
            for row, change in zeros:
                keys = _positions(change.keys, value.shape[2], "key", name)
                value[row, :, keys] = 0
        return query, key, value

    def after(self, call: KernelCall) -> torch.Tensor:
        number = self.calls.get(call.name, 0)
        self.calls[call.name] = number + 1
        changes = self.by_layer.get(call.name, [])
        cuts = [(row, change) for row, change in changes if isinstance(change, EdgeKnockout)]
        heads = [(row, change) for row, change in changes if isinstance(change, HeadReplacement)]
        if not cuts and not heads:
            return call.output
        output = call.output.clone()
        if cuts:
            _cut_edges(call, output, cuts, number)
        for row, change in heads:
            _replace_head(call, output[row], change, number)
        return output


def _cut_edges(
    call: KernelCall, output: torch.Tensor, cuts: Sequence[tuple[int, EdgeKnockout]], number: int
) -> None:
    """Compute the rows with a cut edge again, and write them into ``output``."""
    query = call.states[0]
    heads = int(query.shape[1])
    barred = _barred(call, cuts, number)
    lines = barred.any(3).any(1).any(0).nonzero()[:, 0]
    # A last token that nothing reads, alone in its batch.
    if not lines.numel():
        return
    # Only rows with a cut edge are written. All others keep the kernel's own bits, so that a change
    # of one head moves nothing else by a rounding.
    touched = barred[:, :, lines].any(3).expand(-1, heads, -1)
    barred = barred[:, :, lines].to(query.device)
    reader = RowReader(call)
    reader.check(lines)
    result, weights, seen = reader.read(lines.to(query.device), barred=barred)
    # Cut cells have weight zero unless a row has no other: a softmax over equal numbers, however low,
    # shares its mass among them. Layers that select few keys for each query come to that first.
    mass = (weights * barred).sum(-1).amax(1)[seen]
    if bool((mass > 0).any()):
        raise OptionError(
            f"the cut leaves a query of {call.name} no key to read: {float(mass.max()):.3f} of its "
            "weight stays on keys that were cut. Cut fewer edges"
        )
    batch, head, line = touched.nonzero(as_tuple=True)
    output[batch, lines[line], head] = result[batch, line, head].to(output.dtype)


def _barred(
    call: KernelCall, cuts: Sequence[tuple[int, EdgeKnockout]], number: int
) -> torch.Tensor:
    """Edges that are cut: ``[rows, heads, queries, keys]``, one head where all are cut alike."""
    query, key, _ = call.states
    heads, shape = int(query.shape[1]), (query.shape[2], key.shape[2])
    # One matrix for all heads where every cut is of all: a heads-th of the memory.
    each = 1 if all(change.head is None for _, change in cuts) else heads
    barred = torch.zeros(len(query), each, *shape, dtype=torch.bool)
    for row, change in cuts:
        cut = _cut_of_call(change, number, call.name)
        if cut.shape != shape:
            raise OptionError(f"expected edges of shape {shape} at {call.name}, got {cut.shape}")
        edges = torch.from_numpy(cut)
        if change.head is None:
            barred[row] |= edges
        else:
            _check_head(change.head, heads, call.name)
            barred[row, change.head] |= edges
    return barred


def _cut_of_call(change: EdgeKnockout, number: int, name: str) -> np.ndarray:
    if not isinstance(change.cut, tuple):
        return change.cut
    if number >= len(change.cut):
        raise CapabilityError(
            f"{name} ran {number + 1} times; cuts were given for {len(change.cut)}"
        )
    return change.cut[number]


def _replace_head(
    call: KernelCall, output: torch.Tensor, change: HeadReplacement, number: int
) -> None:
    """Write a replacement into ``output[queries, heads, width]``."""
    _check_head(change.head, output.shape[1], call.name)
    queries: Any = slice(None)
    if change.queries is not None:
        queries = _positions(change.queries, output.shape[0], "query", call.name)
    if change.outputs is None:
        output[queries, change.head] = 0
        return
    if number >= len(change.outputs):
        raise CapabilityError(
            f"{call.name} ran {number + 1} times; replacements were given for {len(change.outputs)}"
        )
    replacement = torch.from_numpy(np.ascontiguousarray(change.outputs[number]))
    replacement = replacement.to(output.device, output.dtype)
    if replacement.shape[0] not in (1, output.shape[0]) or replacement.shape[1] != output.shape[2]:
        raise OptionError(
            f"expected an output of shape {(output.shape[0], output.shape[2])} at {call.name}, got "
            f"{tuple(replacement.shape)}; the two inputs must have the same number of tokens"
        )
    output[queries, change.head] = replacement.expand(output.shape[0], -1)[queries]


def _check_head(head: int, heads: int, name: str) -> None:
    if not 0 <= head < heads:
        raise OptionError(f"{name} has no head {head}; it has heads 0 to {heads - 1}")


def _positions(positions: np.ndarray, size: int, what: str, name: str) -> torch.Tensor:
    if positions.size and not (positions.min() >= 0 and positions.max() < size):
        raise OptionError(f"{name} has no {what} {int(positions.max())}; it has {size} of them")
    return torch.from_numpy(positions.astype(np.int64))
