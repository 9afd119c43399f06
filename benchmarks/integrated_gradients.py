"""How exact are integrated gradients, and at what cost, beside captum's default?

The story model, mean-embedding baseline for both, log-probability of the next token; the reference
is the midpoint rule with 1,215 points. Captum runs its default: Gauss-Legendre, 50 steps.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

import whence
from benchmarks.common import median, model_folder, prompts, store, table

ZERO_STEPS = 50


def relative(result: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(result - truth) / np.linalg.norm(truth))


def main(count: int = 20) -> None:
    model = whence.load(model_folder("stories260K"))
    mean = torch.tensor(model.mean_embedding())
    data: dict[str, dict[str, list[float]]] = {}

    def keep(name: str, **values: float) -> None:
        for key, value in values.items():
            data.setdefault(name, {}).setdefault(key, []).append(value)

    for text in prompts(count, 14):
        encoding = model.encode(text)
        token = int(model.readout(encoding, [whence.NextToken()]).outputs[0].target.token)
        target = whence.NextToken(token=token)

        def ours(baseline: str, budget: int | None, tolerance: float, t=text, g=target):
            return whence.explain(
                model,
                t,
                method=whence.IntegratedGradients(baseline=baseline, tolerance=tolerance),
                unit="token",
                target=g,
                budget=budget,
                trust="off",
            )

        truth = ours("mean", 1217, 1e-12).scores[:, 0]
        result = ours("mean", None, 0.01)
        keep(
            "whence, mean baseline",
            error=relative(result.scores[:, 0], truth),
            residual=float(result.completeness.relative[0]),
            passes=result.provenance.cost.gradient_evaluations,
            seconds=result.provenance.cost.seconds,
        )
        result = ours("zero", None, 0.01)
        keep(
            "whence, zero baseline",
            residual=float(result.completeness.relative[0]),
            passes=result.provenance.cost.gradient_evaluations,
            seconds=result.provenance.cost.seconds,
            told=float(result.outcome != "converged"),
        )

        ids = torch.tensor(encoding.ids[None])
        module = model.module

        def forward(embedded, module=module, token=token):
            logits = module(inputs_embeds=embedded).logits[:, -1].float()
            return torch.log_softmax(logits, dim=1)[:, token]

        from captum.attr import IntegratedGradients

        embedded = module.get_input_embeddings()(ids).detach()
        frozen = torch.tensor(encoding.frozen)
        for name, base in (("mean", mean), ("zero", torch.zeros_like(mean))):
            start = embedded.clone()
            start[0, ~frozen] = base
            began = time.perf_counter()
            scores, delta = IntegratedGradients(forward).attribute(
                embedded, baselines=start, n_steps=ZERO_STEPS, return_convergence_delta=True
            )
            seconds = time.perf_counter() - began
            per_token = scores[0].sum(dim=1).detach().numpy()[~encoding.frozen]
            with torch.no_grad():
                rise = float(forward(embedded) - forward(start))
            values = {"residual": abs(float(delta)) / abs(rise), "passes": ZERO_STEPS + 2}
            if name == "mean" and len(per_token) == len(truth):
                values["error"] = relative(per_token, truth)
            keep(f"captum, {name} baseline", seconds=seconds, **values)

    def cell(name: str, key: str, form: str) -> str:
        values = data[name].get(key)
        return "" if not values else format(median(values), form)

    rows = [
        [
            name,
            cell(name, "error", ".4f"),
            cell(name, "residual", ".4f"),
            cell(name, "passes", ".0f"),
            cell(name, "seconds", ".3f"),
            cell(name, "told", ".0%"),
        ]
        for name in data
    ]
    head = [
        "run",
        "error",
        "completeness residual",
        "passes",
        "seconds",
        "says it did not converge",
    ]
    text = f"{count} prompts; medians. Error: relative L2 against 1,215 points.\n\n" + table(
        rows, head
    )
    store("integrated_gradients", "Integrated gradients: error and cost", text, data)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
