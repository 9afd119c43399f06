#!/usr/bin/env bash
# shap 0.51.0. Two neighbouring words that are masked become one mask.
#
# The Text masker with mask_token="[MASK]" replaces each absent word by the mask, one would think, so that
# positions and length stay. With its default collapse_mask_token="auto" a run of masks becomes a single
# one: "one two three four" without its last two words is "one two [MASK]", three words. A model that
# minds positions or length is asked about texts of every length, and the effect of the length lands on
# the words. collapse_mask_token=False keeps one mask a word.
#
# Output seen: texts the model was asked about
#   auto: "[MASK]", "one two [MASK]", "[MASK]three four"
#   False: "[MASK] [MASK] [MASK] [MASK]", "one two [MASK] [MASK]", "[MASK] [MASK]three four"
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile shap==0.51.0 numpy==2.4.6 numba==0.68.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import shap


def asked(**options):
    texts = []

    def model(batch):
        texts.extend(map(str, batch))
        return np.array([text.count("[MASK]") for text in batch], dtype=float)

    masker = shap.maskers.Text(r"\W+", mask_token="[MASK]", **options)
    shap.Explainer(model, masker, silent=True)(["one two three four"])
    return texts


joined, apart = asked(), asked(collapse_mask_token=False)
print(joined[:4], apart[:4])
assert "one two [MASK]" in joined
assert max(text.count("[MASK]") for text in joined) < 4
assert max(text.count("[MASK]") for text in apart) == 4
PYTHON
