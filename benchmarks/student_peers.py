"""How do our students compare with those of imodels, InterpretML, Trustee and scikit-learn?

    python -m benchmarks.student_peers --peers /path/to/peers/bin/python

Same teacher (`minilm-sst2`), same sentences of the Stanford Sentiment Treebank, same split, same
binary table of n-grams for all; each student is fitted in a process of its own, on one thread, so
that its peak memory is its own. These packages pin other versions than ours, so they get an
environment of their own; imodels needs `six` without declaring it:

    python3.11 -m venv peers
    peers/bin/pip install imodels==3.0.4 six==1.17.0 interpret-core==0.7.8 trustee==1.2.0 \
        scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1

Without `--peers` (or WHENCE_PEERS) the peers' rows say so. Linux only, for the peak memory.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from benchmarks.common import HERE, SHARED, model_folder, store, table
from benchmarks.peers import COLUMNS, PEERS, peak_gib

TEXTS, LIMIT_S = 6_000, 900
SIZES = [
    "sparse-linear-30", "sparse-linear-100", "sparse-linear-300", "scorecard-15", "scorecard-30", "rule-list-10", "rule-list-40",
    "decision-tree-16", "decision-tree-64", "tree-sum-12", "tree-sum-40", "prototypes-20", "additive-30", "additive-300",
    "optimal-tree-3",
]  # fmt: skip
LEAF = re.compile(r"\(\d ([^()\s]+)\)")
QUERIES = {False: "the texts", True: "and edits, n-grams"}


def ours():
    """Students of every family, by name."""
    from whence.students.families.registry import student_by_name
    from whence.students.families.sparse_linear import SparseLinear

    result = [SparseLinear(features=None), *map(student_by_name, SIZES)]
    return {f"whence {student.name}": student for student in result}


def sentences(count):
    """Distinct sentences of the treebank, in its order."""
    result = {}
    for part in ("train", "dev", "test"):
        path = SHARED / "data" / "sst_trees" / f"{part}.txt"
        if not path.is_file():
            sys.exit(f"the treebank is not here ({path}); set WHENCE_SHARED")
        for line in path.read_text("utf-8").splitlines():
            result[" ".join(LEAF.findall(line))] = None
    rows = np.random.default_rng(0).permutation(len(result))[:count]
    texts = list(result)
    return [texts[row] for row in sorted(rows.tolist())]


def prepare(folder, count):
    """Ask the teacher once, and store the tables that every student learns from."""
    import whence
    from whence.students.data.augmentation import EDITS, edited, frequent_ngrams
    from whence.students.data.split import split
    from whence.students.features.vectorizer import ReadableFeatures
    from whence.students.teacher.teacher import Teacher

    texts = sentences(count)
    parts = split(texts, seed=0)
    fit = parts.fit.tolist()
    held = sorted([*parts.certify.tolist(), *parts.report.tolist()])
    beside = [
        edit.text
        for family in EDITS
        for edit in edited(texts, fit[:: 3 * len(EDITS)], family=family)
    ] + frequent_ngrams([texts[row] for row in fit], len(fit) // 3)
    moved = [edit for family in EDITS for edit in edited(texts, held, family=family)]
    model = whence.load(model_folder("minilm-sst2"), dtype="float32")
    with whence.DiskCache(folder / "answers.sqlite") as cache:
        teacher = Teacher.of(model, cache=cache)
        start = time.perf_counter()
        answers = {
            "fit": teacher.ask([texts[row] for row in fit]),
            "beside": teacher.ask(beside),
            "asked": teacher.ask([texts[row] for row in held] + [edit.text for edit in moved]),
        }
        asking = time.perf_counter() - start
    known = ReadableFeatures().learn([texts[row] for row in fit])
    asked = [texts[row] for row in held] + [edit.text for edit in moved]
    learnt = {"fit": [texts[row] for row in fit], "beside": beside, "asked": asked}
    for part, own in learnt.items():
        sparse.save_npz(folder / f"{part}.npz", sparse.csr_matrix(known.table(own)))
        np.save(folder / f"{part}.npy", answers[part].probabilities)
    (folder / "texts.json").write_text(json.dumps(learnt))
    (folder / "features.json").write_text(json.dumps(known.to_json()))
    (folder / "words.json").write_text(json.dumps([f.cost for f in known.kept]))
    place = {row: at for at, row in enumerate(held)}
    facts = {
        "labels": list(teacher.labels), "fit": len(fit), "beside": len(beside),
        "held": len(held), "features": len(known), "asking_s": asking, "asked": teacher.asked,
        "families": [edit.family for edit in moved],
        "parents": [place[edit.parent] for edit in moved],
    }  # fmt: skip
    (folder / "facts.json").write_text(json.dumps(facts))


def fit_ours(folder, name, queries):
    """What ``benchmarks.peers`` does for a peer."""
    from whence.students.features.vectorizer import Features

    parts = ["fit", "beside"] if queries else ["fit"]
    tables = [sparse.load_npz(folder / f"{part}.npz") for part in parts]
    known = Features.from_json(json.loads((folder / "features.json").read_text()))
    learnt = sparse.csr_array(sparse.vstack(tables))
    targets = np.concatenate([np.load(folder / f"{part}.npy") for part in parts])
    stored = json.loads((folder / "texts.json").read_text())
    texts = [text for part in parts for text in stored[part]]
    labels = json.loads((folder / "facts.json").read_text())["labels"]
    start = time.process_time()
    fitted = ours()[name].learn(learnt, targets, features=known, labels=labels, texts=texts)
    seconds = time.process_time() - start
    asked = sparse.csr_array(sparse.load_npz(folder / "asked.npz"))
    columns = fitted.features.columns_in(known)
    said = fitted.probabilities(sparse.csr_array(asked[:, columns])).argmax(axis=1)
    np.save(folder / "said.npy", said)
    cost = fitted.reading_cost
    result = {
        "columns": len(known), "words": cost.words, "numbers": cost.numbers, "fit_s": seconds,
        "peak_gib": peak_gib(), "noted": {},
    }  # fmt: skip
    print(json.dumps(result))


def alone(command):
    """The JSON a process of its own prints, on one thread; or how it failed."""
    quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **quiet},
            timeout=LIMIT_S, cwd=HERE.parent, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"failed": f"not done in {LIMIT_S} s"}
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or [f"ended with {answer.returncode}"]
        return {"failed": lines[-1]}
    return json.loads(answer.stdout.splitlines()[-1])


def measured(folder, facts):
    """Agreement and flips of the decisions that the last student stored."""
    from whence.core.statistics.proportions import proportion
    from whence.students.certificate.fidelity import flips, kappa

    said = np.load(folder / "said.npy").astype(np.int64)
    told = np.load(folder / "asked.npy").argmax(axis=1).astype(np.int64)
    n, parents = facts["held"], np.array(facts["parents"])
    agreement = proportion(int((said[:n] == told[:n]).sum()), n)
    families = np.array(facts["families"])
    followed = {}
    for family in [*dict.fromkeys(facts["families"]), "all"]:
        own = np.ones(len(families), dtype=bool) if family == "all" else families == family
        before, after = parents[own], n + np.flatnonzero(own)
        result = flips((told[before], told[after]), (said[before], said[after]))
        followed[family] = {
            "fidelity": result.fidelity.value, "recall": result.recall.value,
            "flips": result.recall.n, "precision": result.precision.value,
        }  # fmt: skip
    return {
        "agreement": agreement.value, "lower": agreement.lower, "upper": agreement.upper,
        "kappa": kappa(told[:n], said[:n]), "edits": followed,
    }  # fmt: skip


def write(rows, facts, versions):
    done = [row for row in rows if "failed" not in row]
    cells = [
        [
            row["student"], QUERIES[row["queries"]], f"{row['columns']:,}",
            f"{row['agreement']:.3f} [{row['lower']:.3f}, {row['upper']:.3f}]",
            f"{row['kappa']:.2f}", f"{row['edits']['all']['recall']:.2f}",
            f"{row['edits']['deny']['fidelity']:.3f}", f"{row['words'] + row['numbers']:,}",
            f"{row['fit_s']:.2f}", f"{row['peak_gib']:.2f}",
        ]
        for row in sorted(done, key=lambda row: -row["agreement"])
    ]  # fmt: skip
    cells += [
        [row["student"], QUERIES[row["queries"]], "", row["failed"], "", "", "", "", "", ""]
        for row in rows
        if "failed" in row
    ]
    head = [
        "student", "asked", "columns", "agreement", "kappa", "flip-recall", "agreement, denied",
        "to read", "fit, processor s", "peak, GiB",
    ]  # fmt: skip
    flipped = next((row["edits"]["all"]["flips"] for row in done), 0)
    text = (
        f"{facts['fit']:,} sentences to learn from, {facts['held']:,} held out; with edits and "
        f"bare n-grams {facts['beside']:,} questions more. The table has {facts['features']:,} "
        f"uni- and bigrams; peers that take dense tables only, or build a shape for each column, "
        f"get the {COLUMNS} columns that correlate most with the teacher's probability, found before the "
        "clock starts. Agreement is on the sentences held out, with one-sided exact bounds of "
        f".95. Flip-recall: of the {flipped:,} edits of these that changed the teacher's decision "
        "(five families, the same for all), those that the student followed. To read: words and "
        'numbers of the whole student. "Probabilities", "logits", "labels": what it was fitted '
        "to. One run each, in a process of its own, one thread; the always-larger class agrees "
        f"{facts['majority']:.3f}. Peers: {versions}."
    )
    for name in ("Trustee, pruned", "Trustee, whole"):
        for row in done:
            if row["student"] == name and row["noted"]:
                text += (
                    f" {name}, {QUERIES[row['queries']]}, itself reports a macro-F1 of "
                    f"{row['noted']['own report (macro-F1)']:.3f}."
                )
    data = {"rows": rows, **{k: v for k, v in facts.items() if k not in ("families", "parents")}}
    store("student_peers", "Students beside their peers", f"{text}\n\n{table(cells, head)}", data)


def peer_versions(python):
    names = "imodels", "interpret-core", "trustee", "scikit-learn"
    code = (
        "from importlib.metadata import version\n"
        f"print(', '.join(f'{{n}} {{version(n)}}' for n in {names!r}))"
    )
    result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return result.stdout.strip() or f"not there ({result.stderr.strip().splitlines()[-1]})"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=os.environ.get("WHENCE_PEERS"))
    parser.add_argument(
        "--folder", type=Path, help="where all is kept; what is there stays as it is"
    )
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--match", default="", help="fit the students whose name holds this")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--student")
    parser.add_argument("--queries", action="store_true")
    options = parser.parse_args()
    if options.prepare:
        prepare(options.folder, options.texts)
        return
    if options.student:
        fit_ours(options.folder, options.student, options.queries)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = (options.folder or Path(made)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        run(folder, options)


def run(folder, options):
    me = [sys.executable, "-m", "benchmarks.student_peers", "--folder", str(folder)]
    if not (folder / "facts.json").is_file():
        subprocess.run([*me, "--prepare", "--texts", str(options.texts)], check=True)
    facts = json.loads((folder / "facts.json").read_text())
    told = np.load(folder / "asked.npy")[: facts["held"]].argmax(axis=1)
    facts["majority"] = float(np.bincount(told).max() / len(told))
    kept = folder / "rows.json"
    rows = json.loads(kept.read_text()) if kept.is_file() else []
    done = {(row["student"], row["queries"]) for row in rows}
    names = [name for name in (*ours(), *PEERS) if options.match in name]
    for queries in (False, True):
        for name in names:
            if (name, queries) in done:
                continue
            more = ["--queries"] if queries else []
            if name in PEERS and not options.peers:
                result = {"failed": "not run: give --peers"}
            elif name in PEERS:
                result = alone([options.peers, "-m", "benchmarks.peers", str(folder), name, *more])
            else:
                result = alone([*me, "--student", name, *more])
            row = {"student": name, "queries": queries, **result}
            if "failed" not in result:
                row |= measured(folder, facts)
            rows.append(row)
            kept.write_text(json.dumps(rows))
            print({k: v for k, v in row.items() if k != "edits"}, flush=True)
    if options.match:
        return
    write(rows, facts, peer_versions(options.peers) if options.peers else "not run")


if __name__ == "__main__":
    main()
