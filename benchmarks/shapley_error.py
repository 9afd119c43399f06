"""How far are Shapley estimates from the exact values, at equal numbers of evaluations?

Real games: 14 words of a prompt, word deletion, log-probability of the story model's own
continuation; exact values from all 16,384 coalitions. Other tools get the same game as a function.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from scipy.stats import spearmanr

import whence
from benchmarks.common import median, model_folder, prompts, store, table
from whence.attribution import KernelShap, PermutationShap, ShapleyValues
from whence.attribution.perturbation.shapley_values import all_coalitions
from whence.games import FunctionGame, MemoryCache

WORDS, MULTIPLES, SEEDS = 14, (4, 10, 20, 40, 80), 3


def tables(count: int) -> list[np.ndarray]:
    """For each prompt the value of every coalition."""
    from whence.games.question import ask

    model = whence.load(model_folder("stories260K"))
    result = []
    for text in prompts(count, WORDS):
        target = (whence.Continuation(max_new_tokens=4),)
        question = ask(model, text, target=target, masker="deletion")
        game = question.game(cache=MemoryCache(), token_budget=8192)
        result.append(game(all_coalitions(game.n))[:, 0])
    return result


def ours(values: np.ndarray, budget: int, seed: int) -> np.ndarray:
    powers = 1 << np.arange(WORDS)
    game = FunctionGame(WORDS, lambda rows: values[rows @ powers], budget=budget)
    return KernelShap().estimate(game, budget=budget, seed=seed).scores[:, 0]


def leverage(values: np.ndarray, budget: int, seed: int) -> np.ndarray:
    powers = 1 << np.arange(WORDS)
    game = FunctionGame(WORDS, lambda rows: values[rows @ powers], budget=budget)
    method = KernelShap(design="leverage")
    return method.estimate(game, budget=budget, seed=seed).scores[:, 0]


def orders(values: np.ndarray, budget: int, seed: int) -> np.ndarray:
    powers = 1 << np.arange(WORDS)
    game = FunctionGame(WORDS, lambda rows: values[rows @ powers], budget=budget)
    return PermutationShap().estimate(game, budget=budget, seed=seed).scores[:, 0]


def captum_kernel(values: np.ndarray, budget: int, seed: int) -> np.ndarray:
    from captum.attr import KernelShap as Captum

    powers = 1 << np.arange(WORDS)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - captum draws from the global generators

    def function(rows):
        return torch.tensor(values[rows.numpy().astype(bool) @ powers], dtype=torch.float64)

    ones = torch.ones(1, WORDS, dtype=torch.float64)
    return Captum(function).attribute(ones, n_samples=budget)[0].numpy()


def shap_kernel(values: np.ndarray, budget: int, seed: int) -> np.ndarray:
    import shap

    powers = 1 << np.arange(WORDS)
    np.random.seed(seed)  # noqa: NPY002 - shap draws from the global generator
    explainer = shap.KernelExplainer(
        lambda rows: values[rows.astype(bool) @ powers], np.zeros((1, WORDS))
    )
    result = explainer.shap_values(
        # Its default keeps ten features and sets the others to zero.
        np.ones((1, WORDS)),
        nsamples=budget - 2,
        l1_reg=False,
        silent=True,
    )
    return np.asarray(result).reshape(-1)


def shapiq_kernel(values: np.ndarray, budget: int, seed: int) -> np.ndarray:
    import shapiq

    powers = 1 << np.arange(WORDS)
    approximator = shapiq.KernelSHAP(n=WORDS, random_state=seed)
    result = approximator.approximate(
        budget, lambda rows: values[np.asarray(rows).astype(bool) @ powers] - values[0]
    )
    return np.array([result[(i,)] for i in range(WORDS)])


def shapiq_svarm(values: np.ndarray, budget: int, seed: int) -> np.ndarray:
    import shapiq

    powers = 1 << np.arange(WORDS)
    result = shapiq.SVARM(n=WORDS, random_state=seed).approximate(
        budget, lambda rows: values[np.asarray(rows).astype(bool) @ powers] - values[0]
    )
    return np.array([result[(i,)] for i in range(WORDS)])


def lasso(values: np.ndarray, budget: int, seed: int) -> np.ndarray:
    """The surrogate of ContextCite: Lasso on independent half-present masks (arXiv:2409.00729)."""
    from sklearn.linear_model import Lasso
    from sklearn.preprocessing import StandardScaler

    powers = 1 << np.arange(WORDS)
    rows = np.random.default_rng(seed).random((budget, WORDS)) < 0.5
    scaler = StandardScaler()
    model = Lasso(alpha=0.01).fit(scaler.fit_transform(rows.astype(float)), values[rows @ powers])
    return model.coef_ / scaler.scale_


METHODS = {
    "whence KernelShap": ours,
    "whence KernelShap, leverage design": leverage,
    "whence PermutationShap": orders,
    "captum KernelShap": captum_kernel,
    "shap KernelExplainer, l1_reg=False": shap_kernel,
    "shapiq KernelSHAP": shapiq_kernel,
    "shapiq SVARM": shapiq_svarm,
    "ContextCite-type Lasso": lasso,
}


def main(count: int = 20) -> None:
    games = tables(count)
    powers = 1 << np.arange(WORDS)
    exact = [
        ShapleyValues()
        .estimate(FunctionGame(WORDS, lambda rows, v=v: v[rows @ powers]), budget=1 << 14, seed=0)
        .scores[:, 0]
        for v in games
    ]
    data, rows = {}, []
    for name, method in METHODS.items():
        cells = []
        for multiple in MULTIPLES:
            errors, ranks = [], []
            for values, truth in zip(games, exact, strict=True):
                for seed in range(SEEDS):
                    result = method(values, multiple * WORDS, seed)
                    errors.append(np.linalg.norm(result - truth) / np.linalg.norm(truth))
                    ranks.append(spearmanr(result, truth).statistic)
            data.setdefault(name, {})[multiple] = {"error": errors, "spearman": ranks}
            cells.append(f"{median(errors):.3f} / {median(ranks):.2f}")
        rows.append([name, *cells])
    head = ["method", *[f"{m}n = {m * WORDS}" for m in MULTIPLES]]
    text = (
        f"{count} prompts of 14 words, {SEEDS} seeds each. Median relative L2 error / Spearman "
        "against the exact values. The Lasso estimates another quantity, hence its floor.\n\n"
        + table(rows, head)
    )
    store("shapley_error", "Shapley error against the exact values", text, data)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
