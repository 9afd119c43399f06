#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0. An ESM given the embeddings of its ids answers another thing.
#
# `model(inputs_embeds=model.get_input_embeddings()(ids))` should equal `model(ids)`; gradient methods such
# as integrated gradients rest on it. An ESM with token_dropout, as published ones have it, multiplies
# embeddings by 0.88 / (1 - share of masked tokens), also in evaluation mode, but only where it is given
# ids. From embeddings the factor is left out, and the gradients explain a model that nobody uses.
#
# Output seen:
#   token_dropout=True: from ids -0.0131 -0.0899, from embeddings -0.0049 -0.0913
#   token_dropout=False: from both -0.0049 -0.0913
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import transformers

difference = {}
for dropout in (True, False):
    config = transformers.EsmConfig(
        vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=16, token_dropout=dropout,
        position_embedding_type="rotary", initializer_range=0.5,
    )
    torch.manual_seed(0)
    model = transformers.EsmForSequenceClassification(config).eval()
    ids = torch.tensor([[0, 5, 6, 7, 2]])
    with torch.no_grad():
        by_ids = model(ids).logits
        by_embeddings = model(inputs_embeds=model.get_input_embeddings()(ids)).logits
    difference[dropout] = float((by_ids - by_embeddings).abs().max())
    rows = [" ".join(f"{x:.4f}" for x in row[0].tolist()) for row in (by_ids, by_embeddings)]
    print(f"token_dropout={dropout}: from ids {rows[0]}, from embeddings {rows[1]}")
assert difference[True] > 1e-3
assert difference[False] < 1e-6
PYTHON
