#!/usr/bin/env bash
# transformers 5.23.0 (5.24.0 too), torch 2.13.0. FSMT scores a given translation with its own answer in view.
#
# FSMT (the WMT19 translators of fairseq) leaves out the causal mask of its decoder whenever a cache is
# asked for, and its configuration asks for one. Generation is right, since it gives one new token at a
# time. A translation that is given as a whole, to learn how probable it is, is read in both directions:
# each token's score has seen the tokens that follow. Other encoder-decoders of transformers do not.
#
# Output seen, by how much a change of the last token moves the scores of the tokens before it:
#   as configured 0.337, with use_cache=False 0.000, BART as configured 0.000
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import transformers

sizes = {f"{stack}_{name}": size for stack in ("encoder", "decoder")
         for name, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))}
fsmt = transformers.FSMTConfig(
    langs=["en", "de"], src_vocab_size=50, tgt_vocab_size=50, d_model=16, **sizes
)
bart = transformers.BartConfig(vocab_size=50, d_model=16, **sizes)


def moved(kind, config, **options):
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        first, second = (
            model(
                input_ids=torch.tensor([[5, 6, 7, 2]]),
                decoder_input_ids=torch.tensor([[2, 8, last]]),
                **options,
            ).logits[0, :2]
            for last in (9, 11)
        )
    return (first - second).abs().max().item()


configured = moved(transformers.FSMTForConditionalGeneration, fsmt)
without = moved(transformers.FSMTForConditionalGeneration, fsmt, use_cache=False)
other = moved(transformers.BartForConditionalGeneration, bart)
print(
    f"as configured {configured:.3f}, with use_cache=False {without:.3f}, BART as configured {other:.3f}"
)
assert configured > 0.01
assert without < 1e-6
assert other < 1e-6
PYTHON
