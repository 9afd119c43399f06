"""What does an evaluation cost, beside the bare model and other tools?

512 masked inputs of a sentence through the sentiment model. Bare: the model itself on the same
rows, in the best batches of one length, nothing else. Other tools run their own loops to 512
evaluations.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import whence
from benchmarks.common import median, model_folder, store, table, timed
from whence.games import MaskToken, TokenGame, Words, align

TEXT = (
    "The plot is thin and the ending is far too neat, but the acting is so warm and the pictures "
    "so lovely that I did not mind at all and would gladly see it again."
)
EVALUATIONS = 512


def main(repeats: int = 5) -> None:
    model = whence.load(model_folder("minilm-sst2"))
    module = model.module
    encoding = model.encode(TEXT)
    segmentation, tokens = align(Words().segment(encoding.document), encoding)
    readout = model.readout(encoding, [whence.Label(label="positive")])
    n = len(segmentation)
    rng = np.random.default_rng(0)
    coalitions = np.unique(rng.random((2 * EVALUATIONS, n)) < 0.5, axis=0)
    coalitions = rng.permutation(coalitions)[:EVALUATIONS]
    rows = MaskToken().bind(model, encoding, tokens)(coalitions)
    ids = torch.tensor(np.stack([row.ids for row in rows]))
    model.fingerprint()

    def bare(batch: int, precision: bool = False):
        def run():
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision):
                for start in range(0, len(ids), batch):
                    chunk = ids[start : start + batch]
                    module(input_ids=chunk, attention_mask=torch.ones_like(chunk))

        return run

    def ours(precision: str = "native"):
        read = model.readout(encoding, [whence.Label(label="positive")], precision=precision)

        def run():
            game = TokenGame(model, encoding, read, tokens, MaskToken())
            game(coalitions)
            assert game.cost.distinct_evaluations == EVALUATIONS

        return run

    tokenizer = model._tokenizer
    words = [f.text for f in segmentation.features]

    def score(texts):
        with torch.inference_mode():
            inputs = tokenizer([str(t) for t in texts], padding=True, return_tensors="pt")
            return torch.softmax(module(**inputs).logits, dim=1).numpy()

    def captum():
        from captum.attr import KernelShap

        base = torch.full((1, len(encoding.ids)), tokenizer.mask_token_id)
        whole = torch.tensor(encoding.ids[None])
        mask = torch.tensor(np.where(tokens.owner < 0, n, tokens.owner)[None])

        def forward(chunk):
            with torch.inference_mode():
                return module(input_ids=chunk, attention_mask=torch.ones_like(chunk)).logits[:, 1]

        KernelShap(forward).attribute(
            whole,
            baselines=base,
            feature_mask=mask,
            n_samples=EVALUATIONS,
            perturbations_per_eval=64,
        )

    def lime():
        from lime.lime_text import LimeTextExplainer

        LimeTextExplainer(mask_string="[MASK]", bow=False, random_state=0).explain_instance(
            TEXT, score, labels=(1,), num_samples=EVALUATIONS
        )

    def shap():
        import shap

        explainer = shap.Explainer(score, shap.maskers.Text(tokenizer), algorithm="permutation")
        explainer([TEXT], max_evals=EVALUATIONS, silent=True)

    for function in (bare(64), ours()):
        function()
    best = min((16, 32, 64, 128, 512), key=lambda size: median(timed(bare(size), 3)))
    runs = {
        "bare model": bare(best),
        "whence": ours(),
        "captum KernelShap": captum,
        "shap permutation": shap,
        "LIME": lime,
        "bare model, bf16": bare(best, precision=True),
        "whence, bf16": ours("bfloat16"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    # Interleaved, so that a slower minute of the machine meets all alike.
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name] += timed(run, 1)
    exact = TokenGame(model, encoding, readout, tokens, MaskToken())(coalitions)
    rough_readout = model.readout(encoding, [whence.Label(label="positive")], precision="bfloat16")
    rough = TokenGame(model, encoding, rough_readout, tokens, MaskToken())(coalitions)
    ratios = {
        name: median([a / b for a, b in zip(times, seconds["bare model"], strict=True)])
        for name, times in seconds.items()
    }
    rows_ = [
        [name, f"{median(times):.2f}", f"{ratios[name]:.2f}"] for name, times in seconds.items()
    ]
    text = (
        f"{EVALUATIONS} evaluations of {n} features ({len(encoding.ids)} tokens), {repeats} "
        f"interleaved rounds, bare batches of {best} (the best of five sizes). Largest deviation "
        f"of bf16 from float32: {np.abs(exact - rough).max():.3f} nat of log-odds.\n\n"
        + table(rows_, ["run", "median seconds", "median ratio to the bare model"])
    )
    data = {"seconds": seconds, "words": len(words), "batch": best}
    store("overhead", "512 evaluations beside the bare model", text, data)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
