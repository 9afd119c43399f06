"""How faithful is the default explanation of a long text, with and without a gradient as guide?

Notes of about 200 words for ``embedded:health``, and film reviews for minilm-sst2. Without a guide
KernelShap asks 8 evaluations a word. Pool fidelity on 256 masks that neither has seen.
``python -m benchmarks.long_texts [TEXTS]``, 4 of each by default.
"""

from __future__ import annotations

import sys

import numpy as np

import whence
from benchmarks.common import SHARED, median, model_folder, store, table
from whence.attribution import KernelShap
from whence.attribution.run import answer, plan_for
from whence.cases import generate
from whence.evaluation.mask_pool import draw_masks
from whence.evaluation.metrics.pool_fidelity import fidelities
from whence.games.question import ask

WORDS = 165
METHODS = {"guided": KernelShap(), "not guided": KernelShap(guide=False)}


def notes(count: int) -> list[str]:
    """Notes of one ward's day: cases of the generator, one after the other."""
    cases = iter(generate("health", 12 * count, seed=77))
    result = []
    for _ in range(count):
        text = ""
        while len(text.split()) < WORDS:
            text = f"{text} {next(cases).text}".strip()
        result.append(text)
    return result


def reviews(count: int) -> list[str]:
    path = SHARED / "data" / "counterfactual_imdb_snli" / "sentiment" / "orig" / "test.tsv"
    if not path.is_file():
        sys.exit(f"the reviews are not here ({path}); set WHENCE_SHARED")
    rows = [line.split("\t")[1].strip() for line in path.read_text("utf-8").splitlines()[1:]]
    return [row for row in rows if 180 <= len(row.split()) <= 215][:count]


def main(count: int = 4) -> None:
    tasks = {
        "embedded:health": (whence.load("embedded:health"), notes(count)),
        "minilm-sst2": (whence.load(model_folder("minilm-sst2"), dtype="float32"), reviews(count)),
    }
    rows, data = [], {}
    for task, (model, texts) in tasks.items():
        for name, method in METHODS.items():
            values, spent = [], []
            for text in texts:
                question = ask(model, text)
                result = answer(question, plan_for(question, method))
                masks = draw_masks(len(question.segmentation), 256, 12345)
                answers = question.game()(masks)[:, 0]
                values.append(float(fidelities(masks, answers, result.scores[:, 0][None])[0]))
                cost = result.provenance.cost
                spent.append(cost.evaluations + cost.gradient_evaluations)
            data[f"{task} {name}"] = {"fidelity": values, "evaluations": spent}
            each = ", ".join(f"{value:.2f}" for value in values)
            rows.append([task, name, f"{np.mean(values):.3f}", each, f"{median(spent):,.0f}"])
    text = f"{count} texts of each.\n\n" + table(
        rows, ["model", "KernelShap", "pool fidelity, mean", "each text", "evaluations, median"]
    )
    store("long_texts", (__doc__ or "").split("\n")[0], text, data)


if __name__ == "__main__":
    main(*[int(a) for a in sys.argv[1:2]])
