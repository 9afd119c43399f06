"""Which scores of a context's sentences predict what removals do to the answer?

The story model reads 12 sentences and is asked for a continuation; the score is the correlation of
predicted and real values on 400 random halves that no method saw (the linear datamodelling score of
arXiv:2202.00622). Without that model: sentences of notes for ``embedded:decider``.
``python -m benchmarks.context_attribution [TEXTS] [SEEDS]``, 8 and 8 by default.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from scipy.stats import rankdata

import whence
from benchmarks.common import SHARED, store, table
from whence.attribution import KernelShap, LeaveOneOut, Lime, LinearDatamodel
from whence.games import FunctionGame
from whence.games.question import ask

N, BUDGETS, HOLDOUT = 12, (16, 32, 64, 128), 400
METHODS = (LinearDatamodel(), KernelShap(guide=False), Lime(), LeaveOneOut())
SENTENCES = [
    "Lily had a red ball",
    "Tom had a big dog",
    "The dog liked to run in the park",
    "Mom made a cake",
    "It was a sunny day",
    "Ben lost his hat",
    "The cat sat on the bed",
    "They saw a little bird",
    "The bird was sad",
    "Sara gave it some food",
    "The boat was on the lake",
    "Max was very tired",
    "Anna found a key",
    "Dad fixed the car",
    "The tree was tall",
    "Mia liked to sing.",
]
ANSWERS = (
    " Lily wanted to play with her ball.",
    " The dog was happy and ran.",
    " The bird flew away.",
    " Mom and Lily ate the cake.",
)


def lasso(game: FunctionGame, *, budget: int, seed: int) -> np.ndarray:
    """Independent halves and a Lasso of cross-validated strength, as ContextCite's users would run it."""
    from sklearn.linear_model import LassoCV

    rows = np.random.default_rng(seed).random((budget, game.n)) < 0.5
    model = LassoCV(cv=5, max_iter=20_000, random_state=0).fit(rows, game(rows)[:, 0])
    return model.coef_


def values(index: int) -> np.ndarray:
    """The values of all 4,096 coalitions of one text, so that every method can be repeated."""
    rng = np.random.default_rng(index)
    folder = SHARED / "models" / "stories260K"
    model = whence.load(folder if folder.is_dir() else "embedded:decider")
    text = ". ".join(s.rstrip(".") for s in rng.permutation(SENTENCES)[:N]) + "."
    answer = ANSWERS[index % 4] if index < 4 else None
    question = ask(model, text, target=whence.Continuation(text=answer), unit="sentence")
    assert len(question.segmentation) == N, question.segmentation
    return question.game()(np.array(list(itertools.product([False, True], repeat=N))))[:, 0]


def measured(known: np.ndarray, budget: int, seed: int) -> dict[str, tuple[float, float]]:
    """Spearman and Pearson correlation of each method's predictions with the values."""
    powers = 1 << np.arange(N)[::-1]
    holdout = np.random.default_rng([seed, 1]).random((HOLDOUT, N)) < 0.5
    real = known[holdout @ powers]
    results = {}
    for method in METHODS:
        game = FunctionGame(N, lambda rows: known[rows @ powers])
        spent = LeaveOneOut().least(N) if isinstance(method, LeaveOneOut) else budget
        scores = method.estimate(game, budget=spent, seed=seed).scores[:, 0]
        results[type(method).__name__] = scores
    game = FunctionGame(N, lambda rows: known[rows @ powers])
    results["Lasso of independent halves"] = lasso(game, budget=budget, seed=seed)
    return {name: agreement(holdout @ scores, real) for name, scores in results.items()}


def agreement(predicted: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """Spearman and Pearson correlation; a constant predicts nothing, which is 0."""
    if np.ptp(predicted) == 0:
        return 0.0, 0.0
    ranks = np.corrcoef(rankdata(predicted), rankdata(real))[0, 1]
    return float(ranks), float(np.corrcoef(predicted, real)[0, 1])


def main(texts: int = 8, seeds: int = 8) -> None:
    games = [values(index) for index in range(texts)]
    data: dict[str, dict[int, list[float]]] = {}
    for budget in BUDGETS:
        runs = [measured(known, budget, seed) for known in games for seed in range(seeds)]
        for name in runs[0]:
            pairs = np.mean([run[name] for run in runs], axis=0)
            data.setdefault(name, {})[budget] = pairs.tolist()
    rows = [
        [name, *[f"{cells[b][0]:.3f} / {cells[b][1]:.3f}" for b in BUDGETS]]
        for name, cells in sorted(data.items(), key=lambda item: -item[1][BUDGETS[1]][0])
    ]
    text = (
        f"{texts} texts of {N} sentences, {seeds} seeds, {HOLDOUT} halves. Spearman / Pearson "
        f"correlation; LeaveOneOut always takes its {LeaveOneOut().least(N)} evaluations.\n\n"
        + table(rows, ["method", *[f"{b} evaluations" for b in BUDGETS]])
    )
    store("context_attribution", (__doc__ or "").split("\n")[0], text, data)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
