#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0. A GPT-2 classifier does not read the end token of a text that has one.
#
# Decoder classifiers answer from the last token that is not padding, and find it by comparing ids with
# pad_token_id; the attention mask is not asked. Where the pad token is the end token, as is usual for
# models without one of their own, a text that ends with it (as most chat templates do) is answered from
# the token before, batched or alone, although the mask says that all four tokens are read. The same
# weights with another pad_token_id answer from the end token.
#
# Output seen: logits for ids 1 2 3 9, mask 1 1 1 1, end token 9
#   pad_token_id 9: -2.063 -2.714, the row of token 3
#   pad_token_id 0: -8.111 -2.132, the row of token 9
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
    vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2, num_labels=2,
    pad_token_id=9, bos_token_id=9, eos_token_id=9, initializer_range=1.0,
)
torch.manual_seed(0)
model = transformers.GPT2ForSequenceClassification(config).eval()
ids = torch.tensor([[1, 2, 3, 9]])
mask = torch.ones_like(ids)
with torch.no_grad():
    rows = model.score(model.transformer(ids, attention_mask=mask).last_hidden_state)[0]
    same = model(ids, attention_mask=mask).logits[0]
    model.config.pad_token_id = 0
    other = model(ids, attention_mask=mask).logits[0]
for pad, logits in ((9, same), (0, other)):
    print(f"pad_token_id {pad}:", " ".join(f"{value:.3f}" for value in logits.tolist()))
assert torch.allclose(same, rows[2], atol=1e-5)
assert torch.allclose(other, rows[3], atol=1e-5)
assert not torch.allclose(same, other, atol=0.1)
PYTHON
