"""Layers through which gradients do not pass, though the model computes."""

from __future__ import annotations

from typing import Any, cast

import torch

__all__ = ["blocked_layer"]


def blocked_layer(module: Any) -> str | None:
    """The first linear layer that stops gradients, as a sentence; ``None`` where none does.

    Kernels for 8-bit integers return numbers without a graph, and rounding has a derivative of zero:
    around such a layer gradients still flow, finite and wrong, wherever there is a skip path. No
    library is named: each layer that is not a float matrix is run on one row and differentiated.
    """
    for name, layer in module.named_modules():
        width = getattr(layer, "in_features", None)
        # Heads that read something else than rows may name their input's width too.
        linear = isinstance(width, int) and isinstance(getattr(layer, "out_features", None), int)
        if not linear or _is_plain(layer):
            continue
        if not _passes_gradients(layer, cast("int", width), module):
            return (
                f"{name} ({type(layer).__module__}.{type(layer).__qualname__}) computes in integers and "
                "passes no gradients on; load the model without quantisation for methods that need them"
            )
    return None


def _is_plain(layer: Any) -> bool:
    weight = getattr(layer, "weight", None)
    return type(weight) is torch.nn.Parameter and weight.dtype.is_floating_point


def _passes_gradients(layer: Any, width: int, module: Any) -> bool:
    table = module.get_input_embeddings().weight
    dtype = table.dtype if table.dtype.is_floating_point else torch.float32
    # Unlike numbers: a row of equal ones may be rounded to no row at all.
    row = torch.linspace(-1, 1, width, dtype=dtype, device=table.device)[None]
    with torch.inference_mode(False), torch.enable_grad():
        leaf = row.clone().requires_grad_(True)
        try:
            output = layer(leaf)
            if not output.requires_grad:
                return False
            gradient = torch.autograd.grad(output.square().sum(), leaf)[0]
        # Kernels without a backward pass say so in many ways.
        except (RuntimeError, NotImplementedError, TypeError):
            return False
    return bool((gradient != 0).any())
