"""280 masked prompts, 10 target tokens: one teacher-forced pass beside a pass for each token."""

from __future__ import annotations

import sys

import numpy as np
import torch

import whence
from benchmarks.common import median, model_folder, prompts, store, table, timed
from whence.games import Deletion, TokenGame, Words, align

MASKS, TOKENS = 280, 10


def main(repeats: int = 5) -> None:
    model = whence.load(model_folder("stories260K"))
    text = " ".join(prompts(3, 14))
    encoding = model.encode(text)
    segmentation, tokens = align(Words().segment(encoding.document), encoding)
    forced = tuple(model.greedy(encoding, TOKENS))
    target = whence.Continuation(token_ids=forced)
    readout = model.readout(encoding, [target])
    n = len(segmentation)
    coalitions = np.random.default_rng(0).random((MASKS, n)) < 0.6
    rows = Deletion().bind(model, encoding, tokens)(coalitions)
    module = model.module
    values: dict[str, np.ndarray] = {}

    def ours():
        game = TokenGame(model, encoding, readout, tokens, Deletion())
        values["whence"] = game(coalitions)[:, 0]

    def by_token():
        """The shape of captum's LLMAttribution: batch 1, a forward pass for each target token."""
        result = []
        with torch.inference_mode():
            for row in rows:
                total, ids = 0.0, row.ids.tolist()
                for token in forced:
                    logits = module(input_ids=torch.tensor([ids])).logits[0, -1]
                    total += float(torch.log_softmax(logits, dim=0)[token])
                    ids.append(token)
                result.append(total)
        values["a pass for each token"] = np.array(result)

    def by_mask():
        result = []
        with torch.inference_mode():
            for row in rows:
                ids = torch.tensor([[*row.ids.tolist(), *forced[:-1]]])
                table_ = torch.log_softmax(module(input_ids=ids).logits[0], dim=1)
                start = len(row) - 1
                result.append(sum(float(table_[start + t, k]) for t, k in enumerate(forced)))
        values["a pass for each mask"] = np.array(result)

    def captum():
        from captum.attr import FeatureAblation, LLMAttribution, TextTemplateInput

        words = text.split()
        template = " ".join(["{}"] * len(words))
        llm = LLMAttribution(FeatureAblation(module), model._tokenizer)
        # Its own path: one mask a word; the time is scaled to 280 masks.
        llm.attribute(
            TextTemplateInput(template, values=words),
            target=torch.tensor(forced),
            use_cached_outputs=False,
        )

    runs = {"whence": ours, "a pass for each mask": by_mask, "a pass for each token": by_token}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    ours()
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name] += timed(run, 1)
    masks = len(text.split()) + 1
    seconds["captum LLMAttribution, scaled"] = [s * MASKS / masks for s in timed(captum, repeats)]
    apart = max(float(np.abs(values[name] - values["whence"]).max()) for name in runs)
    ratio = {
        name: median([a / b for a, b in zip(times, seconds["whence"], strict=True)])
        for name, times in seconds.items()
    }
    rows_ = [
        [name, f"{median(times):.2f}", f"{ratio[name]:.1f}"] for name, times in seconds.items()
    ]
    body = (
        f"{MASKS} masks of {n} words, {TOKENS} target tokens, {repeats} rounds. The first three "
        f"agree within {apart:.1e} nat. Captum (without its cache, which is wrong on this version "
        f"of transformers) ran {masks} masks; its time is scaled to {MASKS}.\n\n"
        + table(rows_, ["run", "median seconds", "times whence"])
    )
    store("generation", "280 masked prompts x 10 target tokens", body, seconds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
