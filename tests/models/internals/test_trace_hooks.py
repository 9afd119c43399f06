"""What of a pass is a call between tokens."""

from __future__ import annotations

import torch

from whence.models.internals.kernel_hooks import KernelCall
from whence.models.internals.trace_hooks import TraceParts, TraceSink


def call(name, query, keys):
    """A kernel's call with this query, over so many keys."""
    key = torch.randn(1, query.shape[1], keys, query.shape[3])
    output = query.transpose(1, 2).clone()
    eager = torch.nn.functional.scaled_dot_product_attention
    states = (query, key, key)
    return KernelCall(name, "sdpa", torch.nn.Identity(), eager, states, None, {}, output)


def test_attention_over_depth_is_none_between_tokens():
    """Each of five positions reads three blocks with one query for all of them: positions are heads."""
    sink = TraceSink(TraceParts())
    heads = torch.randn(1, 4, 5, 8)
    sink.after(call("layers.0.self_attn", heads, 5))
    depth = call("layers.0.mlp_input", torch.randn(1, 1, 8).expand(1, 5, 1, 8), 3)
    assert torch.equal(sink.after(depth), depth.output)
    # As many heads as tokens, each with a query of its own, are heads.
    sink.after(call("layers.1.self_attn", torch.randn(1, 5, 5, 8), 5))
    assert [each.name for each in sink.kernels] == ["layers.0.self_attn", "layers.1.self_attn"]
