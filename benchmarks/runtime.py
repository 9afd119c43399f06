"""How long does a stored student take to decide one text of 60 words, with NumPy alone?

    python -m benchmarks.runtime [--kind rules]

Each student is fitted on generated texts, saved, and loaded in a process of its own that imports only
NumPy and the runtime. Memory and seconds are those of that process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks.common import store, table
from benchmarks.students import drawn
from whence.students.export.store import save_student
from whence.students.families.additive import Additive
from whence.students.families.decision_tree import DecisionTree
from whence.students.families.prototypes import Prototypes
from whence.students.families.rule_list import RuleList
from whence.students.families.scorecard import Scorecard
from whence.students.families.sparse_linear import SparseLinear
from whence.students.families.tree_sum import TreeSum
from whence.students.features.vectorizer import ReadableFeatures

STUDENTS = {
    "sparse-linear": SparseLinear(features=300),
    "sparse-linear, all features": SparseLinear(features=None),
    "additive": Additive(columns=30),
    "scorecard": Scorecard(features=15),
    "rule-list": RuleList(rules=20),
    "decision-tree": DecisionTree(leaves=64),
    "tree-sum": TreeSum(splits=20),
    "prototypes": Prototypes(cases=20),
}
GOAL_MS = 1.0

CHILD = """
import json, pathlib, statistics, sys, time
start = time.perf_counter()
from whence.students.export.runtime import Runtime
imported = time.perf_counter()
runtime = Runtime.load(sys.argv[1])
loaded = time.perf_counter()
texts = json.load(sys.stdin)
rounds = []
for _ in range(5):
    for text in texts:
        begin = time.perf_counter()
        runtime.decide(text)
        rounds.append(time.perf_counter() - begin)
rounds.sort()
# Not resource.getrusage, whose peak a child inherits from what started it.
status = pathlib.Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0])
print(json.dumps({
    "import_s": imported - start, "load_s": loaded - imported,
    "median_ms": 1e3 * statistics.median(rounds), "p99_ms": 1e3 * rounds[int(0.99 * len(rounds))],
    "peak_mib": peak / 2**10,
    "features": len(runtime.features), "decisions": len(rounds),
    "heavy": sorted({"scipy", "torch", "pydantic", "transformers"} & set(sys.modules)),
}))
"""


def measured(kind, count):
    texts = drawn(count)
    features = ReadableFeatures(longest=2, most=50_000).learn(texts)
    counted = features.table(texts)
    rng = np.random.default_rng(1)
    z = counted @ (rng.normal(size=len(features)) * (rng.random(len(features)) < 0.2))
    chance = 1 / (1 + np.exp(-(z - np.median(z))))
    targets = np.stack([1 - chance, chance], axis=1)
    more = {"texts": texts} if kind == "prototypes" else {}
    student = STUDENTS[kind].fit(counted, targets, features=features, labels=("no", "yes"), **more)
    asked = drawn(1_000, seed=7)
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        save_student(student, folder)
        size = sum(entry.stat().st_size for entry in os.scandir(folder))
        answer = subprocess.run(
            [sys.executable, "-c", CHILD, folder], input=json.dumps(asked), capture_output=True,
            text=True, check=True, env=alone,
        )  # fmt: skip
    return {"student": STUDENTS[kind].name, "bytes": size, **json.loads(answer.stdout)}


def write(rows):
    cells = [
        [
            row["student"], f"{row['features']:,}", f"{row['median_ms']:.3f}",
            f"{row['p99_ms']:.3f}", f"{1e3 * row['load_s']:.0f}",
            f"{1e3 * row['import_s']:.0f}", f"{row['peak_mib']:.0f}", f"{row['bytes'] / 1024:,.0f}",
        ]
        for row in rows
    ]  # fmt: skip
    head = [
        "student", "features", "a text, ms (median)", "a text, ms (99th percentile)", "load, ms",
        "import, ms", "peak, MiB", "on disk, KiB",
    ]  # fmt: skip
    slow = [row["student"] for row in rows if row["median_ms"] >= GOAL_MS]
    heavy = sorted({name for row in rows for name in row["heavy"]})
    text = (
        f"1,000 generated texts of 60 words, five times over, one at a time, one thread; each student "
        f"in a process of its own. The goal is {GOAL_MS:g} ms a text"
        + (f"; missed by {', '.join(slow)}. " if slow else ", met by all. ")
        + (f"Imported beside NumPy: {', '.join(heavy)}." if heavy else
           "None of SciPy, PyTorch, transformers and pydantic is imported.")
    )  # fmt: skip
    store("runtime", "Deciding with a stored student", f"{text}\n\n{table(cells, head)}", rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=STUDENTS)
    parser.add_argument("--texts", type=int, default=5_000)
    options = parser.parse_args()
    if options.kind:
        print(json.dumps(measured(options.kind, options.texts)))
        return
    rows = []
    for kind in STUDENTS:
        rows.append(measured(kind, options.texts))
        print(rows[-1], flush=True)
    write(rows)


if __name__ == "__main__":
    main()
