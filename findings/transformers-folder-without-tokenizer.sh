#!/usr/bin/env bash
# transformers 5.23.0, tokenizers 0.23.3. A BERT folder that holds no tokenizer gives one all the same.
#
# A folder with config.json and weights only, as `model.save_pretrained` writes it, has no file that says
# how text becomes ids. AutoTokenizer does not raise and, at the usual log level, says nothing: it returns
# a BertTokenizer of the five special tokens, which reads every word as unknown. The model then answers
# all texts of one length alike. A Llama folder in the same state raises ValueError.
#
# Output seen:
#   BertTokenizer of 5 tokens for a model of 50
#   "She paid on time" -> [2, 1, 1, 1, 1, 3], "He never paid back" -> [2, 1, 1, 1, 1, 3]
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import transformers

config = transformers.BertConfig(
    vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
)
transformers.BertForSequenceClassification(config).save_pretrained("model")
tokenizer = transformers.AutoTokenizer.from_pretrained("model")
first, second = (tokenizer(text).input_ids for text in ("She paid on time", "He never paid back"))
print(f"{type(tokenizer).__name__} of {len(tokenizer)} tokens for a model of {config.vocab_size}")
print(f"{first} {second}")
assert len(tokenizer) == 5
assert first == second == [2, 1, 1, 1, 1, 3]
PYTHON
