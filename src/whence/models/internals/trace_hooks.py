"""What one pass leaves for a trace: kernels' states, gradients, projections, norms and block inputs.

Hooks live inside a context and are taken off at its end, after an exception too.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import torch

from whence.models.internals.block_rerun import BlockCall
from whence.models.internals.frozen_norm import NormCall, is_norm
from whence.models.internals.kernel_hooks import KernelCall, States, hook_kernels
from whence.models.internals.module_paths import outermost_block
from whence.models.internals.token_positions import kind_of

__all__ = ["TraceParts", "TraceSink", "record_trace"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceParts:
    """What is stored beside the kernels' calls and the norms of their gradients.

    Attributes:
        gradients: gradients by every head's outputs.
        stream: what projections and norms read and wrote, to follow the residual stream.
        blocks: inputs of blocks, so that they can run again.
    """

    gradients: bool = False
    stream: bool = False
    blocks: bool = False


@dataclass(slots=True, eq=False)
class TraceSink:
    """Stores what kernels get and give, and the gradients that come back to them.

    Each list has one entry for each kernel call, in the order in which they ran; each mapping is by
    the number of the call.

    Attributes:
        parts: what is stored beside kernels and reach.
        kernels: the calls, detached.
        reach: norm of the gradient at each position, by explained number.
        gradients: ``[queries, heads, width]``, by explained number.
        projections: the module that read the kernel's output as it is.
        written: what the projection gave, ``[queries, model]``.
        inputs: what the last module before the kernel read, ``[queries, model]``.
        norms: calls of norms after the kernel and before the next; ``-1``: before the first.
        blocks: calls of outermost blocks, by path.
    """

    parts: TraceParts
    kernels: list[KernelCall] = field(default_factory=list[KernelCall])
    reach: list[dict[int, np.ndarray]] = field(default_factory=list[dict[int, np.ndarray]])
    gradients: list[dict[int, np.ndarray]] = field(default_factory=list[dict[int, np.ndarray]])
    projections: dict[int, Any] = field(default_factory=dict[int, Any])
    written: dict[int, torch.Tensor] = field(default_factory=dict[int, torch.Tensor])
    inputs: dict[int, torch.Tensor] = field(default_factory=dict[int, torch.Tensor])
    norms: dict[int, list[NormCall]] = field(default_factory=dict[int, list[NormCall]])
    blocks: dict[str, list[BlockCall]] = field(default_factory=dict[str, list[BlockCall]])
    _output: int = 0
    _pending: torch.Tensor | None = None
    _anchor: torch.Tensor | None = None
    _recent: torch.Tensor | None = None

    def before(self, name: str, states: States) -> States:
        """The states as they are."""
        return states

    def announce_gradient(self, output: int) -> None:
        """From now on gradients are of this explained number."""
        self._output = output

    def after(self, call: KernelCall) -> torch.Tensor:
        """Store the call, and its gradients when they come."""
        # Attention over depth: positions stand where heads do, with one query for all of them, and
        # nothing passes between tokens.
        query = call.states[0]
        tokens = self.kernels[-1].states[0].shape[2] if self.kernels else 0
        if query.shape[1] == tokens > 1 and query.stride(1) == 0:
            return call.output
        # In one piece, so that the projection's input is a view of it, at the same address.
        output = call.output.contiguous()
        index = len(self.kernels)
        if self._recent is not None:
            self.inputs[index] = self._recent.detach()[0]
        self.reach.append({})
        self.gradients.append({})
        self.kernels.append(_detached(call, output))
        if self._anchor is None:
            self._anchor = output
        if kind_of(call) == "causal" and kind_of(self.kernels[0]) == "bidirectional":
            # A decoder's first layer does not depend on the encoder's input, by which is
            # differentiated; adding zero times an output that does lets its gradient through.
            output = output + 0 * self._anchor.flatten()[0]
        if output.requires_grad:
            output.register_hook(lambda gradient: self._store_gradient(index, gradient))
        self._pending = output
        return output

    def _store_gradient(self, index: int, gradient: torch.Tensor) -> None:
        first = gradient.detach()[0].float()
        # In float64: in float32 the square of a gradient below 1e-19 is rounded off or to zero, and
        # positions of a sure answer would count as not read.
        norm = first.flatten(1).double().norm(dim=1)
        self.reach[index][self._output] = norm.cpu().numpy()
        if self.parts.gradients:
            self.gradients[index][self._output] = first.cpu().numpy()

    def module_reads(self, child: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before any module: whether it is the one that reads the kernel's output, and it alone."""
        if self.parts.stream and args and torch.is_tensor(args[0]) and args[0].dim() == 3:
            self._recent = args[0]
        if self._pending is None or len(args) != 1 or kwargs or not torch.is_tensor(args[0]):
            return
        first: torch.Tensor = args[0]
        same = first.data_ptr() == self._pending.data_ptr()
        if not same or first.numel() != self._pending.numel():
            return
        # A dropout passes it on; the first module with numbers of its own is the projection.
        if next(chain(child.parameters(), child.buffers()), None) is None:
            return
        self.projections[len(self.kernels) - 1] = child
        self._pending = None

    def module_gives(self, child: Any, args: tuple[Any, ...], output: Any) -> None:
        """After any module: what the projection wrote, and what norms read and wrote."""
        last = len(self.kernels) - 1
        if not self.parts.stream or not torch.is_tensor(output) or output.dim() != 3:
            return
        if self.projections.get(last) is child and last not in self.written:
            self.written[last] = output.detach()[0]
        elif is_norm(child) and args and torch.is_tensor(args[0]):
            call = NormCall(child, args[0].detach()[0], output.detach()[0])
            self.norms.setdefault(last, []).append(call)


def _detached(call: KernelCall, output: torch.Tensor) -> KernelCall:
    query, key, value = (state.detach() for state in call.states)
    options = {
        name: option.detach() if torch.is_tensor(option) else option
        for name, option in call.options.items()
    }
    return replace(call, states=(query, key, value), options=options, output=output.detach())


@contextmanager
def record_trace(module: Any, sink: TraceSink) -> Generator[None]:
    """Give ``sink`` what the module's kernels, projections, norms and blocks do in this context."""
    handles: list[Any] = []

    def store_input(name: str) -> Any:
        def hook(child: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            sink.blocks.setdefault(name, []).append(BlockCall.of(child, args, kwargs))

        return hook

    with hook_kernels(module, sink):
        try:
            for child in module.modules():
                handles.append(child.register_forward_pre_hook(sink.module_reads, with_kwargs=True))
                handles.append(child.register_forward_hook(sink.module_gives))
            for name, child in module.named_modules() if sink.parts.blocks else ():
                if name and outermost_block(name) == name:
                    hook = store_input(name)
                    handles.append(child.register_forward_pre_hook(hook, with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()
