#!/usr/bin/env bash
# torch 2.13.0. A step of a fused optimizer changes a parameter and leaves its version counter alone.
#
# Every in-place change of a tensor raises `tensor._version`; autograd refuses a backward pass by it,
# and caches use it to see that weights are still the same. A step of AdamW raises it by 2. The same step
# with fused=True, which trainers choose by default where it exists, writes the same numbers and raises
# it by 0: whoever watches the counter goes on with answers of the old weights.
#
# Output seen:
#   fused=False: version 0 -> 2, weight 1.0 -> 0.8990
#   fused=True: version 0 -> 0, weight 1.0 -> 0.8990
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch

raised = {}
for fused in (False, True):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=fused)
    weight.grad = torch.ones(3)
    before = weight._version
    optimizer.step()
    raised[fused] = weight._version - before
    print(f"fused={fused}: version {before} -> {weight._version}, weight 1.0 -> {weight[0]:.4f}")
    assert abs(float(weight.detach()[0]) - 0.899) < 1e-4  # the weights did change
assert raised[False] > 0
assert raised[True] == 0
PYTHON
