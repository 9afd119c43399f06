"""Weights that a model itself returns, where none of its kernels can be watched.

``output_attentions=True`` asks for another computation than the model's own, in most families its eager
kernel. Its weights are taken only where that computation gave the same answer, and where they are
weights over the tokens that were read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from whence.core.errors import CapabilityError
from whence.models.internals.attention_capture import AttentionCall, AttentionSink

__all__ = ["no_kernel", "pass_on_returned"]

SAME_ANSWER = 1e-4
"""Largest difference of two passes' outputs, over their largest, with which they are one computation;
in half precision sixteen steps of its dtype. Eager and fused kernels of float32 differ by 1e-6.
Chosen by hand."""

ROW_SUM = 1e-3
"""Largest distance of a row's sum from one: that of a layer's certificate."""


def pass_on_returned(
    module: Any, read: Callable[..., Any], plain: Any, sink: AttentionSink, tokens: int
) -> str:
    """Give a sink the weights that a model returns, and say in a note what they are.

    Args:
        module: module that is read.
        read: pass over the input, which takes options of the module.
        plain: output of a pass without options.
        sink: sink of the weights.
        tokens: number of tokens that are read.

    Raises:
        CapabilityError: there are none, they are of another computation, or not over the tokens.
    """
    answer, architecture = _numbers(plain), type(module).__name__
    with _hooks_put_back(module):
        output = read(output_attentions=True)
    layers = getattr(output, "attentions", None)
    if not layers:
        attends = softmax_runs(read)
        stacks = [
            name
            for name in ("encoder_attentions", "decoder_attentions", "cross_attentions")
            if getattr(output, name, None)
        ]
        returned = f"{', '.join(stacks) or 'none'}{', of which none is read' if stacks else ''}"
        raise CapabilityError(
            no_kernel(architecture, attends=attends)
            + (f"; output_attentions=True returned {returned}" if attends else "")
        )
    other = _numbers(output)
    limit = max(SAME_ANSWER, 16 * torch.finfo(answer.dtype).eps)
    gap = float((answer - other).abs().max()) / (float(answer.abs().max()) or 1.0)
    if not gap <= limit:
        again = float((answer - _numbers(read())).abs().max())
        if again > limit * (float(answer.abs().max()) or 1.0):
            raise CapabilityError(
                f"{architecture} answers one text differently in two passes (by {again:.1e}), so "
                "weights of one pass are not those of another"
            )
        raise CapabilityError(
            f"{architecture} returns weights of another computation than its own: with "
            f"output_attentions=True its answer moves by {gap:.1e} of its size. Load the model with "
            "attn_implementation='eager'"
        )
    weights = [_checked(index, layer, tokens) for index, layer in enumerate(layers)]
    for index, layer in enumerate(weights):
        _pass_on(sink, index, layer)
    return (
        f"the layers of {architecture} call no attention function that transformers shares: these "
        f"weights are those that the model returned in a pass that gave the same answer (to {gap:.0e} of "
        "its size), and no certificate could be computed"
    )


def no_kernel(architecture: str, *, attends: bool) -> str:
    """Why no kernel of a model can be watched."""
    if attends:
        return (
            f"the layers of {architecture} compute their softmax themselves: they call no attention "
            "function that transformers shares, so their weights cannot be followed"
        )
    return (
        f"no layer of {architecture} takes a softmax over tokens (it mixes them in another way: by a "
        "state, a convolution, a transform or an approximation), so it has no attention weights"
    )


@contextmanager
def _hooks_put_back(module: Any) -> Generator[None]:
    """Take away the hooks that transformers leaves on a module once asked for its weights."""
    mark = "_output_capturing_hooks_installed"
    before = [
        (child, mark in vars(child), set(child._forward_hooks))  # noqa: SLF001
        for child in module.modules()
    ]
    try:
        yield
    finally:
        for child, marked, hooks in before:
            for key in set(child._forward_hooks) - hooks:  # noqa: SLF001
                del child._forward_hooks[key]  # noqa: SLF001
            if not marked:
                vars(child).pop(mark, None)


def softmax_runs(read: Callable[..., Any]) -> bool:
    """Whether a pass over one row takes a softmax over scores of heads."""
    with _SoftmaxWatch() as watch:
        read()
    return watch.attends


class _SoftmaxWatch(TorchDispatchMode):
    """Notices a softmax over scores of heads, or a fused attention, in a pass over one row."""

    attends = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(func)
        softmax = "softmax" in name and torch.is_tensor(args[0]) and _are_of_heads(args[0])
        if softmax or "scaled_dot_product" in name:
            self.attends = True
        return func(*args, **(kwargs or {}))


def _are_of_heads(scores: torch.Tensor) -> bool:
    """Whether scores are ``[rows, heads, queries, keys]``, or that with rows and heads as one axis.

    Those of a router or of a vocabulary are the one row's, ``[1, tokens, columns]`` or less.
    """
    if scores.dim() != 3:
        return scores.dim() > 3
    return len(scores) > 1 or scores.shape[1] == scores.shape[2]


def _numbers(output: Any) -> torch.Tensor:
    for name in ("logits", "last_hidden_state"):
        numbers = getattr(output, name, None)
        if torch.is_tensor(numbers):
            return numbers
    return cast("torch.Tensor", output[0])


def _checked(index: int, layer: Any, tokens: int) -> torch.Tensor:
    """A layer's weights, ``[rows, heads, tokens, tokens]``."""
    shape = tuple(layer.shape) if torch.is_tensor(layer) else type(layer).__name__
    if not torch.is_tensor(layer) or layer.dim() != 4 or layer.shape[2:] != (tokens, tokens):
        raise CapabilityError(
            f"the weights that layer {index} returned are not over tokens: expected [rows, heads, "
            f"{tokens}, {tokens}], got {shape}"
        )
    away = float((layer.float().sum(-1) - 1).abs().max())
    if not away <= ROW_SUM:
        raise CapabilityError(
            f"what layer {index} returned are no weights over the tokens that were read: the sum of a "
            f"row is {away:.2g} away from 1"
        )
    return layer


def _pass_on(sink: AttentionSink, index: int, weights: torch.Tensor) -> None:
    _, heads, queries, keys = weights.shape
    # Read off the weights themselves: a class says what it was made for, not what it does.
    future = float(weights.float().triu(1).abs().max())
    call = AttentionCall(
        name=f"layer.{index}",
        kind="causal" if future == 0 and queries > 1 else "bidirectional",
        heads=heads,
        queries=queries,
        keys=keys,
        query_start=0,
        key_start=0,
    )
    sink.rows(call, 0, weights.float().cpu().numpy(), np.ones((len(weights), queries), bool))
    # NaN, and not 0: without the values and the output of a kernel there is nothing to compare
    # with.
    sink.close(call, float("nan"), torch.finfo(weights.dtype).eps)
