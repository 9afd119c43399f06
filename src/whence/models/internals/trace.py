"""One pass with its gradients, kept so that every attention layer can be asked about afterwards.

The model runs its own kernels. What each of them got is held, which grows with the length of the
text and not with its square; weights are computed again from it, a block of rows at a time, in
whatever order of layers a method wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from whence.core.errors import CapabilityError
from whence.models.internals.attention_capture import Kind, RowReader, kind_of
from whence.models.internals.block_rerun import BlockCall, block_name, rerun
from whence.models.internals.kernel_hooks import KernelCall, States, hooked
from whence.models.internals.residual_addition import Addition, NormCall, additions, is_norm
from whence.models.protocols import Encoding

__all__ = ["Trace", "TracedCall", "trace"]


@dataclass(frozen=True, slots=True)
class TracedCall:
    """One call of one attention layer, in the order in which they ran."""

    index: int
    name: str
    kind: Kind
    heads: int
    queries: int
    keys: int


class Trace:
    """What the attention layers of one pass got, gave, and how what is explained depends on it.

    Attributes:
        calls: the layers' calls, in the order in which they ran.
        values: ``[k]`` what is explained, in this pass; empty where no readout was given.
        reach: for each call ``[k, queries]``, the norm of the gradient of each output by all heads'
            outputs at each position: zero where nothing later reads the position.
    """

    def __init__(
        self,
        sink: _Sink,
        module: Any,
        values: Float[np.ndarray, " k"],
        running: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._sink = sink
        self._module = module
        self._running = running
        self._reader: tuple[int, RowReader] | None = None
        self._additions: dict[int, Addition | str] | None = None
        self._errors: dict[int, float] = {}
        self.values = values
        self.calls = tuple(
            TracedCall(
                index=index,
                name=kernel.name,
                kind=kind_of(kernel),
                heads=int(kernel.states[0].shape[1]),
                queries=int(kernel.states[0].shape[2]),
                keys=int(kernel.states[1].shape[2]),
            )
            for index, kernel in enumerate(sink.kernels)
        )
        none = len(values)
        self.reach = tuple(
            np.stack([sink.reach[c.index].get(o, np.zeros(c.queries)) for o in range(none)])
            if none
            else np.zeros((0, c.queries))
            for c in self.calls
        )

    def weights(
        self, call: TracedCall, start: int, stop: int
    ) -> Float[np.ndarray, "heads rows keys"]:
        """Attention weights of the queries ``start`` to ``stop``; the rows of padding are zero."""
        if self._reader is None or self._reader[0] != call.index:
            self._reader = (call.index, RowReader(self._sink.kernels[call.index]))
        output = self._sink.kernels[call.index].output
        lines = torch.arange(start, min(stop, call.queries), device=output.device)
        with torch.inference_mode():
            result, weights, seen = self._reader[1].read(lines)
            # A kernel in half precision cannot be met more closely than its own rounding.
            gap = (result.float() - output[:, lines].float()).abs().amax((2, 3))
            size = max(float(output.float().abs().max()), torch.finfo(torch.float32).tiny)
            error = float(torch.where(seen, gap, 0.0).max()) / size
            self._errors[call.index] = max(error, self._errors.get(call.index, 0.0))
            weights = weights.float() * seen[:, None, :, None]
            return weights[0].cpu().numpy()

    def misses(self, limit: float = 1e-3) -> tuple[tuple[str, float], ...]:
        """Layers whose weights, times the values, missed the kernel's output, and by how much.

        Relative to the layer's largest output; only of the rows that were asked for.
        """
        return tuple(
            (self.calls[index].name, error)
            for index, error in sorted(self._errors.items())
            if error > max(limit, torch.finfo(self._sink.kernels[index].output.dtype).eps)
        )

    def value_vectors(self, call: TracedCall) -> Float[np.ndarray, "heads keys width"]:
        """What each head reads from each key; grouped heads are repeated."""
        value = self._sink.kernels[call.index].states[2][0]
        wide = value.repeat_interleave(call.heads // len(value), dim=0)
        return wide.float().cpu().numpy()

    def slopes(self, call: TracedCall, output: int) -> Float[np.ndarray, "queries heads width"]:
        """Gradient of an output by the heads' outputs; zero where it does not depend on them."""
        found = self._sink.slopes[call.index].get(output)
        if found is None:
            return np.zeros(self._sink.kernels[call.index].output.shape[1:], dtype=np.float32)
        return found

    def projection(self, call: TracedCall) -> Float[np.ndarray, "heads width model"]:
        """What the layer's output projection makes of each head's output, bias left out.

        The module that read the kernel's output is run on unit vectors.

        Raises:
            CapabilityError: no linear module read the heads' outputs as they are.
        """
        found = self._sink.projections.get(call.index)
        kernel = self._sink.kernels[call.index]
        _, _, heads, width = kernel.output.shape
        if found is not None:
            size = heads * width
            flat = kernel.output[0, :1].reshape(1, size)
            with torch.inference_mode(), self._running():
                eye = torch.eye(size, dtype=flat.dtype, device=flat.device)
                nothing = found(torch.zeros_like(flat)).float()
                matrix = found(eye).float() - nothing
                own = found(flat).float() - nothing
                miss = (flat.float() @ matrix - own).abs().max() / own.abs().max().clamp_min(1e-30)
            if float(miss) < max(1e-3, 16 * torch.finfo(flat.dtype).eps):
                return matrix.reshape(heads, width, -1).cpu().numpy()
        raise CapabilityError(
            f"no linear module reads the heads' outputs of {call.name} as they are (they are gated, "
            "normed or quantised first), so what a head writes cannot be told apart"
        )

    def addition(self, call: TracedCall) -> Addition:
        """How the layer's output joins the residual stream.

        Raises:
            CapabilityError: the stream could not be followed (parallel blocks, gates).
        """
        if self._additions is None:
            self._additions = additions(
                [kernel.name for kernel in self._sink.kernels],
                self._sink.written,
                self._sink.inputs,
                self._sink.norms,
            )
        found = self._additions[call.index]
        if isinstance(found, str):
            raise CapabilityError(found)
        return found

    def zeroed(
        self, call: TracedCall, keys: Sequence[int]
    ) -> tuple[Float[np.ndarray, "queries model"], Float[np.ndarray, "keys queries model"]]:
        """States after the layer's block as they are, and with the values of each key zeroed.

        Only this block runs again, at the input it had, all ``keys`` in one batch.

        Raises:
            CapabilityError: the block cannot be run by itself.
            MemoryError: the batch does not fit.
        """
        runs = self._sink.blocks.get(block_name(call.name), [])
        alike = [c.index for c in self.calls if c.name == call.name]
        if len(runs) != len(alike):
            raise CapabilityError(
                f"{call.name} lies in no block of a list that runs when it does, so the block "
                "cannot be run again by itself"
            )
        with torch.no_grad(), self._running():
            return rerun(self._module, runs[alike.index(call.index)], call.name, keys)


def trace(
    model: Any,
    encoding: Encoding,
    readout: Any = None,
    *,
    forced: Sequence[int] = (),
    slopes: bool = False,
    stream: bool = False,
    blocks: bool = False,
) -> Trace:
    """Run a model on an input and keep what its attention layers did.

    Args:
        model: an adapter of this room.
        encoding: the input.
        readout: what is explained; without one nothing is differentiated, and the pass reads the
            ``forced`` tokens after the input.
        forced: see there.
        slopes: keep gradients of every layer, beside their norms.
        stream: keep what is needed to say how layers join the residual stream.
        blocks: keep the inputs of blocks, so that they can run again.

    Cost: one forward pass, and one backward pass for each output; memory as for a gradient.

    Raises:
        CapabilityError: the model's layers call no attention function that transformers shares.
        MemoryError: the pass does not fit.
    """
    precision = "native" if readout is None else readout.precision
    sink = _Sink(keep_slopes=slopes, stream=stream)
    with ExitStack() as open_:
        open_.enter_context(hooked(model.module, sink))
        open_.enter_context(_listening(model.module, sink, blocks=blocks))
        if readout is None:
            open_.enter_context(torch.no_grad())
            open_.enter_context(model.running())
            model._read(encoding, forced)  # noqa: SLF001 - of the same room
            values = np.zeros(0)
        else:
            given = model.embed(encoding)[None]
            values = np.asarray(model.gradients(encoding, given, readout).values[0], np.float64)
    if not sink.kernels:
        raise CapabilityError(
            f"the layers of {model.architecture} keep their softmax to themselves: they call no "
            "attention function that transformers shares, so their weights cannot be followed"
        )
    return Trace(sink, model.module, values, lambda: model.running(precision))


@dataclass(slots=True, eq=False)
class _Sink:
    """Takes what kernels get and give, and the gradients that come back to them."""

    keep_slopes: bool
    stream: bool
    output: int = 0
    kernels: list[KernelCall] = field(default_factory=list[KernelCall])
    reach: list[dict[int, np.ndarray]] = field(default_factory=list[dict[int, np.ndarray]])
    slopes: list[dict[int, np.ndarray]] = field(default_factory=list[dict[int, np.ndarray]])
    projections: dict[int, Any] = field(default_factory=dict[int, Any])
    written: dict[int, torch.Tensor] = field(default_factory=dict[int, torch.Tensor])
    inputs: dict[int, torch.Tensor] = field(default_factory=dict[int, torch.Tensor])
    norms: dict[int, list[NormCall]] = field(default_factory=dict[int, list[NormCall]])
    blocks: dict[str, list[BlockCall]] = field(default_factory=dict[str, list[BlockCall]])
    _pending: torch.Tensor | None = None
    _anchor: torch.Tensor | None = None
    _recent: torch.Tensor | None = None

    def before(self, name: str, states: States) -> States:
        return states

    def differentiating(self, output: int) -> None:
        """From now on gradients are of this output."""
        self.output = output

    def after(self, call: KernelCall) -> torch.Tensor:
        # In one piece, so that the projection's input is a view of it and can be told.
        output = call.output.contiguous()
        index = len(self.kernels)
        if self._recent is not None:
            self.inputs[index] = self._recent.detach()[0]
        self.reach.append({})
        self.slopes.append({})
        query, key, value = (state.detach() for state in call.states)
        options = {
            name: option.detach() if torch.is_tensor(option) else option
            for name, option in call.options.items()
        }
        self.kernels.append(
            replace(call, states=(query, key, value), options=options, output=output.detach())
        )
        if self._anchor is None:
            self._anchor = output
        if kind_of(call) == "causal" and kind_of(self.kernels[0]) == "bidirectional":
            # A decoder's first layer does not depend on the encoder's input, by which is
            # differentiated; a nothing that does lets its gradient through.
            output = output + 0 * self._anchor.flatten()[0]
        if output.requires_grad:
            output.register_hook(lambda slope: self._hear(index, slope))
        self._pending = output
        return output

    def _hear(self, index: int, slope: torch.Tensor) -> None:
        own = slope.detach()[0].float()
        norm = own.flatten(1).double().norm(dim=1)
        self.reach[index][self.output] = norm.cpu().numpy()
        if self.keep_slopes:
            self.slopes[index][self.output] = own.cpu().numpy()

    def reads(self, child: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Before any module: is it the one that reads the kernel's output, and it alone?"""
        if self.stream and given and torch.is_tensor(given[0]) and given[0].dim() == 3:
            self._recent = given[0]
        if self._pending is None or len(given) != 1 or named or not torch.is_tensor(given[0]):
            return
        first: torch.Tensor = given[0]
        same = first.data_ptr() == self._pending.data_ptr()
        if not same or first.numel() != self._pending.numel():
            return
        # A dropout passes it on; the first module with numbers of its own is the projection.
        if next(chain(child.parameters(), child.buffers()), None) is None:
            return
        self.projections[len(self.kernels) - 1] = child
        self._pending = None

    def gave(self, child: Any, given: tuple[Any, ...], output: Any) -> None:
        """After any module: what the projection wrote, and what norms read and wrote."""
        last = len(self.kernels) - 1
        if not self.stream or not torch.is_tensor(output) or output.dim() != 3:
            return
        if self.projections.get(last) is child and last not in self.written:
            self.written[last] = output.detach()[0]
        elif is_norm(child) and given and torch.is_tensor(given[0]):
            call = NormCall(child, given[0].detach()[0], output.detach()[0])
            self.norms.setdefault(last, []).append(call)


@contextmanager
def _listening(module: Any, sink: _Sink, *, blocks: bool) -> Generator[None]:
    names = {
        name: child for name, child in module.named_modules() if name and block_name(name) == name
    }
    handles: list[Any] = []

    def entered(name: str) -> Any:
        def hook(child: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            sink.blocks.setdefault(name, []).append(BlockCall.of(child, given, named))

        return hook

    try:
        for child in module.modules():
            handles.append(child.register_forward_pre_hook(sink.reads, with_kwargs=True))
            handles.append(child.register_forward_hook(sink.gave))
        if blocks:
            for name, child in names.items():
                handles.append(child.register_forward_pre_hook(entered(name), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
