#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0. One call that asks for hidden states or attentions changes a model for good.
#
# `output_hidden_states=True` is an argument of one call. The first such call puts a forward hook on every
# layer that could be recorded, and an attribute on the model, and leaves both. One would expect a pass to
# leave the module as it was: whoever looks for hooks, copies the model, or compares two models by their
# attributes afterwards sees another model, though its weights and answers are the same.
#
# Output seen:
#   forward hooks before 0, after the call 4, after a call without it 4
#   hooks on a copy 4
#   new attribute: _output_capturing_hooks_installed
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import copy

import torch
import transformers

config = transformers.LlamaConfig(
    vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
)
model = transformers.LlamaForCausalLM(config).eval()
ids = torch.tensor([[1, 2, 3]])


def hooks(module):
    return sum(len(child._forward_hooks) for child in module.modules())


def attributes(module):
    return {name for child in module.modules() for name in vars(child)}


counts, names = [hooks(model)], attributes(model)
with torch.no_grad():
    model(ids, output_hidden_states=True, output_attentions=True)
    counts.append(hooks(model))
    model(ids)
    counts.append(hooks(model))
new = attributes(model) - names
print(f"forward hooks before {counts[0]}, after the call {counts[1]}, after a call without it {counts[2]}")
print(f"hooks on a copy {hooks(copy.deepcopy(model))}")
print(f"new attribute: {', '.join(sorted(new))}")
assert counts[0] == 0
assert counts[1] > 0
assert counts[2] == counts[1] == hooks(copy.deepcopy(model))
assert new
PYTHON
