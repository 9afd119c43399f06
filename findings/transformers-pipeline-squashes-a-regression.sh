#!/usr/bin/env bash
# transformers 5.23.0. A model of one output is trained as a regression and read as a probability.
#
# With num_labels=1 and no problem_type, the loss of `...ForSequenceClassification` is the squared error:
# the output is meant to be the score itself, 4.0 for four stars. The text-classification pipeline takes
# the same configuration for a yes-or-no label and answers sigmoid(4.0) = 0.982. Only the first call with
# labels writes problem_type="regression" into the configuration in memory; a model saved after that is
# read without the sigmoid.
#
# Output seen:
#   output of the model 4.002, of the pipeline 0.982
#   after one loss: problem_type regression, of the pipeline 4.002
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

reader = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1, "[PAD]": 2}, unk_token="[UNK]"))
reader.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=reader, unk_token="[UNK]", pad_token="[PAD]"
)
config = transformers.BertConfig(
    vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=8, num_labels=1,
)
torch.manual_seed(0)
model = transformers.BertForSequenceClassification(config).eval()
with torch.no_grad():
    model.classifier.bias.fill_(4.0)
inputs = tokenizer("good", return_tensors="pt")


def piped():
    pipe = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    return pipe("good")[0]["score"]


output = float(model(**inputs).logits)
first = piped()
print(f"output of the model {output:.3f}, of the pipeline {first:.3f}")
assert model.config.problem_type is None
assert abs(first - 1 / (1 + 2.718281828 ** -output)) < 1e-4

loss = float(model(**inputs, labels=torch.tensor([4.5])).loss)
assert abs(loss - (output - 4.5) ** 2) < 1e-4  # a squared error
second = piped()
print(f"after one loss: problem_type {model.config.problem_type}, of the pipeline {second:.3f}")
assert model.config.problem_type == "regression"
assert abs(second - output) < 1e-4
PYTHON
