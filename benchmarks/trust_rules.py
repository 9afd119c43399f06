"""Does a label refuse wrong explanations, and not right ones, of tasks that set no threshold?

    python -m benchmarks.trust_rules                     # 8 texts of each rule and length

Rules on words, applied by a function: what decides is known. Right are exact Shapley values. Wrong are
these values shuffled, or with the deciding words' exchanged for those of others, where the deciding
words no longer lead. Random scores are drawn from a normal distribution, and some are right by luck.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from ground_truth.item import item_of
from jaxtyping import Bool, Float

import whence
from benchmarks.common import store, table
from ground_truth import RULES, RuleModel, TaskItem
from whence.core.explanations import Attribution
from whence.core.trust import Level, TrustLabel
from whence.evaluation.additive_surrogate import AdditiveFit
from whence.evaluation.metrics.ranking import precision_at_k
from whence.evaluation.trust.calibration import Threshold
from whence.evaluation.trust.calibration import table as thresholds
from whence.evaluation.trust.grading import COMBINATIONS, OTHERS_DO, verdict
from whence.games.question import ask

SEED = 9_000_011
LENGTHS = (3, 4, 5, 6, 8, 10)
LEVELS: tuple[Level, ...] = ("quick", "default")
FAMILY = "Bert"
"""The family whose thresholds judge the rules, which belong to none."""
FOUND = 0.8
"""Precision at k from which an explanation counts as right, as in the calibration."""
SOURCES = ("right", "shuffled", "misplaced", "random")


def shortened(item: TaskItem, length: int, rng: random.Random) -> TaskItem | None:
    """The item with some words left out, the deciding ones kept; ``None``: it has too few."""
    words = list(item.words)
    ends = np.cumsum([len(word) + 1 for word in words])
    fixed = [
        place
        for place, (word, end) in enumerate(zip(words, ends, strict=True))
        if any(span.start < end - 1 and end - 1 - len(word) < span.end for span in item.truth)
    ]
    others = [place for place in range(len(words)) if place not in fixed]
    if not len(fixed) < length <= len(words):
        return None
    chosen = sorted([*fixed, *rng.sample(others, length - len(fixed))])
    return item_of(
        [words[place] for place in chosen],
        item.label,
        [chosen.index(place) for place in fixed],
        item.kind,
    )


def explanations(
    scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"], seed: int
) -> Iterator[tuple[str, Float[np.ndarray, " n"]]]:
    """Scores of each source; wrong ones are left out where their deciding words still lead."""
    rng = np.random.default_rng(seed)
    places, others = np.flatnonzero(relevant), np.flatnonzero(~relevant)
    misplaced = scores.copy()
    count = min(len(places), len(others))
    there = rng.choice(others, count, replace=False)
    misplaced[there], misplaced[places[:count]] = scores[places[:count]], scores[there]
    yield "right", scores
    yield "shuffled", rng.permutation(scores)
    yield "misplaced", misplaced
    yield "random", rng.normal(size=len(scores))


def is_right(scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"]) -> bool:
    return precision_at_k(scores, relevant, int(relevant.sum())) >= FOUND


def grade_by(label: TrustLabel, features: int, threshold: Threshold) -> str:
    """The grade that a label would have in the family of the threshold."""
    if label.grade == "abstain":
        return "abstain"
    share, fidelity = label.additive_share, label.measurement("pool-fidelity")
    assert fidelity is not None
    fit = AdditiveFit(
        np.zeros(features),
        np.zeros(features),
        None if share is None else share.value,
        None if share is None else share.interval,
    )
    return verdict(
        label.quantities,
        features=features,
        fidelity=fidelity.value,
        fit=fit,
        threshold=threshold,
        against=[reason for reason in label.reasons if reason in (COMBINATIONS, OTHERS_DO)],
    ).grade


def judged(kind: str, count: int) -> Iterator[list[Any]]:
    """Rows of rule, length, level, source, whether right, grade."""
    calibration = thresholds()
    assert calibration is not None
    limits = {t.level: t for t in calibration.thresholds if t.family == FAMILY}
    model: Any = whence.load(RuleModel(kind=kind))
    rng = random.Random(SEED)
    for length in LENGTHS:
        items = (shortened(i, length, rng) for i in RULES[f"rule-{kind}"].items(count, seed=SEED))
        for index, item in enumerate(items):
            if item is None:
                continue
            relevant = item.relevant(ask(model, item.text).segmentation)
            exact = whence.explain(model, item.text, method="shapley-values", trust="off")
            for source, scores in explanations(exact.scores[:, 0], relevant, index):
                right = is_right(scores, relevant)
                if right and source in ("shuffled", "misplaced"):
                    continue
                for level in LEVELS:
                    label = labelled(model, item.text, exact, scores, source, level)
                    yield [
                        kind,
                        length,
                        level,
                        source,
                        right,
                        grade_by(label, length, limits[level]),
                    ]


def labelled(
    model: Any,
    text: str,
    exact: Attribution,
    scores: Float[np.ndarray, " n"],
    source: str,
    level: Level,
) -> TrustLabel:
    if source != "right":
        # Scores from elsewhere: their method cannot be run again, which would give them away.
        words = [(word, float(score)) for word, score in zip(text.split(), scores, strict=True)]
        exact = whence.adopt(model, text, words)
    label = whence.judge(model, exact, level=level).trust
    assert label is not None
    return label


def cells(rows: Sequence[list[Any]]) -> list[object]:
    """Shares of right not refused, wrong refused by source, and grade A and wrong."""
    result: list[object] = []
    for source in SOURCES:
        mine = [row[5] == "abstain" for row in rows if row[3] == source]
        share = np.mean(mine) if mine else np.nan
        result.append(f"{1 - share if source == 'right' else share:.2f} ({len(mine)})")
    unlucky = [row[5] == "abstain" for row in rows if row[3] == "random" and not row[4]]
    result.append(f"{np.mean(unlucky) if unlucky else np.nan:.2f} ({len(unlucky)})")
    best = [row[5] == "A" for row in rows if row[3] == "right"]
    wrong = [row[5] == "A" and not row[4] for row in rows]
    result += [f"{np.mean(best):.2f}", f"{np.mean(wrong):.3f}"]
    return result


HEAD = (
    "right, not refused",
    "shuffled, refused",
    "misplaced, refused",
    "random, refused",
    "random and wrong, refused",
    "right, grade A",
    "grade A and wrong",
)


def report(rows: Sequence[list[Any]]) -> str:
    parts: list[str] = []
    for at, name in ((0, "rule"), (1, "words")):
        lines = [
            [level, value, *cells([row for row in rows if row[2] == level and row[at] == value])]
            for level in LEVELS
            for value in dict.fromkeys(row[at] for row in rows)
        ]
        parts.append(table(lines, ["level", name, *HEAD]))
    lines = [[level, *cells([row for row in rows if row[2] == level])] for level in LEVELS]
    parts.append(table(lines, ["level", *HEAD]))
    return "\n\n".join(parts)


def main(argv: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=8, help="texts of each rule and length")
    count = parser.parse_args(argv).count
    rows = [row for name in RULES for row in judged(name.removeprefix("rule-"), count)]
    text = (
        f"{count} texts of each rule and length at most, graded by the thresholds of {FAMILY}; the "
        f"number of labels in brackets.\n\n{report(rows)}"
    )
    data = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.trust_rules", *argv]),
        "columns": ["rule", "words", "level", "source", "right", "grade"],
        "rows": rows,
    }
    store("trust_rules", "Does a label refuse wrong explanations, and not right ones?", text, data)


if __name__ == "__main__":
    main(sys.argv[1:])
