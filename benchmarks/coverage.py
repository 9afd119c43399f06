"""Do more evaluations lower the error of sampled scores, and do their standard errors cover it?

Twelve features, so that all 4,096 coalitions give the exact scores. The games are those of
``tests/attribution/test_game_methods.py``. ``python -m benchmarks.coverage [SEEDS]``, 300 by default.
"""

from __future__ import annotations

import sys

import numpy as np
from tests.attribution.test_game_methods import GAMES

from benchmarks.common import store, table
from whence.attribution import KernelShap, Lime
from whence.games import FunctionGame

N, MULTIPLES = 12, (2, 3, 4, 7, 9, 10, 20, 40, 273)


def measured(name: str, method: KernelShap | Lime, budget: int, seeds: int) -> dict[str, float]:
    exact = method.estimate(FunctionGame(N, GAMES[name]), budget=1 << N, seed=0).scores
    errors, within = [], []
    for seed in range(seeds):
        result = method.estimate(FunctionGame(N, GAMES[name]), budget=budget, seed=seed)
        errors.append(np.linalg.norm(result.scores - exact) / np.linalg.norm(exact))
        assert result.std_errors is not None
        # A score without a standard error (NaN) prints no interval, and so covers nothing.
        if np.isfinite(result.std_errors).all():
            within.append(np.abs(result.scores - exact) <= 1.96 * result.std_errors + 1e-12)
    cover = float(np.mean(within)) if within else float("nan")
    return {"error": float(np.mean(errors)), "coverage": cover}


def main(seeds: int = 300) -> None:
    data, rows = {}, []
    for method in (KernelShap(), Lime()):
        for name in GAMES:
            cells = [measured(name, method, m * N, seeds) for m in MULTIPLES]
            data[f"{type(method).__name__} {name}"] = cells
            shown = [
                f"{c['error']:.3f} / "
                + ("none" if np.isnan(c["coverage"]) else f"{c['coverage']:.3f}")
                for c in cells
            ]
            rows.append([type(method).__name__, name, *shown])
    text = (
        f"{seeds} seeds. Mean relative L2 error / share of scores within 1.96 standard errors of the "
        "value at all 4,096 coalitions (none: no standard error is given).\n\n"
        + table(rows, ["method", "game", *[f"{m}n" for m in MULTIPLES]])
    )
    store("coverage", (__doc__ or "").split("\n")[0], text, data)


if __name__ == "__main__":
    main(*[int(a) for a in sys.argv[1:2]])
