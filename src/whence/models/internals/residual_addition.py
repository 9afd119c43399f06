"""How an attention layer's output is added to the residual stream, read off what norms read and gave.

No family is named. The projection gave ``o``; some later norm reads ``z = x + o``, where ``x`` is an
earlier state of the model. Where a norm read ``x`` before the layer did, the stream goes on as ``z``
(norm first); else as the norm of ``z`` (norm last). A norm that reads ``o`` alone stands before the
sum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from whence.models.internals.frozen_norm import FrozenNorm, NormCall, freeze

__all__ = ["Addition", "additions"]

SAME = 1e-4
"""Largest difference, over the largest value of the sum, at which two states are the same. Far above
the rounding of float32 (1.2e-7) in one addition and far below what a layer adds. Chosen by hand; not
calibrated."""

ROUNDINGS = 8
"""Steps of the dtype that a sum and its parts may differ by, where those are more than ``SAME`` (half
precision). Chosen by hand; not calibrated."""


@dataclass(frozen=True, slots=True, eq=False)
class Addition:
    """``result = outer(residual + inner(written)) + biases``, at each position.

    Attributes:
        residual: the stream before the layer.
        result: the stream after it.
        inner, outer: norms of the output and of the sum, their divisors frozen; ``None``: no norm.
    """

    residual: Float[np.ndarray, "queries model"]
    result: Float[np.ndarray, "queries model"]
    inner: FrozenNorm | None
    outer: FrozenNorm | None


class _Match(NamedTuple):
    residual: torch.Tensor
    call: NormCall
    inner: FrozenNorm | None
    norm_first: bool


def additions(
    names: Sequence[str],
    written: Mapping[int, torch.Tensor],
    inputs: Mapping[int, torch.Tensor],
    norms: Mapping[int, Sequence[NormCall]],
) -> dict[int, Addition | str]:
    """For each call of an attention layer its addition, or why it could not be found.

    ``written[i]`` is what the projection of call ``i`` gave, ``inputs[i]`` what the last module
    before it read. ``norms[i]`` are the calls of norms after call ``i`` and before the next;
    ``norms[-1]`` those before the first.
    """
    matches: dict[int, _Match | None] = {}
    for index in range(len(names)):
        before = norms.get(index - 1, ())
        # A stream is recognised by the norm that reads it before the layer; else by one that gave
        # it, or by the layer's reading it as it is.
        streams = [(True, call.read) for call in before] + [(False, call.gave) for call in before]
        if index in inputs:
            streams.append((False, inputs[index]))
        matches[index] = _match(written.get(index), streams, norms.get(index, ()))
    # The first layer may read the norm of the embeddings without a norm of its own: whether norms
    # come first is a property of the whole stack.
    stacks = [re.sub(r"\d+", "#", name) for name in names]
    norm_first = {
        stack
        for stack, match in zip(stacks, matches.values(), strict=True)
        if match and match.norm_first
    }
    return {
        index: _addition(names[index], match, norm_first=stacks[index] in norm_first)
        for index, match in matches.items()
    }


def _addition(name: str, match: _Match | None, *, norm_first: bool) -> Addition | str:
    if match is None:
        return (
            f"the residual stream around {name} could not be followed: what its output is added to "
            "is no earlier state (blocks run in parallel, or are gated)"
        )
    outer = None if norm_first else freeze(match.call)
    if not norm_first and outer is None:
        return f"the norm after {name} is not linear when its divisor is frozen"
    return Addition(
        residual=_array(match.residual),
        result=_array(match.call.read if norm_first else match.call.gave),
        inner=match.inner,
        outer=outer,
    )


def _match(
    written: torch.Tensor | None,
    streams: Sequence[tuple[bool, torch.Tensor]],
    after: Sequence[NormCall],
) -> _Match | None:
    if written is None:
        return None
    inner: FrozenNorm | None = None
    added = written
    for call in after:
        if call.read.shape != written.shape:
            continue
        # Gemma 2 norms what the projection wrote before it is added.
        if inner is None and _same(call.read, written, written):
            inner = freeze(call)
            if inner is None:
                return None
            added = call.gave
            continue
        # z - o rounds once in the dtype of the sum, relative to z and not to the difference: hence
        # the scale in _same.
        residual = call.read - added
        for norm_first, state in streams:
            if state.shape == residual.shape and _same(residual, state, call.read):
                return _Match(state, call, inner, norm_first)
    return None


def _same(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> bool:
    most = max(SAME, ROUNDINGS * torch.finfo(scale.dtype).eps)
    return bool((a - b).float().abs().max() <= most * scale.float().abs().max())


def _array(tensor: torch.Tensor) -> Float[np.ndarray, "queries model"]:
    return tensor.float().cpu().numpy()
