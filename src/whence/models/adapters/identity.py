"""Which model this is: a fingerprint of what it computes, and how many tokens it reads."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch

__all__ = ["fingerprint_of", "tensor_version", "token_limit", "weight_versions"]

NO_LIMIT = 1_000_000
"""A tokenizer without a limit states a number near 1e30; no position table of today is this long."""


def fingerprint_of(module: Any, tokenizer: Any) -> str:
    """SHA-256 over configuration, weights and tokenizer."""
    digest = hashlib.sha256()
    config = {
        key: value
        for key, value in module.config.to_dict().items()
        # The folder it was read from, and the release that wrote it, change no answer.
        if key not in {"_name_or_path", "transformers_version"}
    }
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    state = dict(module.state_dict(keep_vars=True))
    for name in sorted(state):
        tensor = state[name].detach()
        # Bytes alone do not say where a tensor ends, nor whether they are two numbers of float32 or
        # four of bfloat16.
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.contiguous().cpu().reshape(-1)
        # Through uint8, since NumPy has no bfloat16.
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def weight_versions(module: Any) -> tuple[int, ...]:
    """A number for each tensor that changes whenever it is written to."""
    return tuple(tensor_version(tensor) for tensor in module.state_dict(keep_vars=True).values())


def tensor_version(tensor: torch.Tensor) -> int:
    """How often a tensor was written to; 0 for inference tensors, which do not count it."""
    try:
        # The step of a fused optimiser writes weights and leaves this counter alone
        # (findings/torch-fused-step-hides-from-version.sh). Hashing all weights at each question
        # would find that, at the price of reading them.
        return tensor._version  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the only change counter
    except RuntimeError:
        return 0


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
            limit = int(child.num_embeddings) - int(padding) - 1
            break
    tokenizer_limit = getattr(tokenizer, "model_max_length", None)
    if isinstance(tokenizer_limit, int) and tokenizer_limit < NO_LIMIT:
        limit = tokenizer_limit if limit is None else min(limit, tokenizer_limit)
    return limit
