"""When is it faster to reuse the keys and values of a shared prefix?

The story model, 64 rows that share their beginning and differ in 16 tokens, one target token.
"""

from __future__ import annotations

import sys

import numpy as np

import whence
from benchmarks.common import median, model_folder, store, table, timed
from whence.models.adapters import causal
from whence.models.protocols import Row

SHARED, SUFFIX, ROWS = (8, 16, 32, 64, 128, 256), 16, 64


def main(repeats: int = 7) -> None:
    model = whence.load(model_folder("stories260K"))
    encoding = model.encode("Once upon a time")
    rng = np.random.default_rng(0)
    data: dict[int, dict[str, list[float]]] = {}
    rows_ = []
    least = causal.LEAST_SHARED
    for shared in SHARED:
        prefix = rng.integers(5, 500, shared)
        rows = [
            Row(ids=np.concatenate([prefix, rng.integers(5, 500, SUFFIX)])) for _ in range(ROWS)
        ]

        def run(limit: int, rows=rows):
            causal.LEAST_SHARED = limit
            readout = model.readout(encoding, [whence.NextToken(token=9)])
            return model.evaluate(rows, readout)

        run(1), run(10_000)
        fast, slow = [], []
        for _ in range(repeats):
            fast += timed(lambda run=run: run(1), 1)
            slow += timed(lambda run=run: run(10_000), 1)
        data[shared] = {"reused": fast, "whole": slow}
        ratio = median([a / b for a, b in zip(fast, slow, strict=True)])
        rows_.append(
            [shared, f"{median(slow) * 1e3:.1f}", f"{median(fast) * 1e3:.1f}", f"{ratio:.2f}"]
        )
    causal.LEAST_SHARED = least
    head = ["shared tokens", "whole, ms", "prefix reused, ms", "ratio"]
    text = f"{ROWS} rows, {SUFFIX} tokens of their own, medians of {repeats}.\n\n" + table(
        rows_, head
    )
    store("prefix", "Reusing a shared prefix", text, data)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
