"""From cases to training rows, some of them with words masked."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from whence.core.cases import Case, Fact, decide, labels


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Token ids, the label's number, and for each token the points of the fact it lies in."""

    ids: list[int]
    label: int
    points: list[int]


def make_rows(
    cases: Sequence[Case], tokenizer: PreTrainedTokenizerFast, *, masked: float, seed: int
) -> list[Row]:
    """Encode cases; a share ``masked`` of them loses words and whole facts to [MASK].

    A masked row is labelled by the rule from the facts that are left, where a fact is gone once
    half of its tokens are masked. So the model learns that [MASK] means absence, which is what
    perturbation methods take it to mean.
    """
    rng = random.Random(f"rows:{seed}")
    encoded = tokenizer([case.text for case in cases], return_offsets_mapping=True)
    rows: list[Row] = []
    for case, ids, offsets in zip(
        cases, encoded["input_ids"], encoded["offset_mapping"], strict=True
    ):
        facts = case.facts
        if rng.random() < masked:
            ids, facts = _mask(case, ids, offsets, tokenizer.mask_token_id, rng)
        points = [0] * len(ids)
        for fact in facts:
            if fact.points:
                for at in _inside(fact, offsets):
                    points[at] = fact.points
        label = labels(case.domain).index(decide(case.domain, facts))
        rows.append(Row(ids=ids, label=label, points=points))
    return rows


def _inside(fact: Fact, offsets: Sequence[tuple[int, int]]) -> list[int]:
    return [at for at, (a, b) in enumerate(offsets) if a < b and fact.start <= a and b <= fact.end]


def _mask(
    case: Case,
    ids: list[int],
    offsets: Sequence[tuple[int, int]],
    mask_id: int,
    rng: random.Random,
) -> tuple[list[int], tuple[Fact, ...]]:
    share = 1.0 if rng.random() < 0.03 else rng.uniform(0.1, 0.5)
    gone = {at for at, (a, b) in enumerate(offsets) if a < b and rng.random() < share / 2}
    left: list[Fact] = []
    for fact in case.facts:
        inside = _inside(fact, offsets)
        if rng.random() < share:
            gone.update(inside)
        if 2 * sum(at in gone for at in inside) < len(inside):
            left.append(fact)
    return [mask_id if at in gone else token for at, token in enumerate(ids)], tuple(left)


def batches(
    rows: Sequence[Row], size: int, *, pad: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Shuffled batches of like lengths: ids, attention mask, labels, points per token."""
    rng = random.Random(f"batches:{seed}")
    order = list(range(len(rows)))
    rng.shuffle(order)
    groups: list[list[int]] = []
    pool = size * 50
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool], key=lambda at: len(rows[at].ids))
        groups += [part[i : i + size] for i in range(0, len(part), size)]
    rng.shuffle(groups)
    for group in groups:
        width = max(len(rows[at].ids) for at in group)
        ids = torch.full((len(group), width), pad)
        points = torch.zeros((len(group), width), dtype=torch.long)
        for row, at in enumerate(group):
            ids[row, : len(rows[at].ids)] = torch.tensor(rows[at].ids)
            points[row, : len(rows[at].points)] = torch.tensor(rows[at].points)
        yield ids, (ids != pad).long(), torch.tensor([rows[at].label for at in group]), points
