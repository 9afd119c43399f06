"""How much time and memory do readable students take on 20,000 texts of 50,000 n-grams?

    python -m benchmarks.students [--student sparse-linear-100]

Texts are drawn from a Zipf vocabulary; the teacher is a sum of 200 weights and one pair of
words that counts only together. Each student is fitted in a process of its own, so that its peak memory
is its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

from benchmarks.common import store, table
from whence.students.families.registry import readable_families, student_by_name
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.fitting.logistic import softmax

SIZES = {"sparse-linear": (30, 300), "rule-list": (20,), "decision-tree": (64,)}
STUDENTS = [
    student_by_name(f"{family}-{size}" if size else family)
    for family in readable_families()
    for size in SIZES.get(family, (None,))
]
"""Every family; those without a size here as they are by default."""


GOAL_S, GOAL_GIB = 60, 2


def drawn(count, length=60, vocabulary=30_000, seed=0):
    rng = np.random.default_rng(seed)
    chance = 1 / np.arange(1, vocabulary + 1)
    words = np.array([f"w{i}" for i in range(vocabulary)])
    picked = rng.choice(vocabulary, size=(count, length), p=chance / chance.sum())
    return [" ".join(words[row]) for row in picked]


def measured(student, count):
    texts = drawn(count)
    start = time.perf_counter()
    features = ReadableFeatures(longest=2, most=50_000).learn(texts)
    counted = features.table(texts)
    reading = time.perf_counter() - start
    rng = np.random.default_rng(1)
    chosen = rng.choice(2_000, size=200, replace=False)
    column = {f.words: j for j, f in enumerate(features.kept)}
    weights = np.zeros(len(features))
    weights[[column[f"w{i}"] for i in chosen if f"w{i}" in column]] = 1.5 * rng.normal(size=200)
    z = counted @ weights
    pair = counted[:, [column["w3"]]].multiply(counted[:, [column["w9"]]])
    z += 2.0 * np.asarray(pair.sum(axis=1))
    targets = softmax(np.stack([-z / 2, z / 2], axis=1))
    test = rng.random(count) < 0.2
    start = time.perf_counter()
    fitted = student.learn(
        counted[~test], targets[~test], features=features, labels=("no", "yes"),
        texts=[text for text, held in zip(texts, test, strict=True) if not held],
    )  # fmt: skip
    seconds = time.perf_counter() - start
    said = fitted.predict_proba([t for t, held in zip(texts, test, strict=True) if held])
    agreement = float((said.argmax(axis=1) == targets[test].argmax(axis=1)).mean())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "student": student.name, "texts": int((~test).sum()), "features": len(features),
        "reading_s": reading, "fit_s": seconds, "peak_gib": peak, "agreement": agreement,
        "majority": float(np.bincount(targets[test].argmax(axis=1)).max() / test.sum()),
        "words": fitted.reading_cost.words, "numbers": fitted.reading_cost.numbers,
    }  # fmt: skip


def write(rows, count):
    cells = [
        [
            row["student"], f"{row['fit_s']:.1f}", f"{row['reading_s']:.1f}",
            f"{row['peak_gib']:.2f}", f"{row['words'] + row['numbers']:,}",
            f"{row['agreement']:.3f}", f"{row['majority']:.3f}",
        ]
        for row in rows
    ]  # fmt: skip
    head = [
        "student", "fit, s", "reading the texts, s", "peak, GiB", "words and numbers to read",
        "agreement", "majority",
    ]  # fmt: skip
    text = (
        f"{rows[0]['texts']:,} generated texts of 60 words, {rows[0]['features']:,} uni- and bigrams; "
        "the teacher is a sum of 200 word weights and one pair that counts only together. One "
        "run each, in a process of its own, one thread; agreement is on the "
        f"{count - rows[0]['texts']:,} texts held out. The goal is {GOAL_S} s and "
        f"{GOAL_GIB} GiB for each."
    )
    worse = [row["student"] for row in rows if row["agreement"] <= row["majority"]]
    if worse:
        text += (
            f" No better than always giving the majority's answer: {', '.join(worse)}; the words "
            "are drawn independently, so no text is like another."
        )
    store("students", "Readable students of many texts", f"{text}\n\n{table(cells, head)}", rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", choices=[s.name for s in STUDENTS])
    parser.add_argument("--texts", type=int, default=25_000)
    options = parser.parse_args()
    if options.student:
        student = next(s for s in STUDENTS if s.name == options.student)
        print(json.dumps(measured(student, options.texts)))
        return
    rows = []
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for student in STUDENTS:
        command = [sys.executable, "-m", "benchmarks.students", "--student", student.name]
        command += ["--texts", str(options.texts)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
        row = json.loads(answer.stdout)
        rows.append(row)
        print(row, flush=True)
    write(rows, options.texts)


if __name__ == "__main__":
    main()
