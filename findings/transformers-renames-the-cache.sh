#!/usr/bin/env bash
# transformers 5.23.0 and 5.24.0, torch 2.13.0. A minor release renames `past_key_values`, for readers alone.
#
# Calls with `past_key_values=...` and `output.past_key_values` work on in 5.24, so code that runs a model
# sees no change. Code that watches one does: layers get the state as `cache`, so a hook that looks for
# `past_key_values` among their arguments finds nothing and sees a pass without a state; and the output's
# keys, by which a state is carried to the next pass whatever its name, hold another name than was asked by.
# Neither raises an error.
#
# Output seen:
#   5.23.0: a layer gets past_key_values, the output holds past_key_values, the old name is read True
#   5.24.0: a layer gets cache, the output holds cache, the old name is read True
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cd "$folder"
cat > read.py <<'PYTHON'
import sys

import torch
import transformers

config = transformers.LlamaConfig(
    vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
)
model = transformers.LlamaForCausalLM(config).eval()
got = []
model.model.layers[0].register_forward_pre_hook(
    lambda layer, args, kwargs: got.append(kwargs), with_kwargs=True
)
with torch.no_grad():
    output = model(torch.tensor([[1, 2, 3]]), use_cache=True)
    model(torch.tensor([[4]]), past_key_values=output.past_key_values)
layer = [name for name, value in got[1].items() if hasattr(value, "get_seq_length")]
held = [name for name, value in output.items() if hasattr(value, "get_seq_length")]
read = output.past_key_values is not None
print(
    f"{transformers.__version__}: a layer gets {', '.join(layer)}, the output holds {', '.join(held)}, "
    f"the old name is read {read}"
)
assert layer == held == sys.argv[1:]
assert read
PYTHON
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
"$folder/venv/bin/python" -W ignore read.py past_key_values
"$folder/venv/bin/pip" install --quiet --no-compile transformers==5.24.0
"$folder/venv/bin/python" -W ignore read.py cache
