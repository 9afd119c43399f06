"""One pass with its gradients, stored so that every attention layer can be examined afterwards.

The model runs its own kernels. What each of them read is stored, which grows with the length of the
text and not with its square; weights are computed again from it, a block of rows at a time, in
any order of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from whence.core.errors import CapabilityError
from whence.models.internals.attention_capture import CERTIFICATE_LIMIT, RowReader
from whence.models.internals.block_rerun import rerun
from whence.models.internals.module_lock import locked
from whence.models.internals.module_paths import outermost_block, stack_of
from whence.models.internals.residual_addition import Addition, additions
from whence.models.internals.returned_weights import no_kernel, softmax_runs
from whence.models.internals.token_positions import Kind, kind_of
from whence.models.internals.trace_hooks import TraceParts, TraceSink, record_trace
from whence.models.values import Encoding

__all__ = ["Trace", "TracedCall", "trace"]

ATTENTION_ONLY = TraceParts()

NOT_LINEAR = 1e-3
"""Largest miss, over the largest output, of a projection rebuilt from unit vectors. The value of
``CERTIFICATE_LIMIT``, since the two errors add up."""

ROUNDINGS = 16
"""Steps of the dtype that this miss may be, where those are more than ``NOT_LINEAR``. Chosen by
hand; not calibrated."""

TINY = 1e-30
"""Stands for 0 under a division in float32."""


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
    """What the attention layers of one pass read and gave, and how the explained numbers depend on it.

    Attributes:
        calls: the layers' calls, in the order in which they ran.
        values: ``[k]`` the explained numbers, in this pass; empty without a readout.
        reach: for each call ``[k, queries]``, the norm of the gradient of each output by all heads'
            outputs at each position: zero where nothing later reads the position.
    """

    def __init__(
        self,
        sink: TraceSink,
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
        self.reach = tuple(
            np.stack([sink.reach[c.index].get(o, np.zeros(c.queries)) for o in range(len(values))])
            if len(values)
            else np.zeros((0, c.queries))
            for c in self.calls
        )

    def weights(
        self, call: TracedCall, start: int, stop: int
    ) -> Float[np.ndarray, "heads rows keys"]:
        """Attention weights of the queries ``start`` to ``stop``; the rows of padding are zero."""
        # A reader holds float32 copies of a layer's states, so only the latest one stays.
        if self._reader is None or self._reader[0] != call.index:
            self._reader = (call.index, RowReader(self._sink.kernels[call.index]))
        device = self._sink.kernels[call.index].output.device
        lines = torch.arange(start, min(stop, call.queries), device=device)
        # The reader takes sinks and biases from the layer itself.
        with torch.inference_mode(), locked(self._module):
            reader = self._reader[1]
            result, weights, seen = reader.read(lines)
            error = max(reader.miss(lines, each, seen) for each in (result, reader.mix(weights)))
            self._errors[call.index] = max(error, self._errors.get(call.index, 0.0))
            # Not times zero: softmax may give NaN over a row that may read nothing.
            weights = torch.where(seen[:, None, :, None], weights.float(), 0.0)
            return weights[0].cpu().numpy()

    @property
    def blocks_without_attention(self) -> tuple[str, ...]:
        """Blocks of the stacks that attend in which no kernel ran: what they mix is not seen here."""
        attend = {outermost_block(call.name) for call in self.calls}
        blocks = (
            f"{stack}.{name}"
            for stack in dict.fromkeys(stack_of(call.name) for call in self.calls)
            for name, _ in self._module.get_submodule(stack).named_children()
            if name.isdigit()
        )
        return tuple(block for block in blocks if block not in attend)

    def misses(self, limit: float = CERTIFICATE_LIMIT) -> tuple[tuple[str, float], ...]:
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
        # Head h reads group h // (heads / groups): each group stands before the next, as repeat_kv
        # of transformers has it.
        wide = value.repeat_interleave(call.heads // len(value), dim=0)
        return wide.float().cpu().numpy()

    def gradients(self, call: TracedCall, output: int) -> Float[np.ndarray, "queries heads width"]:
        """Gradient of an output by the heads' outputs; zero where it does not depend on them."""
        gradient = self._sink.gradients[call.index].get(output)
        if gradient is None:
            return np.zeros(self._sink.kernels[call.index].output.shape[1:], dtype=np.float32)
        return gradient

    def projection(self, call: TracedCall) -> Float[np.ndarray, "heads width model"]:
        """What the layer's output projection makes of each head's output, bias left out.

        The module that read the kernel's output is run on unit vectors.

        Raises:
            CapabilityError: no linear module read the heads' outputs as they are.
        """
        projection = self._sink.projections.get(call.index)
        kernel = self._sink.kernels[call.index]
        _, _, heads, width = kernel.output.shape
        if projection is not None:
            size = heads * width
            # A real row as a probe: unit vectors alone do not show whether a gate or a norm inside
            # bends the map.
            flat = kernel.output[0, :1].reshape(1, size)
            with torch.inference_mode(), self._running():
                # The weight itself is not read: Linear and Conv1D of GPT-2 store it transposed to
                # each other, and quantised layers store codes.
                eye = torch.eye(size, dtype=flat.dtype, device=flat.device)
                bias = projection(torch.zeros_like(flat)).float()
                matrix = projection(eye).float() - bias
                result = projection(flat).float() - bias
                miss = (flat.float() @ matrix - result).abs().max()
                miss = miss / result.abs().max().clamp_min(TINY)
            if float(miss) < max(NOT_LINEAR, ROUNDINGS * torch.finfo(flat.dtype).eps):
                return matrix.reshape(heads, width, -1).cpu().numpy()
        raise CapabilityError(
            f"no linear module reads the heads' outputs of {call.name} as they are (they are gated, "
            "normed or quantised first), so what one head writes cannot be computed"
        )

    def addition(self, call: TracedCall) -> Addition:
        """How the layer's output joins the residual stream.

        Raises:
            CapabilityError: the stream could not be followed (parallel blocks, gates).
        """
        if self._additions is None:
            with locked(self._module):
                self._additions = additions(
                    [kernel.name for kernel in self._sink.kernels],
                    self._sink.written,
                    self._sink.inputs,
                    self._sink.norms,
                )
        addition = self._additions[call.index]
        if isinstance(addition, str):
            raise CapabilityError(addition)
        return addition

    def with_values_zeroed(
        self, call: TracedCall, keys: Sequence[int]
    ) -> tuple[Float[np.ndarray, "queries model"], Float[np.ndarray, "keys queries model"]]:
        """States after the layer's block as they are, and with the values of each key zeroed.

        Only this block runs again, at the input it had, all ``keys`` in one batch.

        Raises:
            CapabilityError: the block cannot be run by itself.
            MemoryError: the batch does not fit.
        """
        runs = self._sink.blocks.get(outermost_block(call.name), [])
        calls = [c.index for c in self.calls if c.name == call.name]
        if len(runs) != len(calls):
            raise CapabilityError(
                f"{call.name} is in no block of a list that runs as often as it does, so the block "
                "cannot be run again by itself"
            )
        with torch.no_grad(), self._running():
            return rerun(self._module, runs[calls.index(call.index)], call.name, keys)


def trace(
    model: Any,
    encoding: Encoding,
    readout: Any = None,
    *,
    forced: Sequence[int] = (),
    parts: TraceParts = ATTENTION_ONLY,
) -> Trace:
    """Run a model on an input and store what its attention layers did.

    Args:
        model: adapter of this room.
        encoding: input as the model reads it.
        readout: numbers to differentiate; without one there is no backward pass, and the pass reads
            the ``forced`` tokens after the input.
        forced: tokens of a continuation; only without a readout.
        parts: parts that are stored beside the attention itself.

    Cost: one forward pass, and one backward pass for each output; memory as for a gradient.

    Raises:
        CapabilityError: the model's layers call no attention function that transformers shares.
        MemoryError: the pass does not fit.
    """
    precision = "native" if readout is None else readout.precision
    # Before anything is recorded: what has to be known of the model takes passes of its own.
    model._prepare(encoding.ids)  # noqa: SLF001 - of the same room
    if readout is not None and parts.gradients:
        model.prove_gradients(encoding, readout)
    sink = TraceSink(parts)
    with record_trace(model.module, sink):
        if readout is None:
            with torch.no_grad(), model.running():
                model._read(encoding, forced)  # noqa: SLF001 - of the same room
            values = np.zeros(0)
        else:
            embeddings = model.embed(encoding)[None]
            types = encoding.token_types
            outputs, _ = model.slopes(encoding.ids[None], embeddings, types, readout)
            values = outputs[0].double().numpy()
    if not sink.kernels:
        attends = _softmax_runs(model, encoding)
        raise CapabilityError(no_kernel(model.architecture, attends=attends))
    return Trace(sink, model.module, values, lambda: model.running(precision))


def _softmax_runs(model: Any, encoding: Encoding) -> bool:
    with torch.no_grad(), model.running():
        return softmax_runs(lambda: model._read(encoding, ()))  # noqa: SLF001 - of the same room
