"""What does watching every head's attention cost, beside asking the model for its weights?

A BERT of 12 layers x 12 heads, width 768, random weights, one text of n tokens. Each variant runs in
a process of its own: the plain pass with sdpa, ``whence.attend``, and eager with
``output_attentions=True``. Memory is the peak of the process above what the loaded model took.
Then the bytes of a page, beside the page that BertViz writes for the same weights.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import queue
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.common import median, store, table

LENGTHS = {512: 3, 1024: 3, 2048: 3, 4096: 1}
"""Tokens, and the rounds of each; every way once in a round."""
PAGES = (128, 512)
WAYS = ("plain", "whence", "eager")
LAYERS, HEADS, WIDTH = 12, 12, 768
SUMMARY: dict[str, Any] = {"keep": "summary", "effects": None, "flow": False}
PAGE: dict[str, Any] = {"keep": "auto", "effects": None, "flow": False}
GOAL = 1 / 6
PER_WEIGHT = 300
"""Bytes of memory that BertViz needs for a weight: a list of floats, their text, its copies."""
LIMIT = 900


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def free_bytes() -> int:
    """Memory that can be had without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/meminfo has no MemAvailable")


def weights_of(n: int) -> int:
    return LAYERS * HEADS * n * n


def eager_needs(n: int) -> int:
    """Bytes of all weights in float32, and of one layer's scores, weights and a copy."""
    return 4 * weights_of(n) + 3 * 4 * HEADS * n * n


def _made(attention: str) -> tuple[Any, Any]:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    import whence

    longest = max(LENGTHS)
    words = {f"w{i}": i for i in range(1000)} | {"[UNK]": 1000, "[PAD]": 1001}
    inner = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", model_max_length=longest
    )
    config = BertConfig(
        vocab_size=1002,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=longest,
        attn_implementation=attention,
    )
    torch.manual_seed(0)
    module = BertForSequenceClassification(config).eval()
    return module, whence.load((module, tokenizer))


def _text(n: int) -> str:
    import numpy as np

    return " ".join(f"w{i}" for i in np.random.default_rng(0).integers(0, 1000, n))


def _measure(way: str, n: int, send: Any) -> None:
    import torch

    import whence

    module, model = _made("eager" if way == "eager" else "sdpa")
    text = _text(n)
    short = _text(16)

    def read(what: str) -> Any:
        inputs = {"input_ids": torch.tensor(model.encode(what).ids[None])}
        with torch.inference_mode():
            return module(**inputs, output_attentions=way == "eager").attentions

    def run(what: str) -> Any:
        return whence.attend(model, what, **SUMMARY) if way == "whence" else read(what)

    run(short)
    before = _peak()
    started = time.perf_counter()
    result = run(text)
    seconds, extra, stored = time.perf_counter() - started, _peak() - before, 0
    if way == "whence":
        with tempfile.TemporaryDirectory() as folder:
            result.save(folder)
            stored = sum(path.stat().st_size for path in Path(folder).iterdir())
    elif way == "eager":
        stored = sum(w.numel() * w.element_size() for w in result)
    send.put((seconds, extra, stored))


def _pages(n: int, view: str, send: Any) -> None:
    """Bytes of one page, all pages from the same module and text."""
    import torch

    import whence

    module, model = _made("eager")
    text = _text(n)
    if view == "whence":
        result = whence.attend(model, text, **PAGE)
        started = time.perf_counter()
        page = result.to_html()
        seconds = time.perf_counter() - started
        from whence.app.attention.payload import payload_of

        lenses = [lens for layer in payload_of(result).tree["layers"] for lens in layer["lens"]]
        whole = sum("full" in lens for lens in lenses)
        send.put((len(page.encode()), seconds, len(lenses), whole))
        return
    import bertviz

    ids = model.encode(text).ids[None]
    with torch.inference_mode():
        weights = module(input_ids=torch.tensor(ids), output_attentions=True).attentions
    started = time.perf_counter()
    made = getattr(bertviz, view)(weights, text.split(), html_action="return")
    send.put((len(made.data.encode()), time.perf_counter() - started))


def _alone(function: Any, *given: Any) -> Any:
    """What a function sends from a process of its own; ``None`` where the process died."""
    context = multiprocessing.get_context("spawn")
    sent = context.Queue()
    process = context.Process(target=function, args=(*given, sent))
    process.start()
    until = time.monotonic() + LIMIT
    try:
        while time.monotonic() < until:
            try:
                return sent.get(timeout=1)
            except queue.Empty:
                if not process.is_alive():
                    break
        # It may have sent and ended between the two looks.
        try:
            return sent.get(timeout=1)
        except queue.Empty:
            return None
    finally:
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()


def load_line(before: tuple[float, ...]) -> str:
    """How busy the machine was, of which the times here are to be read."""
    after = os.getloadavg()
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    return (
        f"Load average (1 minute) {before[0]:.1f} before and {after[0]:.1f} after, on "
        f"{os.cpu_count()} cores; OMP_NUM_THREADS={threads}."
    )


def _rounds(n: int, rounds: int) -> dict[str, Any]:
    result: dict[str, Any] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            free = free_bytes()
            if way == "eager" and eager_needs(n) > 0.9 * free:
                result[way].append(None)
                print(
                    f"eager at n={n} does not fit: it needs {eager_needs(n):,} bytes, "
                    f"{free:,} are free",
                    file=sys.stderr,
                )
                continue
            result[way].append(_alone(_measure, way, n))
    print(json.dumps({n: result}), file=sys.stderr, flush=True)
    return result


def _row(n: int, rounds: int, result: dict[str, Any]) -> list[Any]:
    def middle(way: str, place: int) -> float | None:
        values = [one[place] for one in result[way] if one is not None]
        return median(values) if values else None

    def shown(value: float | None, digits: int, n: int) -> str:
        if value is None:
            return f"does not fit ({eager_needs(n) / 1e6:,.0f} MB)"
        return f"{value:,.{digits}f}"

    plain = middle("plain", 1)
    ratios = [
        (w[1] - p[1]) / (e[1] - p[1])
        for p, w, e in zip(*(result[way] for way in WAYS), strict=True)
        if None not in (p, w, e)
    ]
    slower = [
        w[0] / p[0]
        for p, w in zip(result["plain"], result["whence"], strict=True)
        if None not in (p, w)
    ]
    beside = [
        w[0] / e[0]
        for w, e in zip(result["whence"], result["eager"], strict=True)
        if None not in (w, e)
    ]
    kept = middle("whence", 2)
    return [
        f"{n:,}",
        rounds,
        *(shown(middle(way, 0), 1, n) for way in WAYS),
        f"{median(slower):.1f}" if slower else "",
        f"{median(beside):.1f}" if beside else "",
        "" if plain is None else f"{plain:,.0f}",
        *(shown(middle(way, 1), 0, n) for way in WAYS[1:]),
        f"{median(ratios):.2f}" if ratios else "",
        "" if kept is None else f"{kept / 1e6:.1f}",
        f"{4 * weights_of(n) / 1e6:,.0f}",
    ]


def costs() -> tuple[str, dict[str, Any]]:
    data: dict[str, Any] = {}
    rows = []
    for n, rounds in LENGTHS.items():
        data[str(n)] = _rounds(n, rounds)
        rows.append(_row(n, rounds, data[str(n)]))
    head = [
        "tokens",
        "rounds",
        *(f"{way}, s" for way in WAYS),
        "whence / plain, time",
        "whence / eager, time",
        *(f"{way}, MB" for way in WAYS),
        "whence / eager, extra memory",
        "saved record, MB",
        "eager's weights, MB",
    ]
    at = rows[list(LENGTHS).index(2048)][10]
    verdict = "not measured" if not at else f"{at}, {'met' if float(at) <= GOAL else 'missed'}"
    return (
        f"{LAYERS} layers x {HEADS} heads, float32. whence: `whence.attend(model, text, "
        'keep="summary", effects=None, flow=False)`: statistics, thumbnails and heaviest keys of '
        "every head; no queries and keys, no effects. Eager keeps every weight. Every run in a "
        "process of its own; medians over rounds, ratios within a round. MB: peak of the process "
        "above the loaded model; the ratio is of what each took above the plain pass (goal at "
        f"2,048 tokens: at most 0.17; {verdict}).\n\n" + table(rows, head)
    ), data


def pages() -> tuple[str, dict[str, Any]]:
    data: dict[str, Any] = {}
    rows = []
    there = importlib.util.find_spec("bertviz") is not None
    if not there:
        print("bertviz is not installed: its columns are left out", file=sys.stderr)
    for n in PAGES:
        result: dict[str, Any] = {"whence": _alone(_pages, n, "whence")}
        for view in ("head_view", "model_view") if there else ():
            fits = PER_WEIGHT * weights_of(n) < 0.9 * free_bytes()
            result[view] = _alone(_pages, n, view) if fits else None
        data[str(n)] = result
        print(json.dumps({n: result}), file=sys.stderr, flush=True)
        ours = result["whence"]
        row: list[Any] = [n, "failed" if ours is None else f"{ours[0] / 1e6:.1f}"]
        row.append("" if ours is None else f"{ours[2]} / {ours[3]} of {LAYERS * HEADS}")
        for view in ("head_view", "model_view"):
            theirs = result.get(view)
            if theirs is None:
                row += ["does not fit" if there else "bertviz is not installed", ""]
            else:
                row += [f"{theirs[0] / 1e6:,.1f}", f"{theirs[0] / ours[0]:.1f}" if ours else ""]
        rows.append(row)
    named = f"BertViz {version('bertviz')}" if there else "BertViz"
    head = [
        "tokens",
        "whence, MB",
        "heads with single tokens / whole matrices",
        "head_view, MB",
        "times whence",
        "model_view, MB",
        "times whence",
    ]
    return (
        f"Bytes of a page of the same model and text. whence: `attend(model, text, effects=None, "
        'flow=False).to_html()`, with `keep="auto"`: an overview of every head, and single tokens '
        f"and whole matrices of as many as its budget holds. {named}: every weight of every "
        "head.\n\n" + table(rows, head)
    ), data


def main() -> None:
    before = os.getloadavg()
    cost, measured = costs()
    page, written = pages()
    line = load_line(before)
    data = {"costs": measured, "pages": written, "load": [before, os.getloadavg()]}
    store("attention", "Seeing every head", f"{cost}\n\n{page}\n\n{line}", data)


if __name__ == "__main__":
    main()
