"""Are the label's permutation p-values uniform under random scores?

    python -m benchmarks.p_values

2,000 normal random scores of one text of each of three models. For the test of uniformity alone, each p
is spread over its step of 1 / 1,000; the shares are of the p-values as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import kstest

import whence
from benchmarks.common import model_folder, store, table
from whence.evaluation.instance import instance_of
from whence.evaluation.metrics.permutation_test import permutation_test
from whence.games.question import ask

DRAWS = 2_000
TEXTS = {
    "embedded:credit": "She missed 4 payments this year and has no savings at all.",
    "minilm-sst2": "A dull and lifeless story that never finds its way.",
    "stories260K": "The dog ran to the park and saw a big red",
}


def main() -> None:
    rows: list[list[object]] = []
    for name, text in TEXTS.items():
        ref = name if ":" in name else str(model_folder(name))
        instance = instance_of(ask(whence.load(ref), text))
        rng = np.random.default_rng(11)
        drawn = (rng.normal(size=instance.n) for _ in range(DRAWS))
        p = np.array([permutation_test(instance, scores)[0] for scores in drawn])
        test: Any = kstest(p - rng.uniform(0, 1 / 1_000, DRAWS), "uniform")
        shares = [f"{np.mean(p <= level):.4f}" for level in (0.05, 0.01)]
        rows.append([name, instance.n, f"{test.pvalue:.2f}", *shares])
    head = ["model", "words", "Kolmogorov-Smirnov p", "p at most 0.05", "p at most 0.01"]
    question = "Are p-values uniform under random scores?"
    store("p_values", question, f"{DRAWS:,} draws.\n\n{table(rows, head)}", rows)


if __name__ == "__main__":
    main()
