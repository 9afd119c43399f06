"""Targets of generating models: continuations and next tokens, as forced token sequences.

One teacher-forced pass gives every number: with the continuation appended (all but its last
token), position ``prompt + t - 1`` predicts its token ``t``. Next tokens are read off position
0 of whichever pass there is, so they cost nothing beside a continuation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from whence.core.errors import CapabilityError, InputError, OptionError
from whence.core.targets import Continuation, Contrast, Link, NextToken, Output, Target
from whence.models.adapters.shortcuts import Shortcuts
from whence.models.links import UNITS
from whence.models.protocols import Precision

__all__ = [
    "SEQUENCE_LINKS",
    "Reading",
    "SequenceReadout",
    "TokenScores",
    "Writer",
    "gather_tokens",
    "resolve_sequences",
]

SEQUENCE_LINKS: tuple[Link, ...] = ("log_probability", "logit", "probability", "log_odds")


TokenScores = tuple[torch.Tensor, torch.Tensor]
"""Logits of tokens, and the log-sum-exp of the logits at their positions: ``[rows, tokens]`` each."""


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
    cache: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """What the adapter reuses between batches, for as long as the readout lives."""
    shortcuts: Shortcuts = field(default_factory=Shortcuts, repr=False)
    notes: tuple[str, ...] = ()
    """What a reader must know of how the continuation was written."""

    def fresh(self) -> SequenceReadout:
        """The same readout, with nothing stored yet; its shortcuts are those of the question."""
        return replace(self, cache={})

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

    def tokens_read(self, sequence: int) -> tuple[list[int], list[int]]:
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

    def combine(self, raw: torch.Tensor) -> torch.Tensor:
        """Outputs ``[rows, outputs]`` from the scores of each sequence's tokens.

        ``raw`` holds, for each sequence in turn, its logits and its log-sum-exps side by side, in
        the order of :meth:`tokens_read`.
        """
        # Without a forced sequence classes are read off the input itself.
        widths = [len(self.tokens_read(s)[0]) for s in range(max(1, len(self.sequences)))]
        pieces = torch.split(raw, [width for each in widths for width in (each, each)], dim=1)
        scores = list(zip(pieces[::2], pieces[1::2], strict=True))
        columns: list[torch.Tensor] = []
        for plus, minus in self.readings:
            column = self._value(plus, scores)
            if minus is not None:
                column = column - self._value(minus, scores)
            columns.append(column)
        return torch.stack(columns, dim=1)

    def _value(self, reading: Reading, scores: Sequence[TokenScores]) -> torch.Tensor:
        positions, tokens = self.tokens_read(reading.sequence)
        places = {pair: index for index, pair in enumerate(zip(positions, tokens, strict=True))}
        index = [places[pair] for pair in zip(reading.positions, reading.tokens, strict=True)]
        logits, norms = scores[reading.sequence]
        if self.link == "logit":
            return logits[:, index].sum(dim=1)
        total = (logits[:, index] - norms[:, index]).sum(dim=1)
        if self.link == "log_probability":
            return total
        if self.link == "probability":
            return total.exp()
        # ln p - ln(1 - p), with 1 - p = -expm1(ln p), which keeps its digits where p is near 1. At
        # p = 1 the log-odds are infinite; one step of the dtype below it they are 36 in float64,
        # and scores can be subtracted.
        safe = total.clamp(max=-torch.finfo(total.dtype).eps)
        return safe - torch.log(-torch.expm1(safe))


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """A model that writes, as its targets need it.

    Attributes:
        ref: name for messages.
        tokenize: ids of a text as a continuation.
        decode: text of some ids.
        generate: ids that the model writes itself, at most so many.
        size: number of ids in the vocabulary.
    """

    ref: str
    tokenize: Callable[[str], np.ndarray]
    decode: Callable[[Sequence[int]], str]
    generate: Callable[[int], Sequence[int]]
    size: int


def resolve_sequences(
    targets: Sequence[Target], writer: Writer, *, link: Link, precision: Precision
) -> SequenceReadout:
    """Targets as forced sequences; texts left open are filled by the model's greedy choice.

    Raises:
        OptionError: a token that is not one token, or an id outside the vocabulary.
        InputError: an empty continuation.
        CapabilityError: a target of another task.
    """
    builder = _Builder(writer, link)
    for target in targets or (Continuation(),):
        if isinstance(target, NextToken):
            builder.add_next_token(target)
        elif isinstance(target, Continuation):
            builder.add_continuation(target)
        elif isinstance(target, Contrast):
            builder.add_contrast(target)
        else:
            raise CapabilityError(
                f"{writer.ref} generates text and has no target {type(target).__name__}. "
                "Targets that work here: Continuation, NextToken, Contrast"
            )
    return builder.readout(precision)


class _Builder:
    """Collects sequences, outputs and readings, target by target."""

    def __init__(self, writer: Writer, link: Link) -> None:
        self.writer = writer
        self.link: Link = link
        self.sequences: list[tuple[int, ...]] = []
        self.outputs: list[Output] = []
        self.readings: list[tuple[Reading, Reading | None]] = []

    def add_next_token(self, target: NextToken) -> None:
        token = _one_token(target.token, self.writer)
        _check_ids((token,), self.writer)
        # Sequence -1 stands for "any"; it is replaced when all sequences are known.
        reading = Reading(-1, (0,), (token,))
        self._add(self.writer.decode([token]), NextToken(token=token), reading)

    def add_continuation(self, target: Continuation) -> None:
        ids = self._continuation_ids(target)
        reading = self._sequence(ids)
        text = self.writer.decode(ids) if target.text is None else target.text
        resolved = Continuation(
            text=text,
            token_ids=tuple(int(i) for i in ids),
            max_new_tokens=target.max_new_tokens,
            per_token=target.per_token,
        )
        if not target.per_token:
            self._add(text, resolved, reading)
            return
        for position, token in enumerate(reading.tokens):
            name = f"{position + 1}: {self.writer.decode([token])}"
            self._add(name, resolved, Reading(reading.sequence, (position,), (token,)))

    def add_contrast(self, target: Contrast) -> None:
        if target.label is None or target.against is None:
            raise OptionError(
                "a contrast of continuations needs both texts: label=... and against=..."
            )
        name = f"{target.label} rather than {target.against}"
        plus, minus = (self._sequence(self._ids(t)) for t in (target.label, target.against))
        self._add(name, target, plus, minus)

    def readout(self, precision: Precision) -> SequenceReadout:
        """The readout of all targets; next tokens are read off the first sequence."""
        # Next tokens alone: the first of them makes a sequence of length one, of which all but the
        # last token is forced, that is, nothing: the pass is that of the bare prompt.
        if not self.sequences:
            self.sequences.append(self.readings[0][0].tokens)
        readings = tuple(
            (Reading(0, plus.positions, plus.tokens) if plus.sequence < 0 else plus, minus)
            for plus, minus in self.readings
        )
        return SequenceReadout(
            tuple(self.outputs), tuple(self.sequences), readings, self.link, precision
        )

    def _add(self, name: str, target: Target, plus: Reading, minus: Reading | None = None) -> None:
        output = Output(name=name, link=self.link, unit=UNITS[self.link], target=target)
        self.outputs.append(output)
        self.readings.append((plus, minus))

    def _sequence(self, ids: Sequence[int]) -> Reading:
        """The whole of a forced sequence, which is added where it is new."""
        sequence = tuple(int(token) for token in ids)
        _check_ids(sequence, self.writer)
        if sequence not in self.sequences:
            self.sequences.append(sequence)
        return Reading(self.sequences.index(sequence), tuple(range(len(sequence))), sequence)

    def _continuation_ids(self, target: Continuation) -> Sequence[int]:
        if target.token_ids is None and target.text is not None:
            return self._ids(target.text)
        ids = target.token_ids
        if ids is None:
            ids = tuple(self.writer.generate(target.max_new_tokens))
        if not ids:
            raise InputError("the continuation has no tokens; give text or token_ids")
        return ids

    def _ids(self, text: str | int) -> tuple[int, ...]:
        if isinstance(text, int):
            return (text,)
        ids = tuple(int(token) for token in self.writer.tokenize(text))
        if not ids:
            raise InputError(f"the continuation {text!r} has no tokens; give some text")
        return ids


def _one_token(token: str | int | None, writer: Writer) -> int:
    if token is None:
        return int(writer.generate(1)[0])
    if isinstance(token, int):
        return token
    ids = writer.tokenize(token)
    if len(ids) != 1:
        raise OptionError(
            f"expected one token, got {token!r}, which {writer.ref} reads as {len(ids)} tokens "
            f"({', '.join(str(int(i)) for i in ids)}). Ask for a Continuation, or give one id."
        )
    return int(ids[0])


def _check_ids(ids: Sequence[int], writer: Writer) -> None:
    for token in ids:
        if not 0 <= token < writer.size:
            raise OptionError(
                f"there is no token id {token}; the vocabulary of {writer.ref} is 0 to "
                f"{writer.size - 1}"
            )


def gather_tokens(
    logits: Float[torch.Tensor, "rows positions vocabulary"],
    places: Int[torch.Tensor, "rows tokens"],
    tokens: Sequence[int],
) -> TokenScores:
    """Scores of some tokens, each at a place of its own in each row, in float32, then float64.

    Only the target slice is raised to float32: a whole vocabulary at every position would be the
    largest array of all.
    """
    # In float32: the log-sum-exp of bfloat16 logits would be rounded to bfloat16 itself, which near
    # 20 has steps of 0.125 nat.
    rows = torch.arange(len(logits), device=logits.device)
    slice_ = logits[rows[:, None], places].float()
    index = torch.tensor(list(tokens), device=logits.device)
    chosen = slice_.gather(2, index.expand(len(slice_), -1)[:, :, None])[:, :, 0]
    return chosen.double(), torch.logsumexp(slice_, dim=2).double()
