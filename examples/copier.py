"""The copier: a causal model of two layers that repeats what it has read before.

It shows heads whose job is known. It reads invented syllables in random order, some of them a second
time in the same order, and learns to continue. That takes a head that reads the token before, and one
in the next layer that reads what followed an earlier copy (Olsson et al. 2022, arXiv:2209.11895). No
part of the training asks the heads to do so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SYLLABLES = ["".join(pair) for pair in product("bdfghklmnprstvz", "aeio")]
FIRST = 2
"""Ids before the syllables': padding and the start."""
LONGEST = 128
SEED, HELD_OUT = 5, 905


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a syllable; a text begins with <s>."""
    words = {word: place for place, word in enumerate(["<pad>", "<s>", *SYLLABLES])}
    inner = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", words["<s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", model_max_length=LONGEST
    )


def draw(rows: int, generator: torch.Generator) -> tuple[torch.Tensor, int]:
    """Texts of a few stray syllables, a run, and the run again; and where it comes again."""

    def some(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    def syllables(count: int) -> torch.Tensor:
        return torch.randint(FIRST, FIRST + len(SYLLABLES), (rows, count), generator=generator)

    run, stray, between = some(5, 20), some(0, 8), some(0, 8)
    again = syllables(run)
    start = torch.ones(rows, 1, dtype=torch.long)
    ids = torch.cat([start, syllables(stray), again, syllables(between), again], dim=1)
    return ids, 1 + stray + run + between


def loss_of(model: Any, ids: torch.Tensor, again: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy over the second run but its first token, and which of it were foretold."""
    logits = model(input_ids=ids).logits[:, again:-1]
    wanted = ids[:, again + 1 :]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
    return loss, logits.argmax(-1) == wanted


def train(steps: int, log: Callable[[str], None]) -> tuple[Any, Any, dict[str, Any]]:
    """Train from scratch; the model, its tokenizer, and facts for the card."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    words = tokenizer()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=FIRST + len(SYLLABLES),
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=LONGEST,
            bos_token_id=1,
            eos_token_id=None,
            pad_token_id=0,
        )
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / 100, 2 * (1 - step / steps))
    )
    started = time.perf_counter()
    for step in range(steps):
        loss, right = loss_of(model, *draw(32, generator))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 500 == 0:
            log(f"copier step {step}: loss {loss.item():.3f}, right {right.float().mean():.3f}")
    facts = {
        "seed": SEED,
        "training_rows": 32 * steps,
        "epochs": 1,
        "training_seconds": round(time.perf_counter() - started),
    }
    return model.eval(), words, facts


def hits(folder: Path, rows: int) -> list[bool]:
    """For each held-out syllable of a second run, whether the stored model foretold it."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(HELD_OUT)
    result: list[bool] = []
    with torch.inference_mode():
        while len(result) < rows:
            _, right = loss_of(model, *draw(4, generator))
            result.extend(right.flatten().tolist())
    return result[:rows]
