"""The residual state after each block, captured and replaced while a model runs.

A block is a member of an outermost list of modules (``encoder.layer.3``, ``model.layers.0``,
``decoder.block.1``) that reads and gives a state of one shape ``[rows, tokens, width]``: one
step along the residual stream. No family is named. Hooks live inside contexts and are taken off
at their end, after an exception too.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from whence.core.errors import CapabilityError, OptionError
from whence.models.internals.module_lock import locked, uncompiled
from whence.models.internals.module_paths import stack_of

__all__ = [
    "StateReplacement",
    "StateSink",
    "array_of",
    "capture_states",
    "last_stack",
    "replace_states",
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StateReplacement:
    """Replace the state after a block at some positions.

    Attributes:
        block: path of the block in the model.
        positions: tokens at which the state is replaced.
        states: replacement, for each call of the block in order: ``[tokens, width]``, of which the
            rows at ``positions`` are used.
    """

    block: str
    positions: Int[np.ndarray, " chosen"]
    states: tuple[Float[np.ndarray, "tokens width"], ...]


@dataclass(slots=True, eq=False)
class StateSink:
    """The state after each block, for each of its calls: ``[rows, tokens, width]``."""

    states: dict[str, list[np.ndarray]] = field(default_factory=dict[str, list[np.ndarray]])

    def check(self, architecture: str, sequences: int) -> None:
        """Refuse what cannot be patched block by block.

        Raises:
            CapabilityError: no blocks, or blocks that run again and again in one pass.
        """
        if not self.states:
            raise CapabilityError(
                f"{architecture} has no list of blocks that read and give a state of one shape, so "
                "there are no layers to compare"
            )
        for name, calls in self.states.items():
            # A contrast of two continuations runs each block once for each of them.
            if len(calls) not in (1, sequences):
                raise CapabilityError(
                    f"{name} runs {len(calls)} times in {sequences} pass(es) of {architecture}: "
                    "its layers share their weights, so a module does not say which layer runs"
                )


@contextmanager
def capture_states(module: Any, sink: StateSink) -> Generator[None]:
    """Give ``sink`` the state after every block in this context; nothing is changed."""

    def capture(name: str) -> Any:
        def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            state = _state(output)
            input_: Any = args[0] if args else kwargs.get("hidden_states")
            if _is_state(state) and _is_state(input_) and input_.shape == state.shape:
                sink.states.setdefault(name, []).append(array_of(state))

        return hook

    with _hooked(module, {name: capture(name) for name in _candidates(module)}):
        yield


@contextmanager
def replace_states(module: Any, changes: Sequence[Sequence[StateReplacement]]) -> Generator[None]:
    """Run ``module`` with ``changes[b]`` made to row ``b`` of the batch, in this context.

    Raises:
        OptionError: no such block; in the forward pass: a position or shape that is not there.
        CapabilityError: a block named here never ran, or ran more often than states were given.
    """
    known = _candidates(module)
    by_block: dict[str, list[tuple[int, StateReplacement]]] = {}
    for row, group in enumerate(changes):
        for change in group:
            if change.block not in known:
                raise OptionError(
                    f"there is no block {change.block}; expected one of {', '.join(known)}"
                )
            by_block.setdefault(change.block, []).append((row, change))
    calls: dict[str, int] = {}
    # Many rows use parts of the same states; each array becomes a tensor once.
    tensors: dict[tuple[int, ...], torch.Tensor] = {}

    def replace(name: str) -> Any:
        def hook(_: Any, __: tuple[Any, ...], ___: dict[str, Any], output: Any) -> Any:
            number = calls.get(name, 0)
            calls[name] = number + 1
            state = _state(output)
            if len(state) != len(changes):
                raise CapabilityError(
                    f"expected a batch of {len(changes)} rows, one for each change, got {len(state)} "
                    f"at {name}"
                )
            # A block may give a view of what it read, or a tensor that autograd has saved.
            result = state.clone()
            for row, change in by_block[name]:
                replacement = _replacement(change, number, result, tensors)
                positions = _positions(change, result.shape[1])
                result[row, positions] = replacement[positions]
            return result if torch.is_tensor(output) else (result, *output[1:])

        return hook

    with _hooked(module, {name: replace(name) for name in by_block}):
        yield
    missing = sorted(set(by_block) - set(calls))
    if missing:
        raise CapabilityError(f"nothing was replaced at {', '.join(missing)}, which never ran")


def last_stack(names: Sequence[str]) -> tuple[str, ...]:
    """Of blocks in the order they ran, those of the stack that the head reads."""
    # An encoder runs first, so the last name is of the decoder: the encoder's width may be the
    # same, but its states reach the head through cross attention only.
    return tuple(name for name in names if stack_of(name) == stack_of(names[-1]))


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's values; half precision is widened, which loses nothing."""
    wide = tensor if tensor.dtype == torch.float64 else tensor.float()
    return wide.detach().cpu().numpy()


def _candidates(module: Any) -> dict[str, Any]:
    """Members of the outermost lists of modules, by path."""
    lists: list[str] = []
    members: dict[str, Any] = {}
    for name, child in module.named_modules():
        # The blocks of T5 hold a list of their own (attention, then feed-forward), whose members
        # are no steps of the whole stream.
        inner = any(name.startswith(f"{outer}.") for outer in lists)
        if isinstance(child, torch.nn.ModuleList) and not inner:
            lists.append(name)
            members.update({f"{name}.{key}": block for key, block in child.named_children()})
    return members


@contextmanager
def _hooked(module: Any, hooks: dict[str, Any]) -> Generator[None]:
    blocks = _candidates(module)
    handles: list[Any] = []
    with locked(module), uncompiled(module):
        try:
            for name, hook in hooks.items():
                # with_kwargs: some families hand the state on by name.
                handles.append(blocks[name].register_forward_hook(hook, with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()


def _state(output: Any) -> Any:
    """The state that a block gives: its output, or the first of several."""
    return output[0] if isinstance(output, tuple | list) and output else output


def _is_state(value: Any) -> bool:
    return torch.is_tensor(value) and value.dim() == 3 and value.is_floating_point()


def _replacement(
    change: StateReplacement,
    number: int,
    state: torch.Tensor,
    tensors: dict[tuple[int, ...], torch.Tensor],
) -> torch.Tensor:
    if number >= len(change.states):
        raise CapabilityError(
            f"{change.block} ran {number + 1} times; states were given for {len(change.states)}"
        )
    array = change.states[number]
    if array.shape != tuple(state.shape[1:]):
        raise OptionError(
            f"expected a state of shape {tuple(state.shape[1:])} after {change.block}, got "
            f"{array.shape}; the two inputs must have the same number of tokens"
        )
    # Each view of an array is a new object over the same memory, so the address is the key.
    key = (array.__array_interface__["data"][0], *array.strides)
    if key not in tensors:
        whole = torch.from_numpy(np.ascontiguousarray(array))
        tensors[key] = whole.to(state.device, state.dtype)
    return tensors[key]


def _positions(change: StateReplacement, size: int) -> torch.Tensor:
    positions = change.positions
    if positions.size and not (positions.min() >= 0 and positions.max() < size):
        raise OptionError(
            f"{change.block} has no position {int(positions.max())}; it reads {size} tokens"
        )
    return torch.from_numpy(positions.astype(np.int64))
