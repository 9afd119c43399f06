"""Changes to attention while a model runs: heads replaced, values zeroed, edges cut.

The kernel computes what no change touches; a cut row is computed again by the eager function of
the model's own file. Nothing of the model is edited.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from whence.core.errors import CapabilityError, OptionError
from whence.models.internals.attention_capture import RowReader, kind_of
from whence.models.internals.kernel_hooks import KernelCall, States, hooked

__all__ = [
    "Change",
    "DirectSink",
    "EdgesCut",
    "HeadReplaced",
    "OutputSink",
    "SlopeSink",
    "ValuesZeroed",
    "changing",
    "tapping",
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeadReplaced:
    """A head's output, before the layer's output projection, is taken from elsewhere.

    Attributes:
        layer: the layer's name.
        head: which head.
        outputs: what stands in its place, for each call of the layer in order: ``[queries,
            width]``, or one row for every query. ``None``: zero.
        queries: the positions at which it is replaced; ``None``: all.
    """

    layer: str
    head: int
    outputs: tuple[Float[np.ndarray, "queries width"], ...] | None = None
    queries: Int[np.ndarray, " chosen"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ValuesZeroed:
    """What the layer's heads read from some keys is nothing; the weights stay as they were."""

    layer: str
    keys: Int[np.ndarray, " chosen"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EdgesCut:
    """Some queries cannot read some keys, and read the rest the more (attention knock-out).

    Attributes:
        layer: the layer's name.
        head: which head; ``None``: all.
        cut: true where a query (row) may not read a key (column); one for every call of the layer,
            or one for each in order, where passes read texts of several lengths.
    """

    layer: str
    head: int | None
    cut: Bool[np.ndarray, "queries keys"] | tuple[Bool[np.ndarray, "_ _"], ...]


Change = HeadReplaced | ValuesZeroed | EdgesCut


@contextmanager
def changing(module: Any, changes: Sequence[Sequence[Change]]) -> Generator[None]:
    """Run ``module`` with ``changes[b]`` made to row ``b`` of the batch, in this context.

    Raises:
        OptionError: in the forward pass: no such head or position, or a row left with no key.
        CapabilityError: a layer named here never ran a kernel that can be changed.
    """
    hook = _Changes(changes)
    with hooked(module, hook):
        yield
    wanted = {change.layer for row in changes for change in row}
    missing = sorted(wanted - set(hook.calls))
    if missing:
        raise CapabilityError(
            f"a change was asked at {', '.join(missing)}, where no shared attention function ran"
        )


class _Changes:
    def __init__(self, changes: Sequence[Sequence[Change]]) -> None:
        self.by_layer: dict[str, list[tuple[int, Change]]] = {}
        self.rows = len(changes)
        self.calls: dict[str, int] = {}
        for row, group in enumerate(changes):
            for change in group:
                self.by_layer.setdefault(change.layer, []).append((row, change))

    def before(self, name: str, states: States) -> States:
        query, key, value = states
        chosen = self.by_layer.get(name, [])
        if chosen and len(query) != self.rows:
            raise CapabilityError(
                f"changes for {self.rows} rows asked; {name} ran with {len(query)}"
            )
        zeroed = [(row, c) for row, c in chosen if isinstance(c, ValuesZeroed)]
        if zeroed:
            value = value.clone()
            for row, change in zeroed:
                places = _places(change.keys, value.shape[2], "key", name)
                value[row, :, places] = 0
        return query, key, value

    def after(self, call: KernelCall) -> torch.Tensor:
        number = self.calls.get(call.name, 0)
        self.calls[call.name] = number + 1
        chosen = [
            (row, change)
            for row, change in self.by_layer.get(call.name, [])
            if not isinstance(change, ValuesZeroed)
        ]
        if not chosen:
            return call.output
        output = call.output.clone()
        self._cut(call, output, [(r, c) for r, c in chosen if isinstance(c, EdgesCut)], number)
        for row, change in chosen:
            if isinstance(change, HeadReplaced):
                _replace(call, output, row, change, number)
        return output

    def _cut(
        self,
        call: KernelCall,
        output: torch.Tensor,
        cuts: list[tuple[int, EdgesCut]],
        number: int,
    ) -> None:
        if not cuts:
            return
        query, key, _ = call.states
        shape = (query.shape[2], key.shape[2])
        heads = int(query.shape[1])
        # One for all heads, where no cut is of one head alone.
        wide = 1 if all(change.head is None for _, change in cuts) else heads
        barred = torch.zeros(len(query), wide, *shape, dtype=torch.bool)
        for row, change in cuts:
            cut = _of_call(change, number, call.name)
            if cut.shape != shape:
                raise OptionError(f"edges of {cut.shape} asked to be cut; {call.name} has {shape}")
            edges = torch.from_numpy(cut)
            if change.head is None:
                barred[row] |= edges
            else:
                _check_head(change.head, heads, call.name)
                barred[row, change.head] |= edges
        lines = barred.any(3).any(1).any(0).nonzero()[:, 0]
        touched = barred[:, :, lines].any(3).expand(-1, heads, -1)
        barred = barred[:, :, lines].to(query.device)
        reader = RowReader(call)
        allowed = torch.ones(shape, dtype=torch.bool)
        if kind_of(call) == "causal":
            allowed = allowed.tril(shape[1] - shape[0])
        left = allowed[lines].to(query.device) & ~barred
        if not bool(left.any(-1).all()):
            raise OptionError(f"the cut leaves a query of {call.name} no key to read")
        result, _, _ = reader.read(lines.to(query.device), barred=barred)
        batch, head, place = touched.nonzero(as_tuple=True)
        output[batch, lines[place], head] = result[batch, place, head].to(output.dtype)


def _of_call(change: EdgesCut, number: int, name: str) -> np.ndarray:
    if not isinstance(change.cut, tuple):
        return change.cut
    if number >= len(change.cut):
        raise CapabilityError(
            f"{name} ran {number + 1} times; cuts were given for {len(change.cut)}"
        )
    return change.cut[number]


def _replace(
    call: KernelCall, output: torch.Tensor, row: int, change: HeadReplaced, number: int
) -> None:
    _check_head(change.head, output.shape[2], call.name)
    queries: Any = slice(None)
    if change.queries is not None:
        queries = _places(change.queries, output.shape[1], "query", call.name)
    if change.outputs is None:
        output[row, queries, change.head] = 0
        return
    if number >= len(change.outputs):
        raise CapabilityError(
            f"{call.name} ran {number + 1} times; replacements were given for {len(change.outputs)}"
        )
    stand_in = torch.from_numpy(np.ascontiguousarray(change.outputs[number]))
    stand_in = stand_in.to(output.device, output.dtype)
    if stand_in.shape[0] not in (1, output.shape[1]) or stand_in.shape[1] != output.shape[3]:
        raise OptionError(
            f"an output of {tuple(stand_in.shape)} asked in place of one of "
            f"{(output.shape[1], output.shape[3])} at {call.name}: the two inputs must have "
            "the same number of tokens"
        )
    whole = stand_in.expand(output.shape[1], -1)
    output[row, queries, change.head] = whole[queries]


def _check_head(head: int, heads: int, name: str) -> None:
    if not 0 <= head < heads:
        raise OptionError(f"head {head} asked; {name} has heads 0 to {heads - 1}")


def _places(asked: np.ndarray, size: int, what: str, name: str) -> torch.Tensor:
    if asked.size and not (asked.min() >= 0 and asked.max() < size):
        raise OptionError(f"{what} {int(asked.max())} asked; {name} has {size} of them")
    return torch.from_numpy(asked.astype(np.int64))


@dataclass(slots=True, eq=False)
class OutputSink:
    """Each head's output of each call of each layer: ``[batch, queries, heads, width]``."""

    found: dict[str, list[np.ndarray]] = field(default_factory=dict[str, list[np.ndarray]])

    def before(self, name: str, states: States) -> States:
        """The states as they are."""
        return states

    def after(self, call: KernelCall) -> torch.Tensor:
        """Note the output; it stays as it is."""
        self.found.setdefault(call.name, []).append(call.output.detach().float().cpu().numpy())
        return call.output


@dataclass(slots=True, eq=False)
class SlopeSink(OutputSink):
    """Beside the outputs, the gradients that flow back to them, one for each output explained.

    ``slopes[name][call]`` is a list, ``[batch, queries, heads, width]`` each; empty where the
    target does not depend on the input through this layer.
    """

    slopes: dict[str, list[list[np.ndarray]]] = field(
        default_factory=dict[str, list[list[np.ndarray]]]
    )

    def after(self, call: KernelCall) -> torch.Tensor:
        """Note the output, and listen for its gradient."""
        OutputSink.after(self, call)
        heard: list[np.ndarray] = []
        self.slopes.setdefault(call.name, []).append(heard)
        if call.output.requires_grad:
            call.output.register_hook(lambda slope: heard.append(slope.float().cpu().numpy()))
        return call.output


@dataclass(slots=True, eq=False)
class DirectSink(SlopeSink):
    """Slopes along the residual stream alone: no later layer answers, no norm changes its scale.

    What a later attention layer or feed-forward layer reads is held; a norm's divisor (and the
    mean's part in it) is held at its value on the input. Linear layers in a block are held at
    their inputs, except the one that reads the heads' outputs.
    """

    blocks: set[str] = field(default_factory=set[str])
    _written: set[int] = field(default_factory=set[int])

    def after(self, call: KernelCall) -> torch.Tensor:
        """Note the output, listen for its gradient, and let none of it further back."""
        OutputSink.after(self, call)
        self.blocks.add(block_of(call.name))
        heard: list[np.ndarray] = []
        self.slopes.setdefault(call.name, []).append(heard)
        # In one piece, so that the projection's input is a view of it and can be told.
        output = call.output.clone(memory_format=torch.contiguous_format)

        def hear(slope: torch.Tensor) -> torch.Tensor:
            heard.append(slope.float().cpu().numpy())
            return torch.zeros_like(slope)

        if output.requires_grad:
            output.register_hook(hear)
        self._written = {output.data_ptr()}
        return output

    @contextmanager
    def holding(self, module: Any) -> Generator[None]:
        """Hold what the class says of ``module``'s layers, in this context."""
        handles: list[Any] = []
        try:
            for name, child in module.named_modules():
                if _is_norm(child):
                    handles.append(child.register_forward_hook(_scale_held))
                elif any(p is not None and p.dim() > 1 for p in child._parameters.values()):  # noqa: SLF001
                    handles.append(child.register_forward_pre_hook(self._held(name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _held(self, name: str) -> Any:
        def hold(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if not any(name.startswith(f"{block}.") for block in self.blocks):
                return None
            if not (given and torch.is_tensor(given[0]) and given[0].requires_grad):
                return None
            if given[0].data_ptr() in self._written:
                return None
            copy = given[0].view_as(given[0])
            copy.register_hook(torch.zeros_like)
            return (copy, *given[1:])

        return hold


def block_of(name: str) -> str:
    """The block that a layer belongs to: its path up to the last number."""
    parts = name.split(".")
    last = max((i for i, part in enumerate(parts) if part.isdigit()), default=-1)
    return ".".join(parts[: last + 1])


def _is_norm(module: Any) -> bool:
    return "norm" in type(module).__name__.lower() and not list(module.children())


def _scale_held(module: Any, given: tuple[Any, ...], output: Any) -> Any:
    """A norm's output, as a function that is linear in what the norm centres."""
    x = given[0]
    if not (torch.is_tensor(output) and output.requires_grad and output.shape == x.shape):
        return None
    with torch.no_grad():
        ones = torch.ones_like(x[..., :1, :])
    wide = x.float()
    if isinstance(module, torch.nn.LayerNorm):
        centred = wide - wide.mean(-1, keepdim=True)
        weight = cast("torch.Tensor | None", module.weight)
        gain = ones[..., :1, :].float() if weight is None else weight.float()
    else:
        centred = wide
        with torch.no_grad():
            gain = module.forward(ones).float()
    small = float(getattr(module, "variance_epsilon", getattr(module, "eps", None) or 0.0))
    scale = (gain * (centred.square().mean(-1, keepdim=True) + small).rsqrt()).detach()
    line = centred * scale
    bias = getattr(module, "bias", None)
    with torch.no_grad():
        miss = (line + (0 if bias is None else bias.float()) - output.float()).abs().max()
        if float(miss) > 2e-2 * float(output.abs().max()):
            return None
    line = line.to(output.dtype)
    return output.detach() + (line - line.detach())


@contextmanager
def tapping(module: Any, sink: OutputSink) -> Generator[None]:
    """Give ``sink`` every head's output in this context; the model's results stay as they are."""
    with hooked(module, sink):
        yield
