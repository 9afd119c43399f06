#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0. An attention function under a new name gets no mask.
#
# `AttentionInterface.register(name, function)` is the documented way to watch or replace attention. The
# function here calls the library's own sdpa with the arguments it is given, so nothing should change. But
# masks are made by a second registry (AttentionMaskInterface), and for a name it does not hold the mask
# is None, without a warning: padding and sliding windows vanish. A Mistral whose window is 2 reads all
# earlier tokens, and its logits move.
#
# Output seen:
#   under the new name: mask None, largest change of a logit 18.55
#   with a mask function under that name too: mask of shape (1, 1, 6, 6), change 0.0
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import transformers
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

masks = []


def watched(module, query, key, value, attention_mask, **options):
    masks.append(attention_mask)
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


AttentionInterface.register("watched", watched)
config = transformers.MistralConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=2, intermediate_size=16, sliding_window=2, initializer_range=1.0,
)
torch.manual_seed(0)
model = transformers.MistralForCausalLM(config).eval()
ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
with torch.no_grad():
    own = model(ids).logits
    model.set_attn_implementation("watched")
    other = model(ids).logits
    print(f"mask {masks[-1]}; largest change of a logit {(own - other).abs().max():.2f}")
    assert masks[-1] is None
    assert (own - other).abs().max() > 1
    AttentionMaskInterface.register("watched", sdpa_mask)
    same = model(ids).logits
    print(f"mask {tuple(masks[-1].shape)}; change {(own - same).abs().max()}")
    assert torch.equal(own, same)
PYTHON
