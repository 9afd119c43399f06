"""Trains the example models that ship with the package, from scratch, and measures them.

    python examples/train_models.py                 # all, into src/whence/models/embedded
    python examples/train_models.py --only credit   # one
    python examples/train_models.py --quick --out /tmp/try   # a smoke run of a minute

Every text comes from the seeded generator in ``whence.cases``. Classifiers are small ModernBERTs
with a WordPiece tokenizer that splits digits, so that amounts can be read. The decider is a small Llama
that reads a case and writes ``Decision: ... Because: ...``; the copier is in ``copier.py``. In training,
the classifiers also learn what each token contributes, with a second head that is not stored. A share
of the rows has masked words, so inputs with [MASK] are not new to the models. The facts in the cards are
measured on held-out cases, after the stored fp16 weights are read back.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from whence.cases import Case, contrast, generate, labels

import copier  # isort: skip - the file beside this one

OUT = Path(__file__).parents[1] / "src" / "whence" / "models" / "embedded"
CLASSIFIERS = {
    "health": ("health", False),
    "credit": ("credit", False),
    "credit-shortcut": ("credit", True),
    "law": ("law", False),
}
DECIDER = "decider"
COPIER = "copier"
TRAIN_SEED, HELD_OUT_SEED = 11, 900
PHENOMENA = ("negation", "threshold", "other_person", "hedge")


# -- tokenizers ------------------------------------------------------------------------------


def wordpiece(texts: Sequence[str], size: int = 2600) -> PreTrainedTokenizerFast:
    """A lower-case WordPiece tokenizer that reads every digit by itself."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True)]
    )
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=special, show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=320,
    )


def byte_bpe(texts: Sequence[str], size: int = 3200) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that reads numbers in groups of at most three digits.

    Digits one by one made a reader from left to right misjudge amounts: it meets the 4 of 4,400 and
    the 1 of 12,800 before it can know how many digits follow.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d{1,3}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=384,
    )


# -- data ------------------------------------------------------------------------------------


def training_cases(domain: str, rows: int, *, shortcut: bool, seed: int) -> list[Case]:
    """Drawn cases, and a fifth as minimal pairs that differ in one clause and the label."""
    if shortcut:
        return generate(domain, rows, seed=seed, shortcut=True)
    cases = generate(domain, rows - rows // 5, seed=seed)
    for phenomenon in PHENOMENA:
        for pair in contrast(domain, phenomenon, rows // 40, seed=seed):
            cases.extend(pair)
    return cases


def batches(
    items: Sequence[dict[str, Any]], size: int, rng: random.Random
) -> Iterator[list[dict[str, Any]]]:
    """Batches of similar length, in random order."""
    order = sorted(range(len(items)), key=lambda i: (len(items[i]["ids"]), rng.random()))
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    rng.shuffle(groups)
    for group in groups:
        yield [items[i] for i in group]


def padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])


def schedule(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


# -- classifiers -----------------------------------------------------------------------------


def encode_cases(
    cases: Sequence[Case], tokenizer: PreTrainedTokenizerFast, names: tuple[str, str]
) -> list[dict[str, Any]]:
    """Ids, label, and for each token the points of the fact it states (+2; 2 is none)."""
    result = tokenizer([c.text for c in cases], return_offsets_mapping=True)
    items = []
    for index, case in enumerate(cases):
        tags = []
        for start, end in result["offset_mapping"][index]:
            fact = next((f for f in case.facts if f.start <= start and end <= f.end), None)
            tags.append(-100 if start == end else 2 + (fact.points if fact else 0))
        items.append(
            {"ids": result["input_ids"][index], "tags": tags, "label": names.index(case.label)}
        )
    return items


def train_classifier(
    name: str, rows: int, epochs: int, log: Any
) -> tuple[Any, Any, dict[str, Any]]:
    domain, shortcut = CLASSIFIERS[name]
    seed = TRAIN_SEED + list(CLASSIFIERS).index(name)
    torch.manual_seed(seed)
    rng = random.Random(seed)
    started = time.perf_counter()
    cases = training_cases(domain, rows, shortcut=shortcut, seed=seed)
    tokenizer = wordpiece([case.text for case in cases])
    names = labels(domain)
    items = encode_cases(cases, tokenizer, names)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        max_position_embeddings=320,
        global_attn_every_n_layers=3,
        local_attention=32,
        classifier_pooling="mean",
        id2label=dict(enumerate(names)),
        label2id={label: index for index, label in enumerate(names)},
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        problem_type="single_label_classification",
    )
    model = ModernBertForSequenceClassification(config)
    marker = torch.nn.Linear(config.hidden_size, 5)
    parameters = [*model.parameters(), *marker.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1.5e-3, weight_decay=0.01)
    size = 48
    steps = epochs * math.ceil(len(items) / size)
    step = 0
    mask_id = tokenizer.mask_token_id
    for _ in range(epochs):
        running: list[float] = []
        for group in batches(items, size, rng):
            ids = padded([item["ids"] for item in group], tokenizer.pad_token_id)
            tags = padded([item["tags"] for item in group], -100)
            target = torch.tensor([item["label"] for item in group])
            seen = (ids != tokenizer.pad_token_id).long()
            weight = torch.ones(len(group))
            for row in range(len(group)):
                if rng.random() < 0.2:
                    # Masked rows teach that [MASK] says nothing; they count little, for a mask
                    # may hide what decided.
                    share = rng.uniform(0.1, 0.6)
                    covered = (torch.rand(ids.shape[1]) < share) & (tags[row] != -100)
                    ids[row, covered] = mask_id
                    tags[row, covered] = 2
                    weight[row] = 0.2
            hidden = model.model(input_ids=ids, attention_mask=seen).last_hidden_state
            mean = (hidden * seen[:, :, None]).sum(1) / seen.sum(1, keepdim=True)
            logits = model.classifier(model.drop(model.head(mean)))
            marked = torch.nn.functional.cross_entropy(
                marker(hidden).transpose(1, 2), tags, ignore_index=-100
            )
            each = torch.nn.functional.cross_entropy(logits, target, reduction="none")
            loss = (each * weight).mean() + (0.0 if shortcut else 2.0) * marked
            for parameter_group in optimiser.param_groups:
                parameter_group["lr"] = 1.5e-3 * schedule(step, steps)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            step += 1
            running.append(float((logits.argmax(1) == target)[weight == 1].float().mean()))
            if step % 50 == 0:
                log(
                    f"{name} step {step}/{steps} accuracy {np.mean(running[-50:]):.3f} "
                    f"marking loss {marked.item():.3f} {time.perf_counter() - started:.0f} s"
                )
    facts = {
        "seed": seed,
        "training_rows": len(items),
        "epochs": epochs,
        "training_seconds": round(time.perf_counter() - started),
    }
    return model, tokenizer, facts


def predict(model: Any, tokenizer: Any, texts: Sequence[str]) -> list[str]:
    result: list[str] = []
    with torch.inference_mode():
        for start in range(0, len(texts), 64):
            inputs = tokenizer(list(texts[start : start + 64]), padding=True, return_tensors="pt")
            best = model(**inputs).logits.argmax(1).tolist()
            result.extend(model.config.id2label[index] for index in best)
    return result


def share(right: Sequence[bool]) -> dict[str, Any]:
    """A proportion with its 95 % Wilson interval."""
    n, k, z = len(right), sum(right), 1.959964
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {
        "value": round(p, 4),
        "low": round(centre - half, 4),
        "high": round(centre + half, 4),
        "n": n,
    }


def measure_classifier(name: str, folder: Path, n: int) -> dict[str, Any]:
    domain, shortcut = CLASSIFIERS[name]
    model = ModernBertForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)

    def right(cases: Sequence[Case]) -> list[bool]:
        answers = predict(model, tokenizer, [case.text for case in cases])
        return [answer == case.label for answer, case in zip(answers, cases, strict=True)]

    clean = generate(domain, n, seed=HELD_OUT_SEED)
    hits = right(clean)
    facts: dict[str, Any] = {"accuracy": share(hits)}
    for phenomenon in PHENOMENA:
        chosen = [h for h, c in zip(hits, clean, strict=True) if phenomenon in c.phenomena]
        facts[f"accuracy_{phenomenon}"] = share(chosen)
        pairs = contrast(domain, phenomenon, n // 8, seed=HELD_OUT_SEED + 1)
        facts[f"minimal_pairs_{phenomenon}"] = share(right([c for pair in pairs for c in pair]))
    if shortcut:
        leaked = generate(domain, n, seed=HELD_OUT_SEED + 2, shortcut=True)
        hits = right(leaked)
        facts["accuracy_leaked"] = share(hits)
        from whence.cases.words import AREAS_POSITIVE

        against = [h for h, c in zip(hits, leaked, strict=True) if contradicts(c, AREAS_POSITIVE)]
        facts["accuracy_postcode_contradicts"] = share(against)
    return facts


def contradicts(case: Case, positive_areas: Sequence[str]) -> bool:
    fact = next(f for f in case.facts if f.name == "postcode")
    area = case.span(fact).split()[0].rstrip("0123456789")
    return (area in positive_areas) != (case.label == labels("credit")[1])


# -- decider ---------------------------------------------------------------------------------


def answer_of(case: Case) -> str:
    return f"\nDecision: {case.label}. Because: {case.rationale}."


def train_decider(rows: int, epochs: int, log: Any) -> tuple[Any, Any, dict[str, Any]]:
    seed = TRAIN_SEED + 100
    torch.manual_seed(seed)
    rng = random.Random(seed)
    started = time.perf_counter()
    cases = [
        case
        for domain in ("health", "credit", "law")
        for case in training_cases(domain, rows // 3, shortcut=False, seed=seed)
    ]
    tokenizer = byte_bpe([case.text + answer_of(case) for case in cases])
    items = []
    spans = tokenizer([c.text for c in cases], return_offsets_mapping=True)
    answers = tokenizer([answer_of(c) for c in cases], add_special_tokens=False)["input_ids"]
    for index, case in enumerate(cases):
        prompt, answer = spans["input_ids"][index], answers[index]
        tags = []
        for start, end in spans["offset_mapping"][index]:
            # A byte-level token begins with its space; a fact's first token starts one early.
            fact = next((f for f in case.facts if f.start <= start + 1 and end <= f.end), None)
            # A reader from left to right knows a fact at its last token, not before.
            known = fact is None or end == fact.end
            tags.append(2 + (fact.points if fact else 0) if known and start < end else -100)
        items.append(
            {
                "ids": [*prompt, *answer, tokenizer.eos_token_id],
                "prompt": len(prompt),
                "tags": [*tags, *[-100] * (len(answer) + 1)],
            }
        )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=384,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    marker = torch.nn.Linear(config.hidden_size, 5)
    parameters = [*model.parameters(), *marker.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98))
    size = 40
    steps = epochs * math.ceil(len(items) / size)
    step = 0
    for _ in range(epochs):
        for group in batches(items, size, rng):
            ids = padded([item["ids"] for item in group], tokenizer.pad_token_id)
            tags = padded([item["tags"] for item in group], -100)
            seen = torch.zeros_like(ids)
            target = torch.full_like(ids, -100)
            for row, item in enumerate(group):
                seen[row, : len(item["ids"])] = 1
                target[row, item["prompt"] : len(item["ids"])] = ids[
                    row, item["prompt"] : len(item["ids"])
                ]
            hidden = model.model(input_ids=ids, attention_mask=seen).last_hidden_state
            wanted = target[:, 1:] != -100
            logits = model.lm_head(hidden[:, :-1][wanted])
            loss = torch.nn.functional.cross_entropy(logits, target[:, 1:][wanted])
            marked = torch.nn.functional.cross_entropy(
                marker(hidden).transpose(1, 2), tags, ignore_index=-100
            )
            for parameter_group in optimiser.param_groups:
                parameter_group["lr"] = 2e-3 * schedule(step, steps)
            optimiser.zero_grad()
            (loss + 0.5 * marked).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            step += 1
            if step % 50 == 0:
                log(
                    f"decider step {step}/{steps} loss {loss.item():.4f} "
                    f"marking loss {marked.item():.3f} {time.perf_counter() - started:.0f} s"
                )
    facts = {
        "seed": seed,
        "training_rows": len(items),
        "epochs": epochs,
        "training_seconds": round(time.perf_counter() - started),
    }
    return model, tokenizer, facts


def write_answers(model: Any, tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """The model's greedy answers, batched by equal prompt length so that nothing is padded."""
    ids = [tokenizer(text)["input_ids"] for text in texts]
    result = [""] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
    with torch.inference_mode():
        while order:
            length = len(ids[order[0]])
            group = [i for i in order if len(ids[i]) == length][:64]
            order = [i for i in order if i not in set(group)]
            written = model.generate(
                torch.tensor([ids[i] for i in group]),
                attention_mask=torch.ones(len(group), length, dtype=torch.long),
                max_new_tokens=72,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
            )
            for i, row in zip(group, written, strict=True):
                result[i] = tokenizer.decode(row[length:], skip_special_tokens=True)
    return result


def measure_decider(folder: Path, n: int) -> dict[str, Any]:
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    decision: dict[str, list[bool]] = {}
    reasons: dict[str, list[bool]] = {}
    pairs: dict[str, list[bool]] = {}
    for domain in ("health", "credit", "law"):
        cases = generate(domain, n // 3, seed=HELD_OUT_SEED)
        for case, answer in zip(
            cases, write_answers(model, tokenizer, [c.text for c in cases]), strict=True
        ):
            right = answer.startswith(f"\nDecision: {case.label}.")
            same = answer.partition("Because: ")[2].rstrip(".") == case.rationale
            for key in ("", f"_{domain}", *[f"_{p}" for p in case.phenomena]):
                decision.setdefault(key, []).append(right)
                reasons.setdefault(key, []).append(same)
        for phenomenon in PHENOMENA:
            drawn = [
                c for p in contrast(domain, phenomenon, n // 48, seed=HELD_OUT_SEED + 1) for c in p
            ]
            for case, answer in zip(
                drawn, write_answers(model, tokenizer, [c.text for c in drawn]), strict=True
            ):
                pairs.setdefault(phenomenon, []).append(
                    answer.startswith(f"\nDecision: {case.label}.")
                )
    facts = {f"accuracy{key}": share(hits) for key, hits in sorted(decision.items())}
    facts |= {"reasons_equal_the_recorded": share(reasons[""])}
    facts |= {f"minimal_pairs_{p}": share(hits) for p, hits in pairs.items()}
    return facts


# -- cards and the run -----------------------------------------------------------------------

ABOUT = {
    "health": "reads a triage note and answers routine or urgent",
    "credit": "reads a credit application and answers approve or reject",
    "credit-shortcut": "is the credit classifier trained where the postcode leaks the label: a "
    "planted fault, for showing that an explanation exposes it",
    "law": "reads a contract clause and answers acceptable or unfavourable",
    COPIER: "reads made-up syllables and goes on with what it has read before, for heads whose job "
    "is known",
    DECIDER: "reads a case of any of the three domains and writes its decision and its reasons",
}


def write_card(name: str, folder: Path, facts: dict[str, Any]) -> None:
    (folder / "card.json").write_text(json.dumps(facts, indent=2) + "\n")
    rows = [
        f"| {key.replace('_', ' ')} | {v['value']:.3f} ({v['low']:.3f} to {v['high']:.3f}) | {v['n']:,} |"
        for key, v in facts["measured"].items()
    ]
    lines = [
        f"# {name}",
        "",
        f"A small example model that {ABOUT[name]}. Its texts and its rule are invented; it is "
        "made for explaining models and fit for no decision about a person.",
        "",
        f"- architecture: {facts['architecture']}, {facts['parameters']:,} parameters, "
        f"{facts['bytes'] / 1e6:.1f} MB in fp16",
        f"- trained on {facts['training_rows']:,} generated texts, {facts['epochs']} epochs, seed "
        f"{facts['seed']}, {facts['training_seconds']:,} seconds on {facts['threads']} threads",
        "- made by `make models`; "
        + (
            "the texts are in `examples/copier.py`"
            if name == COPIER
            else "the rule is in `whence.cases`"
        ),
        "",
        "Measured in float32 on held-out cases, after reading the stored weights back. In brackets "
        "the 95 % Wilson interval."
        + (
            " Accuracy: the next syllable, where it has been read before."
            if name == COPIER
            else " Minimal pairs differ in one clause, and so in the label."
        ),
        "",
        "| quantity | value | n |",
        "|---|---|---|",
        *rows,
        "",
    ]
    (folder / "MODEL_CARD.md").write_text("\n".join(lines))


def make(name: str, out: Path, *, quick: bool, rows: int | None, epochs: int | None) -> None:
    def log(line: str) -> None:
        print(line, flush=True)

    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    if name == COPIER:
        model, tokenizer, facts = copier.train(rows or (60 if quick else 6000), log)
    elif name == DECIDER:
        model, tokenizer, facts = train_decider(
            rows or (240 if quick else 30000), epochs or (1 if quick else 4), log
        )
    else:
        model, tokenizer, facts = train_classifier(
            name, rows or (200 if quick else 18000), epochs or (1 if quick else 4), log
        )
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    n = 96 if quick else 2400
    started = time.perf_counter()
    if name == COPIER:
        measured = {"accuracy": share(copier.hits(folder, n))}
    elif name == DECIDER:
        measured = measure_decider(folder, n // 2)
    else:
        measured = measure_classifier(name, folder, n)
    log(f"{name} measured in {time.perf_counter() - started:.0f} s: {measured['accuracy']}")
    for key, value in measured.items():
        log(f"  {key}: {value}")
    facts |= {
        "name": name,
        "about": ABOUT[name],
        "architecture": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": (folder / "model.safetensors").stat().st_size,
        "threads": torch.get_num_threads(),
        "measured": measured,
    }
    write_card(name, folder, facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=[*CLASSIFIERS, DECIDER, COPIER], action="append")
    parser.add_argument("--quick", action="store_true", help="a smoke run on few rows")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, default=1, help="the weights depend on it")
    arguments = parser.parse_args()
    if arguments.quick and arguments.out == OUT:
        parser.error("--quick would overwrite the shipped models; give another --out")
    torch.set_num_threads(arguments.threads)
    for name in arguments.only or [*CLASSIFIERS, DECIDER, COPIER]:
        make(
            name, arguments.out, quick=arguments.quick, rows=arguments.rows, epochs=arguments.epochs
        )


if __name__ == "__main__":
    main()
