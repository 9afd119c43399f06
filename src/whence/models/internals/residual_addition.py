"""How an attention layer's output joins the residual stream, read off what norms got and gave.

No family is named. The projection wrote ``o``; some later norm reads ``z = x + o``, where ``x`` is
a state that the model had before. Where ``x`` had gone through a norm on its way to the layer, the
stream goes on as ``z`` (norm first); else as the norm of ``z`` (norm last). A norm that reads
``o`` alone stands before the sum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

__all__ = ["Addition", "FrozenNorm", "NormCall", "additions", "is_norm"]


class NormCall(NamedTuple):
    """A norm, what it read and what it gave: ``[queries, model]`` each."""

    module: Any
    read: torch.Tensor
    gave: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class FrozenNorm:
    """A norm as the linear map it is while its divisor is held: ``gain * scale[i] * centred(x)``."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Addition:
    """``result = outer(residual + inner(written)) + biases``, at each position.

    Attributes:
        residual: the stream before the layer.
        result: the stream after it.
        inner, outer: norms on the way, their divisors held; ``None``: there is none.
    """

    residual: Float[np.ndarray, "queries model"]
    result: Float[np.ndarray, "queries model"]
    inner: FrozenNorm | None
    outer: FrozenNorm | None


def is_norm(module: Any) -> bool:
    """Whether a module is a norm, by the name of its class."""
    return "norm" in type(module).__name__.lower() and not list(module.children())


class _Found(NamedTuple):
    residual: torch.Tensor
    call: NormCall
    inner: FrozenNorm | None
    first: bool


def additions(
    names: Sequence[str],
    written: Mapping[int, torch.Tensor],
    inputs: Mapping[int, torch.Tensor],
    norms: Mapping[int, Sequence[NormCall]],
) -> dict[int, Addition | str]:
    """For each call of an attention layer its addition, or why it could not be told.

    ``written[i]`` is what the projection of call ``i`` gave, ``inputs[i]`` what the last module before
    it read. ``norms[i]`` are the calls of norms after call ``i`` and before the next; ``norms[-1]``
    those before the first.
    """
    found: dict[int, _Found | None] = {}
    for index in range(len(names)):
        before = norms.get(index - 1, ())
        # A stream is known by the norm that reads it before the layer; else by one that gave it,
        # or by the layer's reading it as it is.
        known = [(True, call.read) for call in before] + [(False, call.gave) for call in before]
        if index in inputs:
            known.append((False, inputs[index]))
        found[index] = _match(written.get(index), known, norms.get(index, ()))
    # A first layer may read the norm of the embeddings without a norm of its own: the stack tells.
    stacks = [re.sub(r"\d+", "#", name) for name in names]
    norm_first = {s for s, f in zip(stacks, found.values(), strict=True) if f and f.first}
    settled: dict[int, Addition | str] = {}
    for index, match in found.items():
        why = (
            f"the residual stream around {names[index]} could not be followed: what its output is "
            "added to is no state that was there before (blocks run in parallel, or gated)"
        )
        if match is None:
            settled[index] = why
            continue
        outer = None if stacks[index] in norm_first else frozen(match.call)
        last = stacks[index] not in norm_first
        if last and outer is None:
            settled[index] = f"the norm after {names[index]} is not linear at a held divisor"
            continue
        settled[index] = Addition(
            residual=_array(match.residual),
            result=_array(match.call.gave if last else match.call.read),
            inner=match.inner,
            outer=outer,
        )
    return settled


def _match(
    written: torch.Tensor | None,
    known: Sequence[tuple[bool, torch.Tensor]],
    after: Sequence[NormCall],
) -> _Found | None:
    if written is None:
        return None
    inner: FrozenNorm | None = None
    added = written
    for call in after:
        if call.read.shape != written.shape:
            continue
        if inner is None and _same(call.read, written, written):
            inner = frozen(call)
            if inner is None:
                return None
            added = call.gave
            continue
        residual = call.read - added
        for first, state in known:
            if state.shape == residual.shape and _same(residual, state, call.read):
                return _Found(state, call, inner, first)
    return None


def _same(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> bool:
    most = max(1e-4, 8 * torch.finfo(scale.dtype).eps)
    return bool((a - b).float().abs().max() <= most * scale.float().abs().max())


def _array(tensor: torch.Tensor) -> Float[np.ndarray, "queries model"]:
    return tensor.float().cpu().numpy()


def frozen(call: NormCall) -> FrozenNorm | None:
    """The norm with its divisor held; ``None`` where it does not give back what the norm gave."""
    module: Any = call.module
    wide = call.read.double()
    centred = isinstance(call.module, torch.nn.LayerNorm)
    if centred:
        wide = wide - wide.mean(-1, keepdim=True)
    # At held divisor what is left of the norm is one number a row and one a coordinate.
    with torch.no_grad():
        ones = torch.ones_like(call.read[:1])
        if centred:
            gain = ones[0] if module.weight is None else module.weight
        else:
            gain = module.forward(ones[None])[0, 0]
    gain = gain.detach().double()
    bias = getattr(module, "bias", None)
    given = call.gave.double() - (0.0 if bias is None else bias.detach().double())
    line = wide * gain
    scale = (given * line).sum(-1) / line.square().sum(-1).clamp_min(1e-300)
    miss = (line * scale[:, None] - given).abs().max()
    most = max(1e-3, 16 * torch.finfo(call.gave.dtype).eps)
    if float(miss) > most * float(given.abs().max()):
        return None
    return FrozenNorm(
        centred=centred,
        scale=scale.float().cpu().numpy(),
        gain=gain.float().cpu().numpy(),
    )
