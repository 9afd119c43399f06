"""What does it cost to see every head's attention, beside asking the model for its weights?

A BERT of 12 layers x 12 heads, width 768, random weights, one text of n tokens. Each way runs in
a process of its own: the plain pass with sdpa, ``whence.attend``, and eager with
``output_attentions=True``. Memory is the peak of the process above what the loaded model took.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import time
from typing import Any

from benchmarks.common import store, table

LENGTHS = (512, 1024, 2048)
WAYS = ("plain", "whence", "eager")
SUMMARY: dict[str, Any] = {"keep": "summary", "effects": None, "flow": False}


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _measure(way: str, n: int, send: Any) -> None:
    import numpy as np
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    import whence

    words = {f"w{i}": i for i in range(1000)} | {"[UNK]": 1000, "[PAD]": 1001}
    inner = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", model_max_length=max(LENGTHS)
    )
    config = BertConfig(
        vocab_size=1002,
        max_position_embeddings=max(LENGTHS),
        attn_implementation="eager" if way == "eager" else "sdpa",
    )
    torch.manual_seed(0)
    module = BertForSequenceClassification(config).eval()
    model = whence.load((module, tokenizer))
    text = " ".join(f"w{i}" for i in np.random.default_rng(0).integers(0, 1000, n))
    short = " ".join(text.split()[:16])
    model.decide(model.encode(short))
    if way == "whence":
        whence.attend(model, short, **SUMMARY)
    before, stored = _megabytes(), 0
    started = time.perf_counter()
    if way == "whence":
        stored = whence.attend(model, text, **SUMMARY).tensors.size
    else:
        inputs = {"input_ids": torch.tensor(model.encode(text).ids[None])}
        with torch.inference_mode():
            found = module(**inputs, output_attentions=way == "eager").attentions
        stored = sum(w.numel() * 4 for w in found) if way == "eager" else 0
    send.put((time.perf_counter() - started, _megabytes() - before, stored))


def main() -> None:
    context = multiprocessing.get_context("spawn")
    data: dict[str, Any] = {}
    rows = []
    for n in LENGTHS:
        found = {}
        for way in WAYS:
            queue = context.Queue()
            process = context.Process(target=_measure, args=(way, n, queue))
            process.start()
            found[way] = queue.get(timeout=280)
            process.join(20)
        data[str(n)] = found
        extra = {way: found[way][1] - found["plain"][1] for way in ("whence", "eager")}
        rows.append(
            [
                n,
                *(f"{found[way][0]:.1f}" for way in WAYS),
                *(f"{found[way][1]:.0f}" for way in WAYS),
                f"{extra['whence'] / extra['eager']:.2f}",
                f"{found['whence'][2] / 1e6:.1f}",
                f"{found['eager'][2] / 1e6:.0f}",
            ]
        )
        print(json.dumps(found), file=sys.stderr, flush=True)
    head = [
        "tokens",
        *(f"{way}, s" for way in WAYS),
        *(f"{way}, MB" for way in WAYS),
        "extra memory, ratio",
        "kept, MB",
        "eager's weights, MB",
    ]
    text = "One run each. Extra memory is what a way took above the plain pass.\n\n" + table(
        rows, head
    )
    store("attention", "Seeing every head", text, data)


if __name__ == "__main__":
    main()
