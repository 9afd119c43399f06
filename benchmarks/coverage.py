"""Do standard errors and intervals hold the truth, and do more evaluations lower the error?

Twelve features, so that all 4,096 coalitions give the exact scores. The games are those of
``tests/attribution/test_game_methods.py``. Measurements on a pool of masks are compared with those on
40,000 masks drawn alike. ``python -m benchmarks.coverage [SEEDS]``, 300 by default.
"""

from __future__ import annotations

import sys

import numpy as np
from tests.attribution.test_game_methods import GAMES

from benchmarks.common import store, table
from whence.attribution import KernelShap, Lime
from whence.evaluation.instance import Instance
from whence.evaluation.mask_pool import Pool, pool_of
from whence.evaluation.metrics.infidelity import Infidelity
from whence.evaluation.metrics.pool_fidelity import PoolFidelity
from whence.games import FunctionGame

POOLS = (32, 64, 256)
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


def many_masks(name: str) -> Pool:
    """Masks drawn as those of a pool are, with repetition."""
    rng = np.random.default_rng(0)
    first = np.argsort(rng.random((20_000, N)), axis=1) < rng.integers(1, N, size=(20_000, 1))
    masks = np.stack([first, ~first], axis=1).reshape(-1, N)
    values = np.asarray(GAMES[name](masks), dtype=np.float64)[:, None]
    full = np.asarray(GAMES[name](np.ones((1, N), dtype=bool)), dtype=np.float64)
    return Pool(masks, values, full, complete=True, seed=0)


def pool_rows(seeds: int) -> list[list[str]]:
    """Share of the intervals that hold the truth, of each measurement, game and size of the pool."""
    rows = []
    scores = np.random.default_rng(1).normal(size=N)
    for name, function in GAMES.items():
        game = FunctionGame(N, function)
        exact = KernelShap().estimate(game, budget=1 << N, seed=0).scores[:, 0]
        # Partly right, as scores of a method are.
        phi = exact + 0.5 * np.linalg.norm(exact) * scores / np.linalg.norm(scores)
        truth = Instance(game, many_masks(name))
        metrics = (PoolFidelity(resamples=300), Infidelity(resamples=300))
        right = [metric.measure(truth, phi).value for metric in metrics]
        share = truth.additive.share
        held: dict[tuple[str, int], list[bool]] = {}
        for size in POOLS:
            for seed in range(seeds):
                instance = Instance(game, pool_of(game, size, seed=seed))
                for metric, value in zip(metrics, right, strict=True):
                    interval = metric.measure(instance, phi).interval
                    if interval is not None:
                        inside = interval.low - 1e-9 <= value <= interval.high + 1e-9
                        held.setdefault((metric.name, size), []).append(inside)
                interval = instance.additive.interval
                if interval is not None and share is not None:
                    inside = interval.low - 1e-6 <= share <= interval.high + 1e-6
                    held.setdefault(("additive share", size), []).append(inside)
        for kind in ("pool-fidelity", "infidelity", "additive share"):
            cells = [held.get((kind, size)) for size in POOLS]
            shown = ["none" if cell is None else f"{np.mean(cell):.3f}" for cell in cells]
            rows.append([kind, name, *shown])
    return rows


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
        + f"\n\nShare of 95 % intervals that hold the value at 40,000 masks, by the size of the pool; "
        f"one standard error at .95 is {np.sqrt(0.0475 / seeds):.3f}.\n\n"
        + table(pool_rows(seeds), ["measurement", "game", *map(str, POOLS)])
    )
    store("coverage", (__doc__ or "").split("\n")[0], text, data)


if __name__ == "__main__":
    main(*[int(a) for a in sys.argv[1:2]])
