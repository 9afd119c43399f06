#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0. The blocks of a GPT-2 survive a loop over `reset_parameters`.
#
# The randomisation test of Adebayo et al. (2018) asks whether an explanation changes when the weights are
# replaced by random ones. The usual loop calls `reset_parameters` of every module that has it. The layers
# of GPT-2 are `transformers.pytorch_utils.Conv1D`, which has none, so every attention and feed-forward
# weight stays as trained: 85.0 million of the 124.4 million parameters of gpt2-small. A test passed after
# such a loop says little.
#
# Output seen:
#   0 of 16 weight matrices of the blocks changed
#   the embeddings did
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import transformers

config = transformers.GPT2Config(
    vocab_size=100, n_positions=16, n_embd=48, n_layer=4, n_head=2, bos_token_id=0, eos_token_id=0
)
torch.manual_seed(0)
model = transformers.GPT2LMHeadModel(config)
before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
for module in model.modules():
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()
after = dict(model.named_parameters())
matrices = [name for name in before if ".h." in name and before[name].dim() == 2]
changed = [name for name in matrices if not torch.equal(before[name], after[name])]
print(f"{len(changed)} of {len(matrices)} weight matrices of the blocks changed")
assert len(matrices) == 16
assert not changed
name = "transformer.wte.weight"
assert not torch.equal(before[name], after[name])
PYTHON
