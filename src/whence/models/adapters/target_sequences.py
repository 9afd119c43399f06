"""Targets of generating models: continuations and next tokens, as forced token sequences.

One teacher-forced pass gives every number: with the continuation appended (all but its last
token), position ``prompt + t - 1`` predicts its token ``t``. Next tokens are read off position
0 of whichever pass there is, so they cost nothing beside a continuation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from whence.core.errors import CapabilityError, InputError, OptionError
from whence.core.targets import Continuation, Contrast, Link, NextToken, Output, Target
from whence.models.links import UNITS
from whence.models.protocols import Precision

__all__ = [
    "SEQUENCE_LINKS",
    "Reading",
    "SequenceReadout",
    "gathered",
    "numbers",
    "resolve_sequences",
]

SEQUENCE_LINKS: tuple[Link, ...] = ("log_probability", "logit", "probability", "log_odds")


@dataclass(frozen=True, slots=True)
class Reading:
    """Tokens read off one forced sequence: ``tokens[j]`` at position ``positions[j]``, summed."""

    sequence: int
    positions: tuple[int, ...]
    tokens: tuple[int, ...]


@dataclass(slots=True, eq=False)
class SequenceReadout:
    """Forced sequences, and for each output what is read off them: one reading less another."""

    outputs: tuple[Output, ...]
    sequences: tuple[tuple[int, ...], ...]
    readings: tuple[tuple[Reading, Reading | None], ...]
    link: Link
    precision: Precision = "native"
    kept: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """What the adapter may reuse between batches; lives as long as the readout."""

    @property
    def key(self) -> str:
        """What is read, as text."""
        readings = [
            [None if r is None else [r.sequence, r.positions, r.tokens] for r in pair]
            for pair in self.readings
        ]
        return json.dumps(["sequence", self.sequences, readings, self.link, self.precision])

    @property
    def extra_tokens(self) -> int:
        """Forced tokens a row is read with, over all passes."""
        return sum(len(sequence) - 1 for sequence in self.sequences)

    def wanted(self, sequence: int) -> tuple[list[int], list[int]]:
        """Positions and tokens that any output reads off a sequence, in a fixed order."""
        pairs = sorted(
            {
                (position, token)
                for reading in self._all(sequence)
                for position, token in zip(reading.positions, reading.tokens, strict=True)
            }
        )
        return [position for position, _ in pairs], [token for _, token in pairs]

    def _all(self, sequence: int) -> list[Reading]:
        both = [reading for pair in self.readings for reading in pair if reading is not None]
        return [reading for reading in both if reading.sequence == sequence]

    def combine(self, found: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """Outputs ``[rows, outputs]`` from each sequence's logits and normalisers at its wants.

        ``found[s]`` is (logit of the wanted token, log-sum-exp at its position), both
        ``[rows, wanted]`` in the order of :meth:`wanted`.
        """
        columns: list[torch.Tensor] = []
        for plus, minus in self.readings:
            column = self._value(plus, found)
            if minus is not None:
                column = column - self._value(minus, found)
            columns.append(column)
        return torch.stack(columns, dim=1)

    def _value(
        self, reading: Reading, found: Sequence[tuple[torch.Tensor, torch.Tensor]]
    ) -> torch.Tensor:
        positions, tokens = self.wanted(reading.sequence)
        places = {pair: index for index, pair in enumerate(zip(positions, tokens, strict=True))}
        index = [places[pair] for pair in zip(reading.positions, reading.tokens, strict=True)]
        logits, norms = found[reading.sequence]
        if self.link == "logit":
            return logits[:, index].sum(dim=1)
        total = (logits[:, index] - norms[:, index]).sum(dim=1)
        if self.link == "log_probability":
            return total
        if self.link == "probability":
            return total.exp()
        safe = total.clamp(max=-torch.finfo(total.dtype).eps)
        return safe - torch.log(-torch.expm1(safe))


def resolve_sequences(
    targets: Sequence[Target],
    *,
    link: Link,
    precision: Precision,
    ref: str,
    tokenize: Callable[[str], np.ndarray],
    decode: Callable[[Sequence[int]], str],
    generate: Callable[[int], Sequence[int]],
    size: int,
) -> SequenceReadout:
    """Targets as forced sequences; texts left open are filled by the model's greedy choice.

    Raises:
        OptionError: a token that is not one token, or an id outside the vocabulary.
        InputError: an empty continuation.
        CapabilityError: a target of another task.
    """
    sequences: list[tuple[int, ...]] = []
    outputs: list[Output] = []
    readings: list[tuple[Reading, Reading | None]] = []
    unit = UNITS[link]
    next_tokens: list[int] = []

    def sequence_of(ids: Sequence[int]) -> Reading:
        forced = tuple(int(token) for token in ids)
        _check_ids(forced, size, ref)
        if forced not in sequences:
            sequences.append(forced)
        return Reading(sequences.index(forced), tuple(range(len(forced))), forced)

    def ids_of(text: str | int) -> tuple[int, ...]:
        if isinstance(text, int):
            return (text,)
        ids = tuple(int(token) for token in tokenize(text))
        if not ids:
            raise InputError(f"the continuation {text!r} has no tokens; give some text")
        return ids

    def add(name: str, target: Target, plus: Reading, minus: Reading | None = None) -> None:
        outputs.append(Output(name=name, link=link, unit=unit, target=target))
        readings.append((plus, minus))

    for target in targets or (Continuation(),):
        if isinstance(target, NextToken):
            token = _one_token(target.token, tokenize, generate, ref)
            _check_ids((token,), size, ref)
            name = decode([token])
            # Sequence -1 stands for "any"; it is settled when all sequences are known.
            add(name, NextToken(token=token), Reading(-1, (0,), (token,)))
            next_tokens.append(token)
        elif isinstance(target, Continuation):
            if target.token_ids is not None:
                ids = target.token_ids
            elif target.text is not None:
                ids = ids_of(target.text)
            else:
                ids = tuple(generate(target.max_new_tokens))
            if not ids:
                raise InputError("the continuation has no tokens; give text or token_ids")
            whole = sequence_of(ids)
            text = decode(ids) if target.text is None else target.text
            resolved = Continuation(
                text=text,
                token_ids=tuple(int(i) for i in ids),
                max_new_tokens=target.max_new_tokens,
                per_token=target.per_token,
            )
            if target.per_token:
                for position, token in enumerate(whole.tokens):
                    name = f"{position + 1}: {decode([token])}"
                    add(name, resolved, Reading(whole.sequence, (position,), (token,)))
            else:
                add(text, resolved, whole)
        elif isinstance(target, Contrast):
            if target.label is None or target.against is None:
                raise OptionError(
                    "a contrast of continuations needs both texts: label=... and against=..."
                )
            name = f"{target.label} rather than {target.against}"
            plus, minus = (sequence_of(ids_of(t)) for t in (target.label, target.against))
            add(name, target, plus, minus)
        else:
            raise CapabilityError(
                f"target {type(target).__name__} asked; {ref} generates text. "
                "Targets that work here: Continuation, NextToken, Contrast"
            )
    if not sequences:
        sequences.append((next_tokens[0],))
    settled = tuple(
        (Reading(0, plus.positions, plus.tokens) if plus.sequence < 0 else plus, minus)
        for plus, minus in readings
    )
    return SequenceReadout(tuple(outputs), tuple(sequences), settled, link, precision)


def _one_token(
    asked: str | int | None,
    tokenize: Callable[[str], np.ndarray],
    generate: Callable[[int], Sequence[int]],
    ref: str,
) -> int:
    if asked is None:
        return int(generate(1)[0])
    if isinstance(asked, int):
        return asked
    ids = tokenize(asked)
    if len(ids) != 1:
        raise OptionError(
            f"next token {asked!r} asked; {ref} reads it as {len(ids)} tokens "
            f"({', '.join(str(int(i)) for i in ids)}). Ask for a Continuation, or give one id."
        )
    return int(ids[0])


def _check_ids(ids: Sequence[int], size: int, ref: str) -> None:
    for token in ids:
        if not 0 <= token < size:
            raise OptionError(f"token id {token} asked; the vocabulary of {ref} is 0 to {size - 1}")


def gathered(
    logits: torch.Tensor, rows: torch.Tensor, places: torch.Tensor, tokens: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of some tokens and the normalisers at their places, in float32, then float64.

    ``logits[B, U, V]``; ``places[B, W]`` indexes the second axis. Only the target slice is
    raised to float32: a whole vocabulary at every position would be the largest array of all.
    """
    slice_ = logits[rows[:, None], places].float()
    index = torch.tensor(list(tokens), device=logits.device)
    chosen = slice_.gather(2, index.expand(len(slice_), -1)[:, :, None])[:, :, 0]
    return chosen.double(), torch.logsumexp(slice_, dim=2).double()


def numbers(values: torch.Tensor) -> Float[np.ndarray, "rows outputs"]:
    """Values as float64 on the CPU."""
    return values.detach().double().cpu().numpy()
