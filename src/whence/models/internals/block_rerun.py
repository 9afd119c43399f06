"""A block of a model run again alone, at the same input, with the values of some keys zeroed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float

from whence.core.errors import CapabilityError
from whence.models.internals.interventions import ZeroValues, intervene

__all__ = ["BlockCall", "mapped", "rerun"]


@dataclass(frozen=True, slots=True, eq=False)
class BlockCall:
    """One call of a block, with its arguments."""

    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @classmethod
    def of(cls, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BlockCall:
        """The call, detached, and without a cache, which every new run would extend."""
        return cls(
            module,
            tuple(mapped(item, _detached) for item in args),
            {name: mapped(item, _detached) for name, item in kwargs.items()},
        )


def _detached(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach()


def mapped(item: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """An argument of a block with every tensor in it changed, and caches left out."""
    if torch.is_tensor(item):
        return change(item)
    if isinstance(item, tuple | list):
        items = cast("tuple[Any, ...]", item)
        parts = [mapped(part, change) for part in items]
        # A named tuple takes its fields one by one.
        build = getattr(type(items), "_make", type(items))
        return build(parts)
    if isinstance(item, dict):
        return {key: mapped(part, change) for key, part in cast("dict[str, Any]", item).items()}
    # A cache: the block would append the same keys to it a second time.
    return None if hasattr(item, "get_seq_length") else item


def rerun(
    module: Any, block: BlockCall, layer: str, keys: Sequence[int]
) -> tuple[Float[np.ndarray, "queries model"], Float[np.ndarray, "keys queries model"]]:
    """States after the block unchanged, and with the values of each of ``keys`` zeroed.

    Raises:
        CapabilityError: the block gives no state, or reads something that cannot be repeated.
    """
    count = len(keys) + 1

    def repeat(tensor: torch.Tensor) -> torch.Tensor:
        # Tensors of one axis (positions, tables of frequencies) are shared by the rows.
        one_row = tensor.dim() > 1 and tensor.shape[0] == 1
        return tensor.expand(count, *tensor.shape[1:]) if one_row else tensor

    args = tuple(mapped(item, repeat) for item in block.args)
    kwargs = {name: mapped(item, repeat) for name, item in block.kwargs.items()}
    if "use_cache" in inspect.signature(block.module.forward).parameters:
        kwargs["use_cache"] = False
    changes = [
        (),
        *((ZeroValues(layer=layer, keys=np.array([key], dtype=np.int64)),) for key in keys),
    ]
    with intervene(module, changes):
        output = block.module(*args, **kwargs)
    state = output[0] if isinstance(output, tuple | list) else output
    if not torch.is_tensor(state) or state.dim() != 3 or len(state) != count:
        raise CapabilityError(f"the block of {layer} gives no state of each token")
    states = state.float().cpu().numpy()
    return states[0], states[1:]
