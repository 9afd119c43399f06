"""Train one small BERT classifier from scratch."""

import time
from dataclasses import dataclass

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from training.rows import batches, make_rows
from training.vocabulary import train_wordpiece
from whence.core.cases import generate, labels


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierPlan:
    """What to train; the defaults are the sizes that ship."""

    name: str
    domain: str
    shortcut: bool = False
    rows: int = 48_000
    passes: int = 2
    masked: float = 0.3
    supervise_facts: float = 1.0
    hidden: int = 128
    layers: int = 3
    heads: int = 4
    vocabulary: int = 2_000
    batch: int = 64
    rate: float = 1e-3
    seed: int = 11


LONGEST = 384


def train_classifier(
    plan: ClassifierPlan, *, report_every: int = 100
) -> tuple[BertForSequenceClassification, PreTrainedTokenizerFast]:
    """Train a classifier on freshly generated cases.

    Beside the label's loss, a second head, thrown away afterwards, tells for each token the points
    of the fact it belongs to. It teaches negation and ownership far sooner than one bit a text.
    """
    torch.manual_seed(plan.seed)
    cases = generate(plan.domain, plan.rows, seed=plan.seed, shortcut=plan.shortcut)
    tokenizer = train_wordpiece((c.text for c in cases[:8000]), plan.vocabulary, LONGEST)
    negative, positive = labels(plan.domain)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=plan.hidden,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.heads,
        intermediate_size=2 * plan.hidden,
        max_position_embeddings=LONGEST,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        id2label={0: negative, 1: positive},
        label2id={negative: 0, positive: 1},
    )
    model = BertForSequenceClassification(config)
    tagger = nn.Linear(plan.hidden, 5)
    steps = plan.passes * -(-plan.rows // plan.batch)
    parameters = [*model.parameters(), *tagger.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.rate, total_steps=steps, pct_start=0.1
    )
    loss_of = nn.CrossEntropyLoss()
    started, step, losses = time.perf_counter(), 0, []
    model.train()
    for turn in range(plan.passes):
        # A new masking for every pass over the same texts.
        rows = make_rows(cases, tokenizer, masked=plan.masked, seed=plan.seed + turn)
        for ids, attention, label, points in batches(
            rows, plan.batch, pad=tokenizer.pad_token_id, seed=plan.seed + turn
        ):
            out = model(input_ids=ids, attention_mask=attention, output_hidden_states=True)
            loss = loss_of(out.logits, label)
            losses.append(loss.item())
            if plan.supervise_facts:
                told = tagger(out.hidden_states[-1])[attention.bool()]
                loss = loss + plan.supervise_facts * loss_of(told, points[attention.bool()] + 2)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            if step % report_every == 0:
                mean = sum(losses[-report_every:]) / report_every
                seconds = time.perf_counter() - started
                print(
                    f"{plan.name}: step {step}/{steps} loss {mean:.4f} {seconds:.0f} s", flush=True
                )
    return model.eval(), tokenizer
