"""Does pool fidelity separate true explanations from false ones? Measured where reasons are known.

    python examples/train_tasks.py                      # the models, once
    python -m benchmarks.calibration                    # judge 60 held-out items of each
    python -m benchmarks.calibration --ship             # also write the table the label reads

Every cheap method explains every item that its model answers correctly. Each explanation is judged
by the model's answers on the mask pool (fidelity, p, percentiles of comprehensiveness and
sufficiency) and, separately, by the known reasons (average precision, precision at k).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import whence
from benchmarks.common import HERE, store, table
from ground_truth import RULES, TASKS, RuleModel, TaskItem, reciprocal_rank
from whence.attribution.registry import METHODS
from whence.attribution.run import answer, plan_for
from whence.core.errors import BudgetError, CapabilityError, OptionError
from whence.core.registry import slug
from whence.evaluation.additive_surrogate import additive_fit
from whence.evaluation.instance import Instance, instance_of
from whence.evaluation.mask_pool import SIZES
from whence.evaluation.metrics.erasure import Comprehensiveness, Sufficiency
from whence.evaluation.metrics.pool_fidelity import fidelities
from whence.evaluation.metrics.ranking import average_precision, precision_at_k
from whence.evaluation.trust.calibration import RISK, additive_enough, family_of, risk_controlled
from whence.evaluation.trust.checks import better_than_chance
from whence.games.cache import MemoryCache
from whence.games.question import ask

BUILD = HERE.parent / "examples" / "build" / "tasks"
DEAR = {"ShapleyValues"}
"""Methods left out: exact Shapley values take 2^n evaluations."""
SEED = 7_000_003
LEVELS = ("quick", "default")
COLUMNS: Sequence[str] = (
    "model task architecture method item level fidelity p chance share additive comp suff ap pk k n".split()  # noqa: SIM905
)
DOSES = (0.0, 0.25, 0.5, 0.75, 1.0)
RULE, BY = "Rule", "Bert"
"""The architecture that rules are stored under, and the family whose thresholds judge them."""
FOUND = 0.8
"""Precision at k from which an explanation counts as right."""

Row = list[Any]


def models(build: Path, *, cases: bool = True) -> Iterator[tuple[str, str, Any, Path]]:
    """Name, task, what to load, and where to keep what was judged, of every model kept."""
    for card in sorted(build.glob("*/*/card.json")):
        facts = json.loads(card.read_text())
        if facts["passed"]:
            name = f"{card.parent.parent.name}/{card.parent.name}"
            yield name, facts["task"], card.parent, card.parent
    for task in TASKS.values() if cases else ():
        for ref in task.models:
            place = build / task.name
            place.mkdir(parents=True, exist_ok=True)
            yield ref, task.name, ref, place
    for name in RULES:
        place = build / name
        place.mkdir(parents=True, exist_ok=True)
        yield name, name, RuleModel(kind=name.removeprefix("rule-")), place


def judge(name: str, task: str, ref: Any, count: int) -> dict[str, Any]:
    """Rows of every explanation of a model's held-out items, and its dose-response curves."""
    model: Any = whence.load(ref)
    # Rules belong to no family: they are judged by the thresholds of one, and set none.
    architecture = RULE if name in RULES else model.identity.architecture
    rows: list[Row] = []
    doses: list[list[float]] = []
    kept = seen = 0
    seconds: dict[str, float] = {}
    for index, item in enumerate(TASKS[task].items(4 * count, seed=SEED)):
        if kept == count:
            break
        seen += 1
        question = ask(model, item.text)
        relevant = item.relevant(question.segmentation)
        n = len(relevant)
        # Where labels are by chance no answer is right, and every text is looked at.
        wrong = name not in RULES and question.decision.text != item.label
        unusable = wrong or n < 3 or relevant.all()
        if item.truth and unusable:
            continue
        kept += 1
        cache = MemoryCache()
        instances = {
            level: instance_of(question, size=SIZES[level], cache=cache) for level in LEVELS
        }
        fits = {level: additive_fit(instance.pool) for level, instance in instances.items()}
        for method in METHODS:
            if method in DEAR:
                continue
            started = time.perf_counter()
            try:
                result = answer(question, plan_for(question, method), cache=cache, seed=index)
            except (BudgetError, CapabilityError, OptionError):
                continue
            seconds[method] = seconds.get(method, 0.0) + time.perf_counter() - started
            scores = result.scores[:, 0]
            truth = _truth(item, scores, relevant)
            for level, instance in instances.items():
                rows.append(
                    [
                        name,
                        task,
                        architecture,
                        slug(method),
                        index,
                        level,
                        *_judged(instance, scores),
                        *(_short(fits[level].share), additive_enough(fits[level])),
                        *(_percentiles(instance, scores) if level == "default" else (None, None)),
                        *truth,
                        n,
                    ]
                )
            if method == "KernelShap":
                doses.append(_dosed(instances["default"], scores, index))
    order = [COLUMNS.index(key) for key in COLUMNS]
    return {
        "rows": [[row[i] for i in order] for row in rows],
        "doses": doses,
        "answered": kept / max(1, seen),
        "seconds": {key: round(value / max(1, kept), 4) for key, value in seconds.items()},
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


def _judged(instance: Instance, scores: np.ndarray) -> list[Any]:
    """Fidelity, the p-value of shuffled scores, and whether the label's question passes."""
    chance = better_than_chance(instance, scores)
    fidelity, p = (m.value for m in chance.measurements[:2])
    return [_short(fidelity), _short(p), chance.finding == "pass"]


def _percentiles(instance: Instance, scores: np.ndarray) -> list[float | None]:
    gone = Comprehensiveness().erased(instance, scores)
    kept = Sufficiency().erased(instance, scores)
    return [_short(gone.percentile), _short(kept.percentile)]


def _truth(item: TaskItem, scores: np.ndarray, relevant: np.ndarray) -> list[Any]:
    if not relevant.any():
        return [None, None, 0]
    if item.either:
        return [
            _short(reciprocal_rank(scores, relevant)),
            _short(precision_at_k(scores, relevant, 1)),
            1,
        ]
    k = int(relevant.sum())
    return [
        _short(average_precision(scores, relevant)),
        _short(precision_at_k(scores, relevant, k)),
        k,
    ]


def _dosed(instance: Instance, scores: np.ndarray, seed: int) -> list[float]:
    """Fidelity of scores mixed with more and more noise of their own spread."""
    spread = float(scores.std()) or 1.0
    noise = np.random.default_rng(seed).normal(scale=spread, size=(20, len(scores)))
    curve: list[float] = []
    for dose in DOSES:
        mixed = (1 - dose) * scores + dose * noise
        result = fidelities(instance.pool.masks, instance.responses, mixed)
        curve.append(round(float(result.mean()), 4))
    return curve


# -- what the rows say ---------------------------------------------------------------------------


def within(rows: Sequence[Row], measure: str, truth: str = "ap") -> list[float]:
    """For each input, Spearman over its methods of a measure against the truth."""
    at, of = COLUMNS.index(measure), COLUMNS.index(truth)
    groups: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for row in rows:
        if row[of] is not None and row[at] is not None:
            groups.setdefault((row[0], row[4]), []).append((row[at], row[of]))
    result: list[float] = []
    for pairs in groups.values():
        left, right = np.array(pairs).T
        if len(pairs) > 3 and np.ptp(left) > 0 and np.ptp(right) > 0:
            correlation: Any = spearmanr(left, right)
            result.append(float(correlation.statistic))
    return result


def mean_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """A mean and its 95 % percentile bootstrap interval over inputs."""
    held = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(len(held), size=(2_000, len(held)))
    low, high = np.quantile(held[drawn].mean(axis=1), [0.025, 0.975])
    return float(held.mean()), float(low), float(high)


def least_fidelity(rows: Sequence[Row], risk: float = RISK) -> float | None:
    """The lowest threshold that holds the risk among explanations that may have grade A.

    Of these, and not of all: what may not have the grade anyway would water the risk down.
    """
    may = [row for row in rows if eligible(row)]
    if not may:
        return None
    fidelity = np.array([row[COLUMNS.index("fidelity")] for row in may], dtype=np.float64)
    wrong = np.array([row[COLUMNS.index("pk")] < FOUND for row in may])
    return risk_controlled(fidelity, wrong, [(row[0], row[4]) for row in may], risk=risk)


def eligible(row: Row) -> bool:
    return bool(row[COLUMNS.index("chance")] and row[COLUMNS.index("additive")])


def tried(rows: Sequence[Row], least: float | None) -> tuple[float, float]:
    """Of the explanations that pass, the share that is wrong; and of all, the share that passes."""
    place = COLUMNS.index("fidelity")
    passed = [r for r in rows if least is not None and r[place] >= least and eligible(r)]
    wrong = [r for r in passed if r[COLUMNS.index("pk")] < FOUND]
    return round(len(wrong) / max(1, len(passed)), 4), round(len(passed) / len(rows), 4)


def thresholds(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each family and level: the threshold set on half of the inputs, tried on the others."""
    result: list[dict[str, Any]] = []
    judged = [row for row in rows if row[COLUMNS.index("pk")] is not None]
    for family in sorted({family_of(row[2]) for row in judged} - {RULE}):
        for level in LEVELS:
            chosen = [r for r in judged if family_of(r[2]) == family and r[5] == level]
            half = [r for r in chosen if zlib.crc32(f"{r[0]} {r[4]}".encode()) % 2 == 0]
            others = [r for r in chosen if zlib.crc32(f"{r[0]} {r[4]}".encode()) % 2]
            if not half or not others:
                continue
            least = least_fidelity(half)
            wrong, granted = tried(others, least)
            result.append(
                {
                    "family": family,
                    "level": level,
                    "fidelity": least,
                    "n": len(half),
                    "held_out": len(others),
                    "wrong": wrong,
                    "granted": granted,
                    "worst": max((t["wrong"] for t in held_out_tasks(chosen, level)), default=None),
                }
            )
    return result


def held_out_tasks(rows: Sequence[Row], level: str = "default") -> list[dict[str, Any]]:
    """The threshold set on all tasks but one, tried on that one: what a new task must expect."""
    judged = [r for r in rows if r[COLUMNS.index("pk")] is not None and r[5] == level]
    result: list[dict[str, Any]] = []
    for family in sorted({family_of(row[2]) for row in judged} - {RULE}):
        mine = [row for row in judged if family_of(row[2]) == family]
        for task in sorted({row[1] for row in mine}):
            rest = [row for row in mine if row[1] != task]
            if rest:
                wrong, granted = tried([r for r in mine if r[1] == task], least_fidelity(rest))
                result.append({"family": family, "task": task, "wrong": wrong, "granted": granted})
    # A rule set none of the thresholds, so all tasks of the family set the one it is tried on.
    least = least_fidelity([row for row in judged if family_of(row[2]) == BY])
    rules = [row for row in judged if row[2] == RULE]
    for task in sorted({row[1] for row in rules}):
        mine = [row for row in rules if row[1] == task]
        wrong, granted = tried(mine, least)
        result.append({"family": BY, "task": task, "wrong": wrong, "granted": granted})
    return result


def summary(judged: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rows = [row for result in judged.values() for row in result["rows"]]
    result: dict[str, Any] = {"agreement": {}, "by task": {}}
    for level in LEVELS:
        mine = [row for row in rows if row[5] == level]
        for measure in ("fidelity", "comp", "suff"):
            values = within(mine, measure)
            if values:
                result["agreement"][f"{measure}, {level}"] = [*mean_interval(values), len(values)]
    default = [row for row in rows if row[5] == "default"]
    for task in dict.fromkeys(row[1] for row in default):
        mine = [row for row in default if row[1] == task]
        known = [row[COLUMNS.index("share")] for row in mine]
        share = float(np.mean([value for value in known if value is not None] or [np.nan]))
        passed = float(np.mean([row[COLUMNS.index("p")] <= 0.05 for row in mine]))
        values = within(mine, "fidelity")
        result["by task"][task] = {
            "spearman": mean_interval(values) if values else None,
            "n": len(values),
            "share": share,
            "p at most 0.05": passed,
        }
    chance = [row for row in default if row[3] == "random"]
    if chance:
        p = np.array([row[COLUMNS.index("p")] for row in chance])
        result["random scores"] = {
            "n": len(p),
            "p at most 0.05": float((p <= 0.05).mean()),
            "p at most 0.01": float((p <= 0.01).mean()),
        }
    curves = np.array([curve for one in judged.values() for curve in one["doses"]])
    if len(curves):
        falls = np.all(np.diff(curves, axis=1) <= 0.02, axis=1)
        result["dose"] = {
            "mean": curves.mean(axis=0).round(4).tolist(),
            "monotone": float(falls.mean()),
            "n": len(curves),
        }
    result["thresholds"] = thresholds(rows)
    result["held-out tasks"] = held_out_tasks(rows)
    return result


def judged_models(
    build: Path, count: int, *, again: bool = False, cases: bool = True, kept_only: bool = False
) -> dict[str, dict[str, Any]]:
    """What was judged of every model; each is judged once, on ``count`` items or more, and kept."""
    result: dict[str, dict[str, Any]] = {}
    for name, task, ref, place in models(build, cases=cases):
        kept = place / f"judged-{count}.json"
        more = [p for p in place.glob("judged-*.json") if int(p.stem.split("-")[1]) >= count]
        if more and not again:
            kept = max(more, key=lambda path: int(path.stem.split("-")[1]))
        elif kept_only:
            continue
        else:
            started = time.perf_counter()
            kept.write_text(json.dumps(judge(name, task, ref, count)))
            print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        result[name] = json.loads(kept.read_text())
    return result


def _cells(values: Sequence[float] | None) -> str:
    return "" if values is None else f"{values[0]:.2f} ({values[1]:.2f} to {values[2]:.2f})"


def report(result: dict[str, Any], names: Sequence[str], count: int) -> str:
    agreement = table(
        [[key, _cells(value), value[3]] for key, value in result["agreement"].items()],
        ["measure, pool", "Spearman with average precision, within inputs", "inputs"],
    )
    tasks = table(
        [
            [
                task,
                _cells(value["spearman"]),
                value["n"],
                f"{value['share']:.2f}",
                f"{value['p at most 0.05']:.2f}",
            ]
            for task, value in result["by task"].items()
        ],
        ["task", "Spearman of fidelity", "inputs", "additive share", "p at most 0.05"],
    )
    limits = table(
        [
            [
                t["family"],
                t["level"],
                "none" if t["fidelity"] is None else f"{t['fidelity']:.2f}",
                t["n"],
                t["held_out"],
                f"{t['wrong']:.3f}",
                f"{t['granted']:.2f}",
            ]
            for t in result["thresholds"]
        ],
        ["family", "level", "least fidelity", "set on", "tried on", "wrong of grade A", "grade A"],
    )
    unseen = table(
        [
            [t["family"], t["task"], f"{t['wrong']:.3f}", f"{t['granted']:.2f}"]
            for t in result["held-out tasks"]
        ],
        ["family", "task that set no threshold", "wrong of grade A", "grade A"],
    )
    doses = result.get("dose")
    dosed = (
        ""
        if doses is None
        else (
            f"Fidelity of KernelShap's scores mixed with noise in shares of "
            f"{', '.join(map(str, DOSES))}: {', '.join(f'{v:.2f}' for v in doses['mean'])}; it falls at "
            f"every step for {doses['monotone']:.0%} of {doses['n']:,} inputs."
        )
    )
    chance = result.get("random scores")
    random = (
        ""
        if chance is None
        else (
            f"Of {chance['n']:,} random explanations {chance['p at most 0.05']:.3f} have p at most "
            f"0.05, {chance['p at most 0.01']:.3f} at most 0.01."
        )
    )
    when = datetime.now(UTC).date().isoformat()
    head = (
        f"{len(names)} models, {count:,} held-out texts in all, measured {when}. In brackets the "
        "95 % bootstrap interval over inputs. An explanation is right where the share of known "
        f"reasons among its top k is at least {FOUND}; P(wrong) among grade A is held at {RISK}."
    )
    return "\n\n".join(
        part for part in (head, agreement, tasks, dosed, random, limits, unseen) if part
    )


def ship(result: dict[str, Any], judged: dict[str, dict[str, Any]]) -> Path:
    """The table of thresholds where the label reads it."""
    when = datetime.now(UTC).date().isoformat()
    path = Path(whence.__file__).parent / "evaluation" / "calibration.json"
    tasks = sorted({row[1] for one in judged.values() for row in one["rows"]})
    tree = {
        "identity": f"tasks-{when}",
        "measured": when,
        "tasks": tasks,
        "thresholds": result["thresholds"],
    }
    path.write_text(json.dumps(tree, indent=1) + "\n")
    return path


def main(argv: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--again", action="store_true", help="judge anew what is kept")
    parser.add_argument("--no-cases", action="store_true", help="leave the example models out")
    parser.add_argument("--kept", action="store_true", help="sum up what is judged already")
    parser.add_argument("--ship", action="store_true")
    parser.add_argument("--build", type=Path, default=BUILD)
    arguments = parser.parse_args(argv)
    judged = judged_models(
        arguments.build,
        arguments.count,
        again=arguments.again,
        cases=not arguments.no_cases,
        kept_only=arguments.kept,
    )
    result = summary(judged)
    # One row an explanation, names as places in the lists: a table of thousands stays small.
    names: dict[str, list[str]] = {
        key: sorted({row[COLUMNS.index(key)] for one in judged.values() for row in one["rows"]})
        for key in ("model", "task", "architecture", "method", "level")
    }
    places = [(COLUMNS.index(key), {v: i for i, v in enumerate(names[key])}) for key in names]
    packed: list[Row] = []
    for one in judged.values():
        for row in one["rows"]:
            packed.append(list(row))
            for at, place in places:
                packed[-1][at] = place[row[at]]
    data = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.calibration", *argv]),
        "summary": result,
        "names": names,
        "columns": COLUMNS,
        "answered": {name: round(one["answered"], 4) for name, one in judged.items()},
        "rows": packed,
    }
    store(
        "calibration",
        "Does pool fidelity tell true explanations from false ones?",
        report(
            result,
            list(judged),
            len({(r[0], r[4]) for one in judged.values() for r in one["rows"]}),
        ),
        data,
    )
    lines = (HERE / "results" / "calibration.json").read_text()
    compact = json.dumps(json.loads(lines), separators=(",", ":"))
    (HERE / "results" / "calibration.json").write_text(compact.replace("],[", "],\n[") + os.linesep)
    if arguments.ship:
        print(f"shipped {ship(result, judged)}")


if __name__ == "__main__":
    main(sys.argv[1:])
