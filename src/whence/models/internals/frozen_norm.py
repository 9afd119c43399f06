"""A norm with its divisor frozen: a linear map, where the norm itself is none.

For a layer norm or an RMS norm with gain ``g`` and bias ``b``, ``norm(x) = g * scale(x) * c(x) + b``,
where ``c`` takes the mean off (layer norm) or nothing (RMS norm), and ``scale`` is one number a
position. With ``scale`` held at its value on the input, what is left is linear in ``x``. No family
is named: ``g`` is read off the norm of ones, and the map is used only where it gives back what the
norm gave.

Elhage et al. (2021), "A mathematical framework for transformer circuits", fold norms this way.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float

__all__ = ["FrozenNorm", "NormCall", "freeze", "freeze_scale", "is_norm"]

MISS_READ = 1e-3
"""Largest miss of the map, over the norm's largest output, with which it is used in records. That of
a layer's certificate: the two errors add up in what a record shows."""

MISS_GRADIENT = 2e-2
"""The same where only an estimate is made of it. Chosen by hand, above the rounding of bfloat16
(7.8e-3) in both the norm and the map; not calibrated."""

ROUNDINGS = 16
"""Steps of the output's dtype that the map may miss by, where those are more than ``MISS_READ``: a
norm rounds after each of its few operations. Chosen by hand; not calibrated."""

SMALLEST_SQUARE = 1e-300
"""Stands for 0 under a division in float64, so that a row of zeros has a scale of 0 and not NaN."""


class NormCall(NamedTuple):
    """A norm, what it read and what it gave: ``[queries, model]`` each."""

    module: Any
    read: torch.Tensor
    gave: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class FrozenNorm:
    """The linear map ``gain * scale[i] * centre(x)`` at position ``i``."""

    centred: bool
    scale: Float[np.ndarray, " queries"]
    gain: Float[np.ndarray, " model"]

    def of(
        self, vectors: Float[np.ndarray, "rows keys model"], start: int
    ) -> Float[np.ndarray, "rows keys model"]:
        """The map of the rows from ``start`` on, applied to what each key sends to each of them."""
        if self.centred:
            vectors = vectors - vectors.mean(axis=2, keepdims=True)
        scale = self.scale[start : start + len(vectors), None, None]
        return (vectors * (scale * self.gain)).astype(np.float32)


def is_norm(module: Any) -> bool:
    """Whether a module is a norm of one input, by the name of its class and what it takes.

    A norm that is gated by a second input is none, whether the input has a default or not: with its
    divisor frozen it is not linear.
    """
    if "norm" not in type(module).__name__.lower() or list(module.children()):
        return False
    parameters = inspect.signature(module.forward).parameters.values()
    # Nothing has to be given for *args and **kwargs.
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return len([p for p in parameters if p.kind not in several]) <= 1


def freeze(call: NormCall) -> FrozenNorm | None:
    """The norm of a call with its divisor frozen; ``None`` where the map misses what the norm gave.

    The scale of each position is the least-squares fit of the output, so that neither the norm's
    epsilon nor the power it divides by has to be known.
    """
    line_part = _centre(call.module, call.read.double())
    # Families store the gain as g or as g - 1 (Gemma): what the norm makes of ones says which, and
    # no name has to be known.
    gain = _gain(call.module, call.read[None]).reshape(-1).detach().double()
    bias = getattr(call.module, "bias", None)
    output = call.gave.double() - (0.0 if bias is None else bias.detach().double())
    line = line_part * gain
    # The s that makes |s line - output|^2 least: s = <output, line> / <line, line>. In float64,
    # since the squares of a wide state are summed.
    scale = (output * line).sum(-1) / line.square().sum(-1).clamp_min(SMALLEST_SQUARE)
    miss = (line * scale[:, None] - output).abs().max()
    most = max(MISS_READ, ROUNDINGS * torch.finfo(call.gave.dtype).eps)
    if float(miss) > most * float(output.abs().max()):
        return None
    return FrozenNorm(
        centred=_centres(call.module),
        scale=scale.float().cpu().numpy(),
        gain=gain.float().cpu().numpy(),
    )


def freeze_scale(module: Any, args: tuple[Any, ...], output: Any) -> Any:
    """Forward hook: the norm's own output, whose gradient is that of the map with frozen divisor.

    The output is left as it is (``None``) where the map misses it.
    """
    x = args[0] if args else None
    if not torch.is_tensor(x):
        return None
    if not (torch.is_tensor(output) and output.requires_grad and output.shape == x.shape):
        return None
    centred = _centre(module, x.float())
    gain = _gain(module, x).float()
    # Norms of transformers name their epsilon in one of two ways.
    epsilon = float(getattr(module, "variance_epsilon", getattr(module, "eps", None) or 0.0))
    scale = (gain * (centred.square().mean(-1, keepdim=True) + epsilon).rsqrt()).detach()
    line = centred * scale
    bias = getattr(module, "bias", None)
    with torch.no_grad():
        miss = (line + (0 if bias is None else bias.float()) - output.float()).abs().max()
        if float(miss) > MISS_GRADIENT * float(output.abs().max()):
            return None
    line = line.to(output.dtype)
    # The bracket is zero to the bit, so the value is the norm's own; its gradient is that of the
    # frozen map.
    return output.detach() + (line - line.detach())


def _centres(module: Any) -> bool:
    return isinstance(module, torch.nn.LayerNorm)


def _centre(module: Any, states: torch.Tensor) -> torch.Tensor:
    return states - states.mean(-1, keepdim=True) if _centres(module) else states


def _gain(module: Any, states: torch.Tensor) -> torch.Tensor:
    """The factor of each coordinate: what the norm makes of ones, which divides them by 1."""
    with torch.no_grad():
        ones = torch.ones_like(states[..., :1, :])
        if _centres(module):
            # Ones less their mean are zero, so a layer norm does not show its gain on them; torch
            # names it.
            weight = cast("torch.Tensor | None", module.weight)
            return ones if weight is None else weight
        # forward() and not a call: freeze_scale is a hook on this very module and would be called
        # again.
        return module.forward(ones)
