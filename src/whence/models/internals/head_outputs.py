"""Each head's output and its gradient, captured while a model runs.

A sink is a :class:`~whence.models.internals.kernel_hooks.KernelHook`: it is put on a model by
``hook_kernels`` and leaves what the model computes as it is.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from whence.models.internals.frozen_norm import freeze_scale, is_norm
from whence.models.internals.kernel_hooks import KernelCall, States
from whence.models.internals.module_lock import locked
from whence.models.internals.module_paths import innermost_block

__all__ = ["DirectGradientSink", "GradientSink", "OutputSink"]


@dataclass(slots=True, eq=False)
class OutputSink:
    """Each head's output of each call of each layer: ``[batch, queries, heads, width]``."""

    outputs: dict[str, list[np.ndarray]] = field(default_factory=dict[str, list[np.ndarray]])

    def before(self, name: str, states: States) -> States:
        """The states as they are."""
        return states

    def after(self, call: KernelCall) -> torch.Tensor:
        """Store the output; the model goes on with it as it is."""
        self.outputs.setdefault(call.name, []).append(_array(call.output))
        return call.output


@dataclass(slots=True, eq=False)
class GradientSink(OutputSink):
    """Beside the outputs, the gradient of each explained number by them.

    ``gradients[name][call]`` is a list with one ``[batch, queries, heads, width]`` for each
    explained number; empty where the numbers do not depend on the input through this layer.
    """

    gradients: dict[str, list[list[np.ndarray]]] = field(
        default_factory=dict[str, list[list[np.ndarray]]]
    )

    def after(self, call: KernelCall) -> torch.Tensor:
        """Store the output, and its gradient when it comes."""
        gradients = self._list_for(call)
        if call.output.requires_grad:
            call.output.register_hook(lambda gradient: gradients.append(_array(gradient)))
        return call.output

    def _list_for(self, call: KernelCall) -> list[np.ndarray]:
        OutputSink.after(self, call)
        gradients: list[np.ndarray] = []
        self.gradients.setdefault(call.name, []).append(gradients)
        return gradients


@dataclass(slots=True, eq=False)
class DirectGradientSink(GradientSink):
    """Gradients along the residual stream alone: what later layers read is frozen.

    No gradient passes through what a later attention or feed-forward layer reads; a norm's divisor
    (and the mean that it takes off) stays at its value on the input. Linear layers inside a block
    are frozen at their inputs, except the one that reads the heads' outputs.
    """

    blocks: set[str] = field(default_factory=set[str])
    _outputs_at: set[int] = field(default_factory=set[int])

    def after(self, call: KernelCall) -> torch.Tensor:
        """Store the output and its gradient, and let no gradient further back."""
        gradients = self._list_for(call)
        self.blocks.add(innermost_block(call.name))
        # In one piece, so that the projection's input is a view of it, at the same address.
        output = call.output.clone(memory_format=torch.contiguous_format)

        def stop(gradient: torch.Tensor) -> torch.Tensor:
            gradients.append(_array(gradient))
            return torch.zeros_like(gradient)

        if output.requires_grad:
            output.register_hook(stop)
        self._outputs_at = {output.data_ptr()}
        return output

    @contextmanager
    def freeze(self, module: Any) -> Generator[None]:
        """Freeze what the class says of ``module``'s layers, in this context."""
        handles: list[Any] = []
        with locked(module):
            try:
                for name, child in module.named_modules():
                    if is_norm(child):
                        handles.append(child.register_forward_hook(freeze_scale))
                    # A module with a matrix of its own is a linear map (Linear, Conv1D). Not
                    # parameters(), which holds those of children too: then every block would be
                    # frozen as a whole.
                    elif any(p is not None and p.dim() > 1 for p in child._parameters.values()):  # noqa: SLF001
                        handles.append(child.register_forward_pre_hook(self._freeze_input(name)))
                yield
            finally:
                for handle in handles:
                    handle.remove()

    def _freeze_input(self, name: str) -> Any:
        def hook(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if not any(name.startswith(f"{block}.") for block in self.blocks):
                return None
            if not (args and torch.is_tensor(args[0]) and args[0].requires_grad):
                return None
            if args[0].data_ptr() in self._outputs_at:
                return None
            # A view: the residual stream goes on from the same tensor, and a hook on that tensor
            # would stop the stream as well.
            copy = args[0].view_as(args[0])
            copy.register_hook(torch.zeros_like)
            return (copy, *args[1:])

        return hook


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
