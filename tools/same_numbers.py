"""Whether a change of the code changed a number: ten seeds computed, stored, and compared later.

    python tools/same_numbers.py write FOLDER     # with the code before the change
    python tools/same_numbers.py compare FOLDER   # with the code after it; exit code 1 on a difference

``write`` distils a rule over generated texts for each seed, with every check, and stores the
student's folder; explains and attends one sentence for each seed. ``compare`` computes all of it
again and compares to the last bit. A stored file whose form has a newer version is read through
its migration first, so that numbers are compared and not field names. Seconds, dates, the
version of the package and sentences (comments in SQL, advice, notes) are left out.

It uses the public names of the package, and the two functions that read old students and names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import whence
from whence.students.export.model_file import read_tree
from whence.students.families.registry import student_by_name

SEEDS = range(10)
FILLER = [f"word{i}" for i in range(60)]
SIGNALS = ["late", "waived", "fraud", "steady", "loan"]
SENTENCE = "She has missed 4 payments in the last year. No guarantor has signed the loan."
METHODS = ("kernel-shap", "lime", "leave-one-out", "integrated-gradients", "rollout", "alti")
CHANGING = {"seconds", "created", "whence", "environment", "teacher_microseconds", "microseconds"}
PROSE = {"because", "says", "reasons", "advice", "notes", "choice", "quantity"}
"""Fields that hold sentences; a sentence may be written anew, and holds no number of its own."""


def texts(seed: int, count: int = 420) -> list[str]:
    """Generated texts of fillers with signals among them."""
    rng = np.random.default_rng([seed, 7])
    result: list[str] = []
    for _ in range(count):
        words = list(rng.choice(FILLER, size=12))
        words += [word for word in SIGNALS if rng.random() < 0.3]
        rng.shuffle(words)
        result.append(" ".join(words))
    return result


def answers(batch: list[str]) -> list[list[float]]:
    """Probabilities of accept and reject: a rule with a little noise that depends on the text."""
    result: list[list[float]] = []
    for text in batch:
        words = set(text.split())
        bad = "fraud" in words or ("late" in words and "waived" not in words)
        noise = int(hashlib.sha256(text.encode()).hexdigest()[:6], 16) / 0xFFFFFF
        reject = (0.85 if bad else 0.15) + 0.28 * (noise - 0.5)
        result.append([1 - reject, reject])
    return result


def write_students(folder: Path) -> None:
    """Distil and store a student for each seed; the family varies with the seed."""
    families = (["linear-30", "rules-4"], ["tree-8"], ["treesum-8"], ["cases-12"], ["scorecard-8"],
                ["additive-12"], ["rules-6", "tree-6"], None, ["optimal-tree-2"], ["linear-10"])  # fmt: skip
    for seed in SEEDS:
        model = whence.load(answers, labels=["accept", "reject"])
        teacher = whence.Teacher.of(model, gives="probability", version="rule 1")
        own = texts(seed)
        gold = [("accept", "reject")["fraud" in text.split()] for text in own]
        budget = whence.Budget(flips=60, again=20, attributions=100, parting=120)
        result = whence.distill(
            teacher, own, gold=gold, students=families[seed], seed=seed, budget=budget
        )
        place = folder / f"student-{seed}"
        result.save(place, date="2026-01-01")
        numbers = {
            name: student.predict_proba(texts(99, 50)).tolist()
            for name, student in result.students.items()
        }
        (place / "probabilities.json").write_text(json.dumps(numbers))
        for noisy in ("report.html", "README.md", "provenance.json", "model.onnx", "tree.svg"):
            (place / noisy).unlink(missing_ok=True)


def write_explanations(folder: Path) -> None:
    """Store an attribution of each method and seed, and an attention record of each seed."""
    model = whence.load("embedded:credit")
    for seed in SEEDS:
        text = " ".join(np.random.default_rng(seed).permutation(SENTENCE.split()))
        for method in METHODS:
            trust = "default" if method == "kernel-shap" and seed < 3 else "off"
            result = whence.explain(model, text, method=method, seed=seed, trust=trust)
            result.save(folder / f"attribution-{method}-{seed}.json")
        effects = whence.HeadAblation(draws=2, measure=3, control=2)
        whence.attend(model, text, effects=effects, seed=seed).save(folder / f"attention-{seed}")


def write(folder: Path) -> None:
    """Compute everything and store it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_explanations(folder)
    write_students(folder)


def stripped(tree: Any) -> Any:
    """A JSON tree without what differs between two runs of the same code."""
    if isinstance(tree, dict):
        return {k: stripped(v) for k, v in tree.items() if k not in CHANGING | PROSE}
    return [stripped(item) for item in tree] if isinstance(tree, list) else tree


def content(path: Path) -> Any:
    """What a file holds, older forms read through their migrations."""
    if path.suffix in (".sql", ".md"):
        lines = path.read_text().splitlines()
        return [line for line in lines if not line.startswith(("--", "#", "Verdict:", "A student"))]
    if path.suffix != ".json":
        return path.read_bytes()
    if path.name == "model.json":
        return stripped({k: v for k, v in read_tree(path.parent).items() if k != "sha256"})
    tree = json.loads(path.read_bytes())
    if path.name == "probabilities.json":
        return {student_by_name(name).name: numbers for name, numbers in tree.items()}
    try:
        return stripped(json.loads(whence.read_record(path).to_json()))
    except whence.WhenceError:
        return stripped(tree)


def compare(folder: Path) -> int:
    """Compute everything again and count the files that differ."""
    with tempfile.TemporaryDirectory() as place:
        new = Path(place)
        write(new)
        names = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
        again = sorted(p.relative_to(new) for p in new.rglob("*") if p.is_file())
        differ = [
            name
            for name in names
            if name in again and content(folder / name) != content(new / name)
        ]
        missing = sorted({str(n) for n in set(names) ^ set(again)})
    for name in differ:
        print(f"differs: {name}")
    for name in missing:
        print(f"on one side only: {name}")
    print(f"{len(names)} files compared, {len(differ)} differ, {len(missing)} on one side only")
    return int(bool(differ or missing))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("write", "compare"))
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.action == "compare":
        return compare(given.folder)
    write(given.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
