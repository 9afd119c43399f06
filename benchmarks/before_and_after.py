"""What do a label, a long text, a distillation and small things cost, beside another state of the code?

``python -m benchmarks.before_and_after SRC [PART ...] [--rounds N]``: SRC is the ``src`` folder of the
other state (such as a worktree of an older commit), a part one of label, notes, distill, small. Both run
in processes of their own, one thread each, in turn; seconds are of the processor, ratios are medians over
pairs of runs next to each other. The scores of a note are judged on 256 masks that neither side has seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import HERE, median, model_folder, prompts, store, table

PARTS = ("label", "notes", "distill", "small")
SENTENCES = {
    "minilm-sst2": [
        "The plot is thin and the ending is far too neat, but the acting is so warm that I did not "
        "mind at all.",
        "A dull film with one good joke.",
        "I came for the pictures and stayed for the story, which is not often true of this director.",
    ],
    "embedded:credit": [
        "She has missed 4 payments in the last year. No guarantor has signed the loan.",
        "He pays in time and has a guarantor.",
        "The applicant has rented for nine years and has never been late with a single payment.",
    ],
    "gpt2 (random)": [
        "Once upon a time there was a little dog and Lily liked to play with it every day",
        "Tom had a big red ball and one day it was lost",
    ],
}


class Side:
    """A process in which one state of the code answers, one request at a time."""

    def __init__(self, source: Path) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": f"{source}{os.pathsep}{HERE.parent}",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.before_and_after", "--answer"],
            env=environment,
            cwd=HERE.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, task: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([task, arguments]) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise SystemExit(f"{task} failed")


# What a side does, with names that both states have.


def model_of(name: str) -> Any:
    import whence

    if name.startswith("embedded:"):
        return whence.load(name)
    if name == "gpt2 (random)":
        return whence.load(_gpt2())
    return whence.load(model_folder(name), dtype="float32")


def _gpt2() -> tuple[Any, Any]:
    """A GPT-2 of random weights, which reads the words of the sentences."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = sorted({w for text in SENTENCES["gpt2 (random)"] for w in text.split()})
    vocabulary = {word: index for index, word in enumerate(["<end>", "<unknown>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(vocabulary), n_positions=256, n_embd=256, n_layer=6, n_head=8,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unknown>", eos_token="<end>"
    )
    return GPT2LMHeadModel(config).eval(), fast


def explain(models: dict[str, Any], name: str, text: str, trust: str | None) -> dict[str, Any]:
    """Seconds, evaluations, scores and grade of an explanation with default settings."""
    import whence

    if name not in models:
        models[name] = model_of(name)
    # A store of the call's own: an older state keeps what it was asked once for the whole process.
    arguments: dict[str, Any] = {"cache": whence.MemoryCache()}
    if trust is not None:
        arguments["trust"] = trust
    start = time.process_time()
    result = whence.explain(models[name], text, **arguments)
    seconds = time.process_time() - start
    cost, label = result.provenance.cost, result.trust
    spent = [cost] if label is None else [cost, label.cost]
    return {
        "seconds": seconds,
        "evaluations": cost.evaluations,
        "gradients": cost.gradient_evaluations,
        "read": sum(c.distinct_evaluations + c.gradient_evaluations for c in spent),
        "scores": result.scores[:, 0].tolist(),
        "grade": None if label is None else label.grade,
        "method": result.provenance.method.name,
    }


def fidelity(
    models: dict[str, Any], name: str, text: str, scores: list[list[float]]
) -> list[float]:
    """Pool fidelity of some lists of scores, on 256 masks."""
    import whence
    from whence.evaluation.mask_pool import draw_masks
    from whence.evaluation.metrics.pool_fidelity import fidelities
    from whence.games.question import ask

    assert whence
    if name not in models:
        models[name] = model_of(name)
    question = ask(models[name], text)
    masks = draw_masks(len(question.segmentation), 256, 12345)
    answers = question.game()(masks)[:, 0]
    return [float(fidelities(masks, answers, np.array([each]))[0]) for each in scores]


def distill(_models: dict[str, Any], seed: int) -> dict[str, Any]:
    """Seconds of a distillation of 600 texts by a teacher whose answers cost nothing."""
    import whence

    def answers(batch: list[str]) -> list[list[float]]:
        result: list[list[float]] = []
        for text in batch:
            words = set(text.split())
            bad = "fraud" in words or ("late" in words and "waived" not in words)
            noise = int(hashlib.sha256(text.encode()).hexdigest()[:6], 16) / 0xFFFFFF
            reject = (0.75 if bad else 0.25) + 0.48 * (noise - 0.5)
            result.append([1 - reject, reject])
        return result

    rng = np.random.default_rng([seed, 7])
    filler, signals = (
        [f"word{i}" for i in range(200)],
        ["late", "waived", "fraud", "steady", "loan"],
    )
    texts: list[str] = []
    for _ in range(600):
        words = [*rng.choice(filler, size=20), *(s for s in signals if rng.random() < 0.3)]
        rng.shuffle(words)
        texts.append(" ".join(words))
    model: Any = whence.load(answers, labels=["accept", "reject"])
    teacher = whence.Teacher.of(model, gives="probability", version="rule 1")
    start = time.process_time()
    result = whence.distill(teacher, texts, seed=seed)
    seconds = time.process_time() - start
    agreement = result.certificate.agreement
    return {
        "seconds": seconds,
        "chosen": result.chosen,
        "agreement": [agreement.value, agreement.lower, agreement.upper],
        "kappa": result.certificate.kappa.value,
        "refits": str(result.certificate.refits),
    }


def answer_requests() -> None:
    """Answer the other process's requests until it ends."""
    import torch

    torch.set_num_threads(1)
    models: dict[str, Any] = {}
    tasks: dict[str, Callable[..., Any]] = {
        "explain": explain, "fidelity": fidelity, "distill": distill,
    }  # fmt: skip
    for line in sys.stdin:
        task, arguments = json.loads(line)
        print("answer " + json.dumps(tasks[task](models, **arguments)), flush=True)


# What is asked of both sides.


def ratio(pairs: list[tuple[float, float]]) -> str:
    return f"{median([new / old for old, new in pairs]):.2f}"


def labels(before: Side, after: Side, rounds: int) -> tuple[str, Any]:
    """Seconds of the default label: those with it less those without."""
    rows, data = [], {}
    for name, texts in SENTENCES.items():
        pairs: list[tuple[float, float]] = []
        reads: list[tuple[int, int]] = []
        for side in (before, after):
            # Loads the model and compiles its kernels.
            side("explain", name=name, text=min(texts, key=len), trust="default")
        for text in texts:
            for _ in range(rounds):
                sides = []
                for side in (before, after):
                    plain = side("explain", name=name, text=text, trust="off")
                    judged = side("explain", name=name, text=text, trust="default")
                    sides.append(
                        (judged["seconds"] - plain["seconds"], judged["read"] - plain["read"])
                    )
                pairs.append((sides[0][0], sides[1][0]))
                reads.append((sides[0][1], sides[1][1]))
        data[name] = {"seconds": pairs, "read": reads}
        rows.append(
            [
                name,
                f"{median([old for old, _ in pairs]):.3f}",
                f"{median([new for _, new in pairs]):.3f}",
                ratio(pairs),
                f"{median([old for old, _ in reads]):.0f}",
                f"{median([new for _, new in reads]):.0f}",
            ]
        )
    head = [
        "default label",
        "before, s",
        "after, s",
        "ratio (goal 0.6)",
        "rows read before",
        "after",
    ]
    return table(rows, head), data


def stories(count: int) -> list[str]:
    parts = iter(prompts(12 * count, 20))
    return [". ".join(next(parts) for _ in range(10)) + ". One day" for _ in range(count)]


def notes(before: Side, after: Side, count: int) -> tuple[str, Any]:
    """Notes of about 200 words by default settings: what they take, and how faithful the scores are."""
    # Here and not above: the older state has no such modules.
    from benchmarks.long_texts import notes as ward_notes
    from benchmarks.long_texts import reviews

    rows, data = [], {}
    tasks = {
        "embedded:health": ward_notes(count),
        "minilm-sst2": reviews(count),
        "stories260K": stories(count),
    }
    for name, texts in tasks.items():
        results: list[tuple[Any, Any]] = []
        scores: list[list[float]] = []
        for text in texts:
            old, new = (
                side("explain", name=name, text=text, trust=None) for side in (before, after)
            )
            results.append((old, new))
            lists = [old["scores"], new["scores"]]
            scores.append(after("fidelity", name=name, text=text, scores=lists))
        data[name] = {"results": results, "fidelity": scores}
        rows.append(
            [
                name,
                f"{median([old['read'] for old, _ in results]):,.0f}",
                f"{median([new['read'] for _, new in results]):,.0f}",
                ratio([(old["read"], new["read"]) for old, new in results]),
                ratio([(old["seconds"], new["seconds"]) for old, new in results]),
                ", ".join(f"{old:.2f}" for old, _ in scores),
                ", ".join(f"{new:.2f}" for _, new in scores),
            ]
        )
    head = ["note", "rows read before", "after", "ratio (goal 0.25)", "ratio of seconds",
            "pool fidelity before", "after"]  # fmt: skip
    return table(rows, head), data


def distillations(before: Side, after: Side, rounds: int) -> tuple[str, Any]:
    """Seconds of distilling 600 texts beside the teacher's."""
    pairs, results = [], []
    for side in (before, after):
        side("distill", seed=0)
    for seed in range(rounds):
        old, new = before("distill", seed=seed), after("distill", seed=seed)
        pairs.append((old["seconds"], new["seconds"]))
        results.append((old, new))
    same = sum(old["agreement"] == new["agreement"] for old, new in results)
    rows = [[f"{median([o for o, _ in pairs]):.2f}", f"{median([n for _, n in pairs]):.2f}",
             ratio(pairs), f"{same} of {len(results)}"]]  # fmt: skip
    head = [
        "distillation of 600 texts: before, s",
        "after, s",
        "ratio (goal 0.4)",
        "same agreement",
    ]
    return table(rows, head), results


SMALL = {
    "import whence": "import whence",
    "whence.explain": "import whence; whence.explain",
    "whence --help": "import sys; sys.argv = ['whence', '--help']; "
    "from whence.app.cli.main import main; main()",
}


def small(sources: tuple[Path, Path], rounds: int) -> tuple[str, Any]:
    """Seconds of a process that does one small thing."""
    import resource

    def seconds(source: Path, code: str) -> float:
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)  # fmt: skip
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime

    rows, data = [], {}
    for name, code in SMALL.items():
        pairs = [(seconds(sources[0], code), seconds(sources[1], code)) for _ in range(rounds)]
        data[name] = pairs
        cells = [f"{median([p[i] for p in pairs]):.2f}" for i in (0, 1)]
        rows.append([f"`{name}`", *cells, ratio(pairs)])
    return table(rows, ["process", "before, s", "after, s", "ratio"]), data


def main(source: Path | None = None, parts: Sequence[str] = PARTS, rounds: int = 3) -> None:
    """Measure some parts; tables of the others stay as they were stored."""
    if source is None:
        print("benchmarks.before_and_after needs the src folder of another state; left out")
        return
    sources = source.resolve(), HERE.parent / "src"
    before, after = (Side(each) for each in sources)
    runs: dict[str, Callable[[], tuple[str, Any]]] = {
        "label": lambda: labels(before, after, rounds),
        "notes": lambda: notes(before, after, rounds),
        "distill": lambda: distillations(before, after, rounds),
        "small": lambda: small(sources, rounds),
    }
    path = HERE / "results" / "before_and_after.json"
    data = json.loads(path.read_text())["data"] if path.is_file() else {}
    for part in parts:
        text, numbers = runs[part]()
        data[part] = {"table": f"{rounds} rounds.\n\n{text}", "numbers": numbers}
        text = "\n\n".join(data[each]["table"] for each in PARTS if each in data)
        store("before_and_after", (__doc__ or "").split("\n")[0], text, data)


if __name__ == "__main__":
    if sys.argv[1:] == ["--answer"]:
        answer_requests()
    else:
        parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
        parser.add_argument("source", type=Path, help="src folder of the other state")
        parser.add_argument("parts", nargs="*", default=PARTS, help="parts to measure")
        parser.add_argument("--rounds", type=int, default=3, help="runs of each, or notes")
        given = parser.parse_args()
        main(given.source, given.parts, given.rounds)
