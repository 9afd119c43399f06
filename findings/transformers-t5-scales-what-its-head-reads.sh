#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0. The logits of a T5 are not its head of its last hidden state.
#
# A logit lens puts a hidden state through `lm_head`. For a T5 whose head is tied to its embeddings, as
# the first T5 checkpoints are, the model multiplies the state by d_model ** -0.5 first. The head of
# `decoder_hidden_states[-1]` is too large by sqrt(d_model), 22.6 for t5-small: ranks are right,
# probabilities are of another, much surer model.
#
# Output seen (d_model 16):
#   difference to the logits: 8.573 unscaled, 0.0e+00 scaled
#   largest probability: 0.960 through the lens, 0.195 of the model
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import transformers

config = transformers.T5Config(
    vocab_size=50, d_model=16, d_kv=8, num_layers=1, num_heads=2, d_ff=16, decoder_start_token_id=0
)
torch.manual_seed(0)
model = transformers.T5ForConditionalGeneration(config).eval()
with torch.no_grad():
    output = model(
        input_ids=torch.tensor([[1, 2, 3]]),
        decoder_input_ids=torch.tensor([[0, 4]]),
        output_hidden_states=True,
    )
    state = output.decoder_hidden_states[-1]
    plain = (model.lm_head(state) - output.logits).abs().max()
    scaled = (model.lm_head(state * config.d_model**-0.5) - output.logits).abs().max()
    certain = [x.softmax(-1).max().item() for x in (model.lm_head(state), output.logits)]
print(f"difference to the logits: {plain:.3f} unscaled, {scaled:.1e} scaled")
print(f"largest probability: {certain[0]:.3f} through the lens, {certain[1]:.3f} of the model")
assert plain > 1
assert scaled < 1e-5
assert certain[0] > certain[1] + 0.1
PYTHON
