"""How large are the effects of a model that has learned nothing, and what does its label say?

    python -m benchmarks.random_weights --level quick

Models of several shapes with random parameters are explained, and their labels counted. None should be
better than "do not use": there is nothing to explain. Their tokenizer has every byte, and the parameters
are drawn as a configuration of transformers draws them, or with a larger spread.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import torch
from ground_truth.sentences import VOCABULARY
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers import models as parts
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

import whence
from benchmarks.common import store, table

TEXTS = (
    "A dull and lifeless story that never finds its way.",
    "I did not expect to enjoy this as much as I did.",
)
SHAPES = (
    ("bert", 2, 2),
    ("bert", 12, 2),
    ("bert", 4, 20),
    ("roberta", 6, 3),
    ("modernbert", 4, 2),
    ("distilbert", 6, 5),
    ("gpt2", 4, 2),
    ("gpt2", 8, 10),
    ("gpt2", 4, 0),
    ("llama", 4, 0),
)
"""Type of the configuration, layers, labels; 0 labels: the next token is explained."""
SPREADS = (0.02, 0.1, 0.5)
"""Standard deviations of the parameters: that of transformers, and two that are larger."""


def tokenizer(*, causal: bool) -> PreTrainedTokenizerFast:
    """Byte pairs of the ground truth's words; whatever else is written is bytes."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    inner = Tokenizer(parts.BPE(unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        [*TEXTS, *VOCABULARY],
        trainers.BpeTrainer(
            vocab_size=1_000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A" if causal else "[CLS] $A [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "[CLS]"}
    if not causal:
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=128, **names)


def module(shape: tuple[str, int, int], spread: float, seed: int, words: int) -> torch.nn.Module:
    """A model of the shape, 64 wide, with random parameters."""
    kind, layers, labels = shape
    torch.manual_seed(seed)
    config: Any = AutoConfig.for_model(
        kind,
        vocab_size=words,
        hidden_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        initializer_range=spread,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
    )
    # What each type names in its own way, or would take from a model of usual size.
    own = {"intermediate_size": 128, "hidden_dim": 128, "num_key_value_heads": 4}
    own |= {"cls_token_id": 2, "sep_token_id": 3, "classifier_pooling": "mean"}
    for name, value in own.items():
        if hasattr(config, name):
            setattr(config, name, value)
    if not labels:
        return AutoModelForCausalLM.from_config(config).eval()
    config.num_labels = labels
    return AutoModelForSequenceClassification.from_config(config).eval()


def judged(shape: tuple[str, int, int], seeds: int, level: str) -> Iterator[list[Any]]:
    """Rows of type, layers, labels, spread, grade, effect and fidelity."""
    words = tokenizer(causal=shape[0] in ("gpt2", "llama"))
    for spread in SPREADS:
        for seed in range(seeds):
            model = whence.load((module(shape, spread, seed, len(words)), words))
            for text in TEXTS:
                label = whence.explain(model, text, trust=level).trust
                assert label is not None
                effect, fidelity = (label.measurement(n) for n in ("effect", "pool-fidelity"))
                assert effect is not None
                assert fidelity is not None
                yield [*shape, spread, label.grade, effect.value, fidelity.value]


def main(argv: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--level", default="quick")
    arguments = parser.parse_args(argv)
    rows = [row for shape in SHAPES for row in judged(shape, arguments.seeds, arguments.level)]
    lines: list[list[object]] = []
    for spread in SPREADS:
        for kind in dict.fromkeys(tuple(row[:3]) for row in rows):
            mine = [row for row in rows if tuple(row[:3]) == kind and row[3] == spread]
            effects, fidelities = (sorted(row[at] for row in mine) for at in (5, 6))
            grades = Counter(row[4] for row in mine)
            lines.append(
                [
                    f"{kind[0]}, {kind[1]} layers, {kind[2] or 'no'} labels",
                    spread,
                    len(mine),
                    f"{effects[len(mine) // 2]:.3f}",
                    f"{effects[-1]:.3f}",
                    f"{fidelities[len(mine) // 2]:.2f}",
                    ", ".join(f"{grade} {count}" for grade, count in sorted(grades.items())),
                ]
            )
    usable = {s: sum(row[4] != "abstain" for row in rows if row[3] == s) for s in SPREADS}
    of = {s: sum(row[3] == s for row in rows) for s in SPREADS}
    text = (
        f"{arguments.seeds} models of each shape, {len(TEXTS)} sentences each, labels of level "
        f"{arguments.level}, effects in nat. Better than \u201cdo not use\u201d: "
        + ", ".join(f"{usable[s]} of {of[s]} at a spread of {s}" for s in SPREADS)
        + ".\n\n"
    )
    head = ["shape", "spread", "labels", "median effect", "largest", "median fidelity", "grades"]
    data = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.random_weights", *argv]),
        "rows": rows,
    }
    store(
        "random_weights",
        "What does a label say of a model that has learned nothing?",
        text + table(lines, head),
        data,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
