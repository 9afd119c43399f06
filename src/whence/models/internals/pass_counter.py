"""How often a model runs, and how many tokens go through it."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from whence.models.internals.module_lock import locked, uncompiled

__all__ = ["PassCount", "count_passes"]


@dataclass(slots=True, eq=False)
class PassCount:
    """The passes so far.

    Attributes:
        passes: number of inputs of forward passes: a batch of ``b`` inputs counts ``b``.
        tokens: number of tokens that they read, without padding and without those in a cache; for
            an encoder-decoder, those of the encoder and those of the decoder.
        seconds: time that the context lasted; set at its end.
    """

    passes: int = 0
    tokens: int = 0
    seconds: float = 0.0


@contextmanager
def count_passes(model: Any) -> Generator[PassCount]:
    """Count the forward passes of an adapter's module that this thread runs in this context.

    An encoder that runs alone counts by its tokens only: it is a part of the passes that read its
    output. The module is left as it was.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> with count_passes(model) as count:
        ...     encoding = model.encode("She has missed 3 payments.")
        ...     decision = model.decide(encoding)
        >>> count.passes, count.tokens == len(encoding.ids)
        (1, True)
    """
    count = PassCount()
    started = time.perf_counter()
    module = model.module
    thread = threading.get_ident()
    decodes = bool(getattr(getattr(module, "config", None), "is_encoder_decoder", False))

    def count_model(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Hooks hang on the module, which another thread may run too while this one counts.
        if threading.get_ident() != thread:
            return
        rows, tokens = _read(args, kwargs, decoder=decodes)
        count.passes += rows
        count.tokens += tokens

    def count_encoder(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if threading.get_ident() == thread:
            count.tokens += _read(args, kwargs)[1]

    # While a hook is put on, torch notes in two steps that it takes keywords: a pass of another thread
    # between them would call it without.
    with locked(module):
        handles = [module.register_forward_pre_hook(count_model, with_kwargs=True)]
        if decodes:
            encoder = module.get_encoder()
            handles.append(encoder.register_forward_pre_hook(count_encoder, with_kwargs=True))
    try:
        with uncompiled(module):
            yield count
    finally:
        count.seconds = time.perf_counter() - started
        with locked(module):
            for handle in handles:
                handle.remove()


def _read(
    args: tuple[Any, ...], kwargs: dict[str, Any], *, decoder: bool = False
) -> tuple[int, int]:
    """Rows and tokens that a call reads."""
    if decoder:
        for name in ("decoder_input_ids", "decoder_inputs_embeds"):
            if kwargs.get(name) is not None:
                return _size(kwargs[name], kwargs.get("decoder_attention_mask"))
    # Without decoder inputs, a decoder reads the text again.
    for read in (*args[:1], kwargs.get("input_ids"), kwargs.get("inputs_embeds")):
        if read is not None:
            return _size(read, kwargs.get("attention_mask"))
    return 0, 0


def _size(read: torch.Tensor, mask: Any) -> tuple[int, int]:
    rows, width = int(read.shape[0]), int(read.shape[1])
    if torch.is_tensor(mask) and mask.dim() == 2:
        # A mask over a cache is longer than the tokens of this call.
        return rows, int(mask[:, -width:].sum())
    return rows, rows * width
