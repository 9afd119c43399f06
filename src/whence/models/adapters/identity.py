"""Which model this is: a fingerprint of what it computes, and how many tokens it reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch

__all__ = ["content", "fingerprint_of", "is_plain", "token_limit"]

NO_LIMIT = 1_000_000
"""A tokenizer without a limit states a number near 1e30; no position table of today is this long."""


def fingerprint_of(module: Any, tokenizer: Any) -> str:
    """SHA-256 over configuration, weights, active adapters and tokenizer."""
    digest = hashlib.sha256()
    config = {
        key: value
        for key, value in module.config.to_dict().items()
        # The folder it was read from, and the release that wrote it, change no answer.
        if key not in {"_name_or_path", "transformers_version"}
    }
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    state = module.state_dict(keep_vars=True)
    for name in sorted(state):
        digest.update(f"{name} ".encode())
        for piece in content(state[name]):
            digest.update(piece)
    for name, child in module.named_modules():
        # Which of the adapters in the weights are read (peft's layers state it so).
        switches = [vars(child).get(switch) for switch in _SWITCHES]
        if any(switch is not None for switch in switches):
            digest.update(f"{name} {switches}".encode())
    return digest.hexdigest()


_SWITCHES = ("_active_adapter", "_disable_adapters", "merged_adapters")


def content(value: Any) -> Iterator[bytes | memoryview]:
    """The bytes of an entry of a state: tensors of any kind, packed weights, plain values."""
    if torch.is_tensor(value):
        yield from _tensor_content(value.detach())
    elif isinstance(value, tuple | list):
        yield f"{len(value)} entries ".encode()  # pyright: ignore[reportUnknownArgumentType]
        for entry in cast("Sequence[Any]", value):
            yield from content(entry)
    elif isinstance(value, Mapping):
        for key, entry in sorted(cast("Mapping[Any, Any]", value).items(), key=lambda i: str(i[0])):
            yield f"{key} ".encode()
            yield from content(entry)
    else:
        yield (repr(value) if is_plain(value) else type(value).__qualname__).encode()


def is_plain(value: Any) -> bool:
    """Whether ``repr`` shows the whole value, and no address."""
    plain = str | bytes | int | float | complex | bool | torch.dtype | torch.device
    return value is None or isinstance(value, plain)


def _tensor_content(tensor: torch.Tensor) -> Iterator[bytes | memoryview]:
    # Bytes alone do not say where a tensor ends, nor whether they are two numbers of float32 or four
    # of bfloat16.
    yield f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    if tensor.is_meta:
        return
    if hasattr(tensor, "__tensor_flatten__"):
        # Quantised weights of torchao, sharded ones of torch: a wrapper around plain tensors.
        names, settings = cast("Any", tensor).__tensor_flatten__()
        yield repr(settings).encode()
        for name in names:
            yield from _tensor_content(getattr(tensor, name))
    elif tensor.is_quantized:
        yield from _tensor_content(tensor.int_repr())
        if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            yield f"{tensor.q_scale()} {tensor.q_zero_point()}".encode()
        else:
            yield from _tensor_content(tensor.q_per_channel_scales())
            yield from _tensor_content(tensor.q_per_channel_zero_points())
    elif tensor.numel():
        flat = tensor.contiguous().cpu().reshape(-1)
        # Through uint8, since NumPy has no bfloat16.
        yield flat.view(torch.uint8).numpy().data


def token_limit(module: Any, tokenizer: Any) -> int | None:
    """Tokens that the model reads, from its position table; ``None`` for relative positions."""
    # Models of text and images state the sizes of their text part in a configuration inside their
    # own.
    text_config = module.config.get_text_config()
    limit = None
    # T5 states n_positions = 512, the length it was trained on; its buckets of relative positions
    # have no end.
    if "relative_attention_num_buckets" not in text_config.to_dict():
        for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
            value = getattr(text_config, name, None)
            if isinstance(value, int) and value > 0:
                limit = value
                break
    for name, child in module.named_modules():
        # RoBERTa's family counts positions from the padding index on.
        padding = getattr(child, "padding_idx", None)
        if name.endswith("embeddings.position_embeddings") and padding is not None:
            limit = int(child.weight.shape[0]) - int(padding) - 1
            break
    tokenizer_limit = getattr(tokenizer, "model_max_length", None)
    if isinstance(tokenizer_limit, int) and tokenizer_limit < NO_LIMIT:
        limit = tokenizer_limit if limit is None else min(limit, tokenizer_limit)
    return limit
