"""Do intervals of kappa, F1 and prices hold where student and teacher nearly always agree?

Tables drawn at random from a known one, for which the true value follows; a resample of the rows
(the percentile bootstrap) stands beside. ``python -m benchmarks.table_intervals [RUNS]``, 1,000 by default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from benchmarks.common import store, table
from whence.core.statistics.imagined_row import Statistic, mean_interval, table_interval
from whence.core.statistics.proportions import Interval, bootstrap
from whence.students.certificate.fidelity import kappa, table_kappa, table_macro_f1

AGREEMENTS, SIZES = (0.90, 0.97, 0.99), (30, 60, 120, 300)
SHARES = {
    "two labels, .5 and .5": (0.5, 0.5),
    "two labels, .9 and .1": (0.9, 0.1),
    "two labels, .97 and .03": (0.97, 0.03),
    "four labels, .4 to .1": (0.4, 0.3, 0.2, 0.1),
}
RESAMPLED = 100
"""Runs of the bootstrap, each of 400 resamples: slow, and far enough off for so few."""

Measure = Callable[[np.ndarray, np.ndarray, int], Interval]


def table_of(shares: tuple[float, ...], agreement: float) -> np.ndarray:
    """Chances of each pair of labels, where disagreement goes to every other label alike."""
    k = len(shares)
    each = np.repeat(np.array(shares)[:, None] * (1 - agreement) / (k - 1), k, axis=1)
    np.fill_diagonal(each, np.array(shares) * agreement)
    return each


def covered(chances: np.ndarray, truth: float, n: int, runs: int, measure: Measure) -> float:
    """The share of the intervals, among those that are given, that hold the truth."""
    k, rng, held = len(chances), np.random.default_rng(n), list[bool]()
    for seed in range(runs):
        cells = rng.choice(k * k, size=n, p=chances.ravel())
        interval = measure(cells // k, cells % k, seed)
        if np.isfinite(interval.lower):
            held.append(interval.lower <= truth <= interval.upper)
    return float(np.mean(held))


def of_table(statistic: Statistic) -> Measure:
    return lambda a, b, seed: table_interval(statistic, a, b, seed=seed)


def resampled(a: np.ndarray, b: np.ndarray, seed: int) -> Interval:
    return bootstrap(lambda rows: kappa(a[rows], b[rows]), len(a), draws=400, seed=seed)


def of_difference(a: np.ndarray, b: np.ndarray, seed: int) -> Interval:
    return mean_interval((b - a).astype(np.float64), (-1.0, 1.0), seed=seed)


def resampled_difference(a: np.ndarray, b: np.ndarray, seed: int) -> Interval:
    return bootstrap(lambda rows: float((b - a)[rows].mean()), len(a), draws=400, seed=seed)


def main(runs: int = 1000) -> None:
    rows, data = [], {}

    def row(name: str, chances: np.ndarray, truth: float, measure: Measure, count: int) -> None:
        shares = [covered(chances, truth, n, count, measure) for n in SIZES]
        rows.append([name, f"{truth:.3f}", *[f"{share:.3f}" for share in shares]])
        data[name] = shares

    for label, shares in SHARES.items():
        for agreement in AGREEMENTS:
            chances = table_of(shares, agreement)
            margins = np.diag(chances), chances.sum(axis=1), chances.sum(axis=0)
            for name, statistic in {"kappa": table_kappa, "macro-F1": table_macro_f1}.items():
                truth = float(statistic(*margins))
                row(
                    f"{name}, {label}, agreement {agreement}",
                    chances,
                    truth,
                    of_table(statistic),
                    runs,
                )
            row(
                f"kappa by bootstrap, {label}, agreement {agreement}",
                chances, float(table_kappa(*margins)), resampled, min(runs, RESAMPLED),
            )  # fmt: skip
    for agreement in AGREEMENTS:
        # First the student and then the ceiling, by whether each agrees (1) with the teacher: both
        # miss a text alike in half of the misses, or only one of them does.
        miss = 1 - agreement
        for name, lost in {"none": miss / 2, "as much": 3 * miss / 2}.items():
            chances = np.array([[miss / 2, lost], [miss / 2, 1 - miss - lost]])
            truth = lost - miss / 2
            for how, measure, count in (
                ("", of_difference, runs),
                (" by bootstrap", resampled_difference, min(runs, RESAMPLED)),
            ):
                row(
                    f"price{how}, agreement of the ceiling {agreement}, lost: {name}",
                    chances, truth, measure, count,
                )  # fmt: skip
    text = (
        f"Share of 95 % intervals that hold the true value; {runs:,} runs (of the bootstrap "
        f"{min(runs, RESAMPLED)}). Above .95 the interval is wider than it had to be. Runs without a "
        "kappa (both gave one label alone) print no interval and are not counted.\n\n"
        + table(rows, ["interval", "truth", *[f"n = {n}" for n in SIZES]])
    )
    store("table_intervals", (__doc__ or "").split("\n")[0], text, data)


if __name__ == "__main__":
    main(*[int(a) for a in sys.argv[1:2]])
