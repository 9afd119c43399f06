"""Trains small classifiers on the ground-truth tasks, and rejects those that did not learn them.

    PYTHONPATH=. python examples/train_tasks.py                                # every task and architecture
    PYTHONPATH=. python examples/train_tasks.py --task agreement --architecture gpt2 --seed 1

Two layers, 64 wide, one token a word. Half of each batch has hidden words, and is labelled by the
task's rule on the remaining ones, so texts with missing words are not new to the models (Madsen et al.
2023, arXiv:2310.17419). A model is stored only if it passes the task's gate: held-out accuracy, and for
a planted shortcut also that it judges sentences without the shortcut like a model that never saw one,
which in turn is right by chance alone where the shortcut decides.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from ground_truth import TASKS, Task, TaskItem

import train_models  # isort: skip - the file beside this one

OUT = Path(__file__).parent / "build" / "tasks"
ARCHITECTURES = ("bert", "modernbert", "gpt2", "llama")
LONGEST, BATCH, RATE = 48, 64, 2e-3
WHOLE = 0.6
"""Share of the steps before the first in which words are hidden."""
VALIDATION_SEED, HELD_OUT_SEED = 10_000_019, 20_000_003
CLEAN = "tone"
"""The task of the same sentences without a shortcut, whose model is the clean one."""


class GateError(RuntimeError):
    """A model that has not learned its task."""


def tokenizer_of(task: Task, *, causal: bool) -> PreTrainedTokenizerFast:
    """One token a word. A causal model's texts begin with <s>, and it has no mask token."""
    special = (
        ["<pad>", "<unk>", "<s>"] if causal else ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    )
    words = {word: place for place, word in enumerate([*special, *task.vocabulary])}
    inner = Tokenizer(models.WordLevel(words, unk_token=special[1]))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = ["<s>"] if causal else ["[CLS]", "[SEP]"]
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A" if causal else "[CLS] $A [SEP]",
        special_tokens=[(mark, words[mark]) for mark in marks],
    )
    names = dict(zip(("pad_token", "unk_token"), special, strict=False))
    if causal:
        names["bos_token"] = "<s>"
    else:
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=LONGEST, **names)


def model_of(architecture: str, task: Task, words: PreTrainedTokenizerFast) -> Any:
    common: dict[str, Any] = {
        "vocab_size": len(words),
        "id2label": dict(enumerate(task.labels)),
        "label2id": {label: index for index, label in enumerate(task.labels)},
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": None,
        "problem_type": "single_label_classification",
    }
    size = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    if architecture == "bert":
        return BertForSequenceClassification(
            BertConfig(
                **common,
                **size,
                intermediate_size=128,
                max_position_embeddings=LONGEST,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        )
    if architecture == "modernbert":
        common |= {"cls_token_id": words.cls_token_id, "sep_token_id": words.sep_token_id}
        return ModernBertForSequenceClassification(
            ModernBertConfig(
                **common,
                **size,
                intermediate_size=96,
                max_position_embeddings=LONGEST,
                global_attn_every_n_layers=1,
                classifier_pooling="mean",
            )
        )
    if architecture == "gpt2":
        return GPT2ForSequenceClassification(
            GPT2Config(
                **common,
                n_embd=64,
                n_layer=2,
                n_head=4,
                n_inner=128,
                n_positions=LONGEST,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
            )
        )
    if architecture == "llama":
        return LlamaForSequenceClassification(
            LlamaConfig(
                **common,
                **size,
                intermediate_size=96,
                num_key_value_heads=4,
                max_position_embeddings=LONGEST,
            )
        )
    raise SystemExit(f"no architecture {architecture!r}; choose from {', '.join(ARCHITECTURES)}")


def shown(
    item: TaskItem, task: Task, rng: random.Random, mask: str | None, *, whole: bool
) -> tuple[list[str], float, float]:
    """Words as the model reads them, the probability of the second label, and the row's weight.

    Half of the rows have words hidden, unless all are to be ``whole``.
    """
    words = list(item.words)
    label = float(item.label == task.labels[1])
    if whole or task.rule is None or rng.random() < 0.5:
        return words, label, 1.0
    share = rng.random()
    hidden = [None if rng.random() < share else word for word in words]
    if mask is None:
        left = [word for word in hidden if word is not None]
        return left, task.rule(left), 0.5
    return [word or mask for word in hidden], task.rule(hidden), 0.5


def learn(
    task: Task, architecture: str, seed: int, steps: int, log: Callable[[str], None]
) -> tuple[Any, PreTrainedTokenizerFast, dict[str, Any]]:
    """Train from scratch; the model, its tokenizer, and facts for the card."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    words = tokenizer_of(task, causal=architecture in ("gpt2", "llama"))
    model = model_of(architecture, task, words).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    ids = words.get_vocab()
    start = [ids["<s>"]] if words.mask_token is None else [ids["[CLS]"]]
    end = [] if words.mask_token is None else [ids["[SEP]"]]
    started = time.perf_counter()
    for step in range(steps):
        items = task.mixture(BATCH, seed=seed * 1_000_003 + step)
        # What is hidden says little before there is something to hide from.
        whole = step < steps * WHOLE
        rows = [shown(item, task, rng, words.mask_token, whole=whole) for item in items]
        tokens = [[*start, *(ids[word] for word in row[0]), *end] for row in rows]
        batch = train_models.padded(tokens, words.pad_token_id)
        second = torch.tensor([row[1] for row in rows])
        weight = torch.tensor([row[2] for row in rows])
        seen = train_models.padded([[1] * len(row) for row in tokens], 0)
        logits = model(input_ids=batch, attention_mask=seen).logits
        wanted = torch.stack([1 - second, second], dim=1)
        each = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
        for group in optimiser.param_groups:
            group["lr"] = RATE * train_models.schedule(step, steps)
        optimiser.zero_grad()
        (each * weight).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 500 == 0:
            seconds = time.perf_counter() - started
            log(f"  step {step} of {steps}: loss {each.mean().item():.4f}, {seconds:.0f} s")
    facts = {
        "seed": seed,
        "steps": steps,
        "training_rows": steps * BATCH,
        "training_seconds": round(time.perf_counter() - started, 1),
    }
    return model.eval(), words, facts


def right(folder: Path, items: Sequence[TaskItem]) -> list[bool]:
    """Which items a stored model answers correctly."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    words = PreTrainedTokenizerFast.from_pretrained(folder)
    answers = train_models.predict(model, words, [item.text for item in items])
    return [answer == item.label for answer, item in zip(answers, items, strict=True)]


def gates(task: Task, folder: Path, clean: Path | None, n: int = 2_000) -> dict[str, Any]:
    """Held-out accuracy by kind of text, and whether the task's gate is passed."""
    items = task.mixture(n, seed=HELD_OUT_SEED)
    hits = right(folder, items)
    measured = {"accuracy": train_models.share(hits)}
    for kind in dict.fromkeys(item.kind for item in items):
        chosen = [hit for hit, item in zip(hits, items, strict=True) if item.kind == kind]
        measured[f"accuracy_{kind}"] = train_models.share(chosen)
    measured["accuracy_explained"] = train_models.share(
        right(folder, task.items(n, seed=HELD_OUT_SEED + 1))
    )
    least = {"accuracy": measured["accuracy"]["value"] >= task.gate}
    planted = [item for item in task.mixture(n, seed=HELD_OUT_SEED + 2) if item.kind == "planted"]
    if planted:
        least["planted"] = measured["accuracy_planted"]["value"] >= task.gate
    if planted and clean is not None:
        plain = [item for item in items if item.kind == "plain"]
        before, after = train_models.share(right(clean, plain)), measured["accuracy_plain"]
        least["plain as the clean model"] = abs(before["value"] - after["value"]) <= 0.01
        measured["clean_accuracy_plain"] = before
        measured["clean_accuracy_planted"] = chance = train_models.share(right(clean, planted))
        # A word that a model has never read may tip it one way, but knows nothing of the label.
        least["clean model by chance"] = chance["low"] <= 0.55 and chance["high"] >= 0.45
    return {"measured": measured, "gates": least, "passed": all(least.values())}


def train(
    task: Task | str,
    architecture: str = "bert",
    seed: int = 0,
    folder: Path = OUT,
    *,
    steps: int | None = None,
    clean: Path | None = None,
    log: Callable[[str], None] = print,
) -> Path:
    """Train one model, hold it to its gate, and store it in float16 with a card.

    Args:
        task: or its name.
        architecture: ``bert``, ``modernbert``, ``gpt2`` or ``llama``.
        seed: of the weights and of the texts.
        folder: holds ``TASK/ARCHITECTURE-SEED`` afterwards.
        steps: none: as many as the task takes.
        clean: the folder of a model of the sentences' tone, for the gates of a planted shortcut.
        log: takes lines of progress.

    Raises:
        GateError: the model has not learned the task; what it reached is in its card.
    """
    chosen = TASKS[task] if isinstance(task, str) else task
    place = folder / chosen.name / f"{architecture}-{seed}"
    place.mkdir(parents=True, exist_ok=True)
    log(f"{chosen.name}, {architecture}, seed {seed}")
    model, words, facts = learn(chosen, architecture, seed, steps or STEPS[chosen.name], log)
    model.half().save_pretrained(place)
    words.save_pretrained(place)
    result = gates(chosen, place, clean)
    facts |= {
        "task": chosen.name,
        "about": chosen.about,
        "architecture": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": (place / "model.safetensors").stat().st_size,
        "threads": torch.get_num_threads(),
        **result,
    }
    (place / "card.json").write_text(json.dumps(facts, indent=1) + "\n")
    reached = {key: value["value"] for key, value in result["measured"].items()}
    log(f"  {'kept' if result['passed'] else 'refused'}: {reached}, {facts['bytes']:,} bytes")
    if not result["passed"]:
        failed = [name for name, passed in result["gates"].items() if not passed]
        raise GateError(f"{chosen.name} {architecture}-{seed}: {', '.join(failed)}: {reached}")
    return place


STEPS = {
    "tone": 500,
    "chance": 300,
    "planted-single": 500,
    "planted-context": 1000,
    "planted-order": 1500,
    "planted-redundant": 500,
    "planted-backdoor": 900,
    "brackets": 2500,
    "counting": 900,
    "agreement": 700,
    "retrieval": 5000,
}
"""Steps of training; each reads 64 texts."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", choices=[*STEPS], action="append")
    parser.add_argument("--architecture", choices=ARCHITECTURES, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--again", action="store_true", help="also those that have passed already")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    refused: list[str] = []
    for seed in arguments.seed or [0]:
        for architecture in arguments.architecture or ARCHITECTURES:
            for name in arguments.task or [*STEPS]:
                card = arguments.out / name / f"{architecture}-{seed}" / "card.json"
                if card.exists() and json.loads(card.read_text())["passed"] and not arguments.again:
                    continue
                clean = arguments.out / CLEAN / f"{architecture}-{seed}"
                kept = clean if (clean / "card.json").exists() else None
                try:
                    train(
                        name, architecture, seed, arguments.out, steps=arguments.steps, clean=kept
                    )
                except GateError as error:
                    refused.append(str(error))
                    print(f"refused: {error}", flush=True)
    if refused:
        raise SystemExit(f"{len(refused)} models have not learned their task")


if __name__ == "__main__":
    main()
