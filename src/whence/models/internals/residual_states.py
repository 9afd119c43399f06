"""The residual state after each block: had while a model runs, and replaced.

A block is a member of an outermost list of modules (``encoder.layer.3``, ``model.layers.0``,
``decoder.block.1``) that takes and gives a state of one shape ``[rows, tokens, width]``: one
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
    """The state after a block is taken from elsewhere at some positions.

    Attributes:
        block: the block's path in the model.
        positions: the tokens at which it is replaced.
        states: what stands in its place, for each call of the block in order: ``[tokens,
            width]``, of which the rows at ``positions`` are taken.
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
                f"{architecture} has no list of blocks that pass a state of one shape on, so "
                "there are no layers to look across"
            )
        for name, calls in self.states.items():
            if len(calls) not in (1, sequences):
                raise CapabilityError(
                    f"{name} runs {len(calls)} times in {sequences} pass(es) of {architecture}: "
                    "its layers share their weights and cannot be told apart by their module"
                )


@contextmanager
def capture_states(module: Any, sink: StateSink) -> Generator[None]:
    """Give ``sink`` the state after every block in this context; nothing is changed."""

    def listen(name: str) -> Any:
        def hook(_: Any, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            state = _state(output)
            entered: Any = given[0] if given else named.get("hidden_states")
            if _is_state(state) and _is_state(entered) and entered.shape == state.shape:
                sink.states.setdefault(name, []).append(array_of(state))

        return hook

    with _hooked(module, {name: listen(name) for name in _candidates(module)}):
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
                raise OptionError(f"{change.block} asked; the blocks are {', '.join(known)}")
            by_block.setdefault(change.block, []).append((row, change))
    calls: dict[str, int] = {}
    # Many rows take parts of the same states; each array becomes a tensor once.
    tensors: dict[tuple[int, ...], torch.Tensor] = {}

    def replace(name: str) -> Any:
        def hook(_: Any, __: tuple[Any, ...], ___: dict[str, Any], output: Any) -> Any:
            number = calls.get(name, 0)
            calls[name] = number + 1
            state = _state(output)
            if len(state) != len(changes):
                raise CapabilityError(
                    f"changes for {len(changes)} rows asked; {name} ran with {len(state)}"
                )
            fresh = state.clone()
            for row, change in by_block[name]:
                whole = _stand_in(change, number, fresh, tensors)
                places = _places(change, fresh.shape[1])
                fresh[row, places] = whole[places]
            return fresh if torch.is_tensor(output) else (fresh, *output[1:])

        return hook

    with _hooked(module, {name: replace(name) for name in by_block}):
        yield
    missing = sorted(set(by_block) - set(calls))
    if missing:
        raise CapabilityError(f"a change was asked at {', '.join(missing)}, which never ran")


def last_stack(names: Sequence[str]) -> tuple[str, ...]:
    """Of blocks in the order they ran, those of the stack that the head reads."""
    return tuple(name for name in names if stack_of(name) == stack_of(names[-1]))


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's values; half precision is widened, which loses nothing."""
    wide = tensor if tensor.dtype == torch.float64 else tensor.float()
    return wide.detach().cpu().numpy()


def _candidates(module: Any) -> dict[str, Any]:
    """Members of the outermost lists of modules, by path."""
    lists: list[str] = []
    found: dict[str, Any] = {}
    for name, child in module.named_modules():
        inner = any(name.startswith(f"{outer}.") for outer in lists)
        if isinstance(child, torch.nn.ModuleList) and not inner:
            lists.append(name)
            found.update({f"{name}.{key}": block for key, block in child.named_children()})
    return found


@contextmanager
def _hooked(module: Any, hooks: dict[str, Any]) -> Generator[None]:
    blocks = _candidates(module)
    handles: list[Any] = []
    try:
        for name, hook in hooks.items():
            handles.append(blocks[name].register_forward_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _state(output: Any) -> Any:
    """What a block passes on: its output, or the first of several."""
    return output[0] if isinstance(output, tuple | list) and output else output


def _is_state(value: Any) -> bool:
    return torch.is_tensor(value) and value.dim() == 3 and value.is_floating_point()


def _stand_in(
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
            f"a state of {array.shape} asked in place of one of {tuple(state.shape[1:])} after "
            f"{change.block}: the two inputs must have the same number of tokens"
        )
    # Views of one array are other objects each time, and the same memory.
    key = (array.__array_interface__["data"][0], *array.strides)
    if key not in tensors:
        whole = torch.from_numpy(np.ascontiguousarray(array))
        tensors[key] = whole.to(state.device, state.dtype)
    return tensors[key]


def _places(change: StateReplacement, size: int) -> torch.Tensor:
    asked = change.positions
    if asked.size and not (asked.min() >= 0 and asked.max() < size):
        raise OptionError(
            f"position {int(asked.max())} asked; {change.block} passes on {size} tokens"
        )
    return torch.from_numpy(asked.astype(np.int64))
