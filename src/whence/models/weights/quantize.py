"""Weights rounded to what a smaller number format can hold, for a while."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch

from whence.core.errors import unknown
from whence.models.weights.randomize import ParameterChange, change_parameters

__all__ = ["Format", "quantize"]

Format = Literal["bfloat16", "int8"]
"""``bfloat16``: eight bits of mantissa. ``int8``: 255 levels for each row of a matrix."""


@contextmanager
def quantize(model: Any, to: str) -> Generator[ParameterChange]:
    """Round the model's weights to a number format in this context; they are put back after it.

    ``bfloat16`` rounds every parameter to the nearest number of that format. ``int8`` rounds
    every matrix, by rows, to ``s k`` with k in -127 .. 127 and s = max |row| / 127; biases and
    norms stay. The model computes in its own format: what is measured is what the weights lose,
    not the kernels of any one machine.

    Args:
        model: model from :func:`whence.load`, or a module.
        to: format of :data:`Format`.

    Raises:
        OptionError: no such format.
        CapabilityError: the model has no floating-point parameters that could be rounded.
    """
    if to not in get_args(Format):
        raise unknown("format", to, get_args(Format))
    module = getattr(model, "module", model)
    rule = _to_bfloat16 if to == "bfloat16" else _to_int8
    named = dict(module.named_parameters()) if hasattr(module, "named_parameters") else {}
    names = [name for name, p in named.items() if to == "bfloat16" or p.dim() > 1]
    with change_parameters(model, names, rule) as changed:
        yield changed


def _to_bfloat16(_: str, value: torch.Tensor) -> torch.Tensor:
    return value.to(torch.bfloat16).to(value.dtype)


def _to_int8(_: str, value: torch.Tensor) -> torch.Tensor:
    wide = value.float()
    # -128 is left out, so that the levels are symmetric and 0 is one of them.
    step = wide.abs().amax(dim=-1, keepdim=True) / 127
    # A row of zeros has no step; any step keeps it zero, where 0 / 0 is NaN.
    step = torch.where(step == 0, torch.ones_like(step), step)
    return (torch.round(wide / step) * step).to(value.dtype)
