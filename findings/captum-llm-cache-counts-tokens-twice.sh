#!/usr/bin/env bash
# captum 0.9.0, transformers 5.23.0, torch 2.13.0. The default path of LLMAttribution scores another text.
#
# `LLMAttribution.attribute` asks for one target token after the other and hands the key-value cache on
# (use_cached_outputs=True). It passes the whole sequence with it and counts on the model to drop the
# tokens that are in the cache. transformers 5 drops nothing: from the second target token on, the model
# reads the prompt twice. Nothing fails. The first target token is right, the sum over the target is not.
#
# Output seen: effect of the four prompt tokens on log p("e f g")
#   cached:     0.701 0.819 2.082  1.897
#   not cached: 0.134 2.231 1.943 -0.118
#   by two calls of the model, for the first token: 0.134
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 captum==0.9.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import transformers
from captum.attr import FeatureAblation, LLMAttribution, TextTokenInput
from tokenizers import Tokenizer, models, pre_tokenizers

words = {word: index for index, word in enumerate("<u> a b c d e f g h i".split())}
reader = Tokenizer(models.WordLevel(words, unk_token="<u>"))
reader.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=reader, unk_token="<u>", eos_token="<u>", pad_token="<u>"
)
config = transformers.LlamaConfig(
    vocab_size=10, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=16, initializer_range=0.6,
)
torch.manual_seed(0)
model = transformers.LlamaForCausalLM(config).eval()


def scores(cached):
    method = LLMAttribution(FeatureAblation(model), tokenizer)
    result = method.attribute(
        TextTokenInput("a b c d", tokenizer), target="e f g", use_cached_outputs=cached
    )
    return result.seq_attr, result.token_attr


def log_probability(ids):
    with torch.no_grad():
        rows = model(ids).logits.log_softmax(-1)
    return sum(float(rows[0, 3 + k, ids[0, 4 + k]]) for k in range(3))


ids = tokenizer("a b c d e f g", return_tensors="pt").input_ids
without = ids.clone()
without[0, 0] = 0
truth = log_probability(ids) - log_probability(without)
cached, cached_tokens = scores(True)
plain, plain_tokens = scores(False)
for name, row in (("cached", cached), ("not cached", plain)):
    print(f"{name}:", " ".join(f"{value:.3f}" for value in row.flatten().tolist()))
print(f"by two calls of the model, for the first token: {truth:.3f}")
assert abs(float(plain.flatten()[0]) - truth) < 1e-3
assert abs(float(cached.flatten()[0]) - truth) > 0.3
assert torch.allclose(cached_tokens[0], plain_tokens[0], atol=1e-3)  # the first target token
PYTHON
