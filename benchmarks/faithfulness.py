"""Which methods are faithful on a real classifier, and which are plausible to people?

Sentences of the Stanford Sentiment Treebank that `minilm-sst2` decides correctly. Faithfulness is
measured by the model's own answers; plausibility, separately, against the words to which people
gave the sentence's sentiment when they saw them alone. A second table gives the cost of a default
trust label on a text of 64 tokens.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import whence
from benchmarks.common import SHARED, median, model_folder, store, table
from whence.core import Span, UndefinedError
from whence.evaluation.metrics.base import Metric
from whence.evaluation.metrics.registry import METRICS
from whence.games.question import ask
from whence.workflows.select import CANDIDATES

SENTENCES = 30
LEAF = re.compile(r"\((\d) ([^()\s]+)\)")
LONG = (
    "The first half of this film is slow and at times it is hard to care about anyone in it, but "
    "once the family leaves the city the story finds its feet, the two leads are warm and funny "
    "together, and the last twenty minutes are as moving as anything I have seen in a long while, "
    "even if the final scene is a little too neat."
)


def metrics() -> list[Metric]:
    """The metrics of the table: all that need no more than the model's answers and the spans."""
    return [metric() for metric in METRICS.values() if set(metric.needs) <= {"spans"}]


def sentences() -> Iterator[tuple[str, str, list[Span]]]:
    """Text, sentiment, and the spans of the words that people gave that sentiment."""
    path = SHARED / "data" / "sst_trees" / "test.txt"
    if not path.is_file():
        sys.exit(f"the treebank is not here ({path}); set WHENCE_SHARED")
    for line in path.read_text("utf-8").splitlines():
        root = int(line[1])
        leaves = [(int(label), word) for label, word in LEAF.findall(line)]
        if root == 2 or not 8 <= len(leaves) <= 20:
            continue
        positive = root > 2
        text, spans = "", []
        for label, word in leaves:
            start = len(text) + bool(text)
            text = f"{text} {word}" if text else word
            if label != 2 and (label > 2) == positive:
                spans.append(Span(start=start, end=len(text)))
        if spans:
            yield text, "positive" if positive else "negative", spans


def with_interval(values: Sequence[float]) -> str:
    held = np.array(values, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(len(held), size=(2000, len(held)))
    low, high = np.quantile(held[drawn].mean(axis=1), [0.025, 0.975])
    return f"{held.mean():.2f} ({low:.2f} to {high:.2f})"


def judged(model: Any) -> tuple[list[list[str]], dict[str, Any]]:
    result: dict[str, dict[str, list[float]]] = {}
    kept, judging = 0, []
    for text, sentiment, spans in sentences():
        if kept == SENTENCES:
            break
        if ask(model, text).decision.text != sentiment:
            continue
        kept += 1
        compared = whence.compare(model, text, methods=CANDIDATES, seed=kept)
        judging.append(compared.judging)
        instance = replace(compared.instance, spans=tuple(spans))
        for name, explanation in compared.explanations.items():
            row = result.setdefault(name, {})
            scores = np.asarray(explanation.scores[:, 0])
            for metric in metrics():
                try:
                    value = metric.measure(instance, scores).value
                except UndefinedError:
                    continue
                row.setdefault(metric.name, []).append(value)
            row.setdefault("p at most 0.05", []).append(float(compared.p_values[name] <= 0.05))
            cost = explanation.provenance.cost
            row.setdefault("evaluations", []).append(
                float(cost.evaluations + cost.gradient_evaluations)
            )
    order = sorted(result, key=lambda name: -float(np.mean(result[name]["pool-fidelity"])))
    names = [*(metric.name for metric in metrics()), "p at most 0.05", "evaluations"]
    rows = [
        [name, *(cell(name, result[method].get(name, [])) for method in order)] for name in names
    ]
    return [["metric", *order], *rows], {"values": result, "judging": judging}


def cell(name: str, values: Sequence[float]) -> str:
    """The mean over sentences; a metric without a value on some is averaged over the others."""
    if not values:
        return "none"
    return f"{np.mean(values):,.0f}" if name == "evaluations" else with_interval(values)


def label_cost(model: Any) -> tuple[list[list[str]], dict[str, Any]]:
    rows, data = [], {}
    for method in ("kernel-shap", "leave-one-out", "integrated-gradients"):
        for level in ("quick", "default"):
            seconds, evaluations = [], 0
            for seed in range(3):
                result = whence.explain(model, LONG, method=method, trust="off", seed=seed)
                before = time.perf_counter()
                label = whence.judge(model, result, level=level).trust
                seconds.append(time.perf_counter() - before)
                assert label is not None
                evaluations = label.cost.evaluations + label.cost.gradient_evaluations
            rows.append([method, level, f"{median(seconds):.1f}", f"{evaluations:,}"])
            data[f"{method} {level}"] = seconds
    return [["method", "label", "seconds, median of 3", "evaluations"], *rows], data


def main() -> None:
    model = whence.load(model_folder("minilm-sst2"), dtype="float32")
    load = os.getloadavg()[0]
    first, values = judged(model)
    second, seconds = label_cost(model)
    tokens = len(ask(model, LONG).encoding.ids)
    text = (
        f"{SENTENCES} sentences of 8 to 20 words; in brackets the 95 % bootstrap interval over "
        f"sentences. Judging took {np.mean(values['judging']):.0f} evaluations a sentence, for all "
        f"methods together, beside their own.\n\n{table(first[1:], first[0])}\n\n"
        f"Label of a text of {tokens} tokens (load average {load:.1f} on {os.cpu_count()} cores):"
        f"\n\n{table(second[1:], second[0])}"
    )
    data = {**values, "seconds": seconds, "load": load, "tokens": tokens}
    store("faithfulness", __doc__.split("\n")[0], text, data)
    print(text)


if __name__ == "__main__":
    main()
