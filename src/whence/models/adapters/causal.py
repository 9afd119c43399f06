"""Causal language models: prompts and conversations, continuations and next tokens."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Int

from whence.core.explanations import Decision, NamedScore
from whence.core.targets import Link, Target
from whence.models.adapters.base import TorchModel
from whence.models.adapters.generation import written
from whence.models.adapters.local_model import first_of
from whence.models.adapters.shortcuts import Scores, agree, tolerance_of
from whence.models.adapters.target_sequences import (
    SEQUENCE_LINKS,
    SequenceReadout,
    Writer,
    gather_tokens,
    resolve_sequences,
)
from whence.models.encoding import too_long
from whence.models.links import check_link
from whence.models.protocols import Encoding, Precision, Row

__all__ = ["CausalLM"]

LEAST_SHARED = 16
"""Tokens that a batch must share at its start before their keys and values are stored. Reuse was faster
from 8 on, and more so the longer the prefix (benchmarks/prefix.py)."""


LEAST_PART = 4
"""The prefix must be at least one part in so many of the longest row: of a shorter one the pass that
computes it costs more than it saves. Chosen by hand; not calibrated."""


KEEP = "logits_to_keep"
"""Argument by which a module gives the logits of some positions alone."""

SHORT = 64
"""Tokens of the row on which it is compared with all logits, so that a vocabulary's worth of numbers at
each position fits into memory."""


class CausalLM(TorchModel):
    """A transformers causal language model, read by teacher forcing."""

    task = "causal"
    _keeps: bool | None = None

    def decide(self, encoding: Encoding) -> Decision:
        """The five most probable next tokens."""
        with torch.inference_mode(), self.running():
            logits = self._next(self.tensor(encoding.ids[None]))[0]
        # In float64: a bfloat16 has eight significant bits, and the five numbers are printed with
        # more.
        chances = torch.softmax(logits.double(), dim=0)
        top = torch.topk(chances, min(5, len(chances)))
        scores = tuple(
            NamedScore(name=self.decode([int(token)]), value=float(chance))
            for chance, token in zip(top.values, top.indices, strict=True)
        )
        return Decision(text=scores[0].name, scores=scores)

    def readout(
        self,
        encoding: Encoding,
        targets: Sequence[Target],
        *,
        link: Link | None = None,
        precision: Precision = "native",
    ) -> SequenceReadout:
        """The targets resolved; none: the model's own greedy continuation. Default link: log-probability."""
        resolved = SEQUENCE_LINKS[0] if link is None else check_link(link, SEQUENCE_LINKS, self.ref)
        notes: list[str] = []

        def generate(count: int) -> list[int]:
            tokens, notes[:] = self._greedy(encoding, count)
            return tokens

        writer = Writer(
            ref=self.ref,
            tokenize=lambda text: self._continuation_ids(encoding, text),
            decode=self.decode,
            generate=generate,
            size=self.vocabulary.size,
        )
        readout = resolve_sequences(targets, writer, link=resolved, precision=precision)
        readout = replace(readout, notes=(*self._forced_notes(), *notes))
        # The last token is predicted but never read, so it needs no position.
        self._room(encoding, max(len(sequence) for sequence in readout.sequences) - 1)
        return readout

    def _forced_notes(self) -> tuple[str, ...]:
        """What is written before the continuation without a choice of the model's."""
        return ()

    def _room(self, encoding: Encoding, longest: int) -> None:
        limit = self.vocabulary.limit
        if limit is not None and len(encoding.ids) + longest > limit:
            raise too_long(
                encoding, limit, self.ref, extra=longest, what="the text with its continuation"
            )

    def _continuation_ids(self, encoding: Encoding, text: str) -> np.ndarray:
        """Ids of a continuation as they follow this prompt.

        Tokenizers that mark word starts give a bare text other ids than the same text further
        on in a line; where prompt and continuation together begin with the prompt's own ids,
        the rest is what the model would have written.
        """
        whole = self.tokenize(encoding.document.text + text)
        bare = self.tokenize(encoding.document.text)
        if len(whole) > len(bare) and np.array_equal(whole[: len(bare)], bare):
            return whole[len(bare) :]
        return self.tokenize(text)

    def greedy(self, encoding: Encoding, count: int) -> list[int]:
        """What ``generate`` writes without sampling and beams: at most ``count`` tokens.

        The end token itself is left out unless it comes first.
        """
        return self._greedy(encoding, count)[0]

    def _greedy(self, encoding: Encoding, count: int) -> tuple[list[int], list[str]]:
        """The same, with notes on how it was written."""
        room = self.vocabulary.limit
        if room is not None:
            # One more than there are free positions: the last token is written and never read.
            count = min(count, room - len(encoding.ids) + 1)
        return self._write(self.batch([Row(ids=encoding.ids)]), count)

    def _write(self, inputs: dict[str, torch.Tensor], count: int) -> tuple[list[int], list[str]]:
        stops = self._stops()
        with torch.inference_mode(), self.running():
            tokens, notes = written(self.module, inputs, count, stops, self._tokenizer)
        return (tokens[:-1] if len(tokens) > 1 and tokens[-1] in stops else tokens), notes

    def _stops(self) -> set[int]:
        # Those that generate() stops at; a model without any stops where its tokenizer ends a text.
        generation = getattr(self.module, "generation_config", None)
        for source in (generation, self.config, self._tokenizer):
            stop = getattr(source, "eos_token_id", None)
            if stop is not None:
                return {int(each) for each in ([stop] if isinstance(stop, int) else stop)}
        return set()

    def _next(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits of the token that follows each row."""
        self._prepare(ids[0].cpu().numpy())
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
        return self._logits_of(inputs, np.full((len(ids), 1), ids.shape[1] - 1))[0][:, 0]

    def _prepare(self, ids: np.ndarray) -> None:
        """Show once, on a short row, that logits of some positions are those of all."""
        if self._keeps is None:
            self._keeps = self.accepts(KEEP) and self._keeps_right(self.tensor(ids[None, :SHORT]))

    def _keeps_right(self, ids: torch.Tensor) -> bool:
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
        places = torch.tensor(sorted({0, ids.shape[1] - 1}), device=ids.device)
        every = first_of(self.module(**inputs), "logits")
        some = first_of(self.module(**inputs, **{KEEP: places}), "logits")
        every = every[:, -ids.shape[1] :][:, places]
        same = some.shape == every.shape
        return same and agree(some.double(), every.double(), tolerance_of(every.dtype))

    def _logits_of(
        self, inputs: dict[str, Any], places: Int[np.ndarray, "rows positions"]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits that hold those at some places of each row, and where in them these stand."""
        width = inputs["input_ids"].shape[1]
        if self._keeps:
            # logits_to_keep names columns for the whole batch. Rows of several lengths are read at
            # several columns: all of them are kept, and each row finds its own in the union.
            union, where = np.unique(places, return_inverse=True)
            places = where.reshape(places.shape)
            inputs = {**inputs, KEEP: self.tensor(union)}
            width = len(union)
        logits = first_of(self.module(**inputs), "logits")
        # Prompts that were trained are read before the text and have logits of their own.
        index = self.tensor(places + (logits.shape[1] - width))
        return logits, index.to(logits.device)

    def _scores(
        self, rows: Sequence[Row], readout: SequenceReadout, *, reuse: bool = False
    ) -> Scores:
        """Logits and log-sum-exps of the forced tokens, one pass for each forced sequence."""
        parts: list[torch.Tensor] = []
        tokens = reused = 0
        for index, sequence in enumerate(readout.sequences):
            forced = np.array(sequence[:-1], dtype=np.int64)
            full = [_append(row, forced) for row in rows]
            starts = [len(row) for row in rows]
            # The last token of the shortest prompt is left to its own row: the logits at its place
            # predict the first forced token, and a prefix that holds it would leave nothing to run.
            shared = self._shared(full, min(starts) - 1) if reuse else 0
            cache = self._prefix(rows[0].ids[:shared], len(rows), readout) if shared else {}
            shared = shared if cache else 0
            inputs: dict[str, Any] = self.batch([_drop(row, shared) for row in full])
            if shared:
                ones = torch.ones((len(rows), shared), dtype=torch.long, device=self.device)
                inputs["attention_mask"] = torch.cat([ones, inputs["attention_mask"]], dim=1)
            positions, read = readout.tokens_read(index)
            # The position in each row that predicts each token, counted from the end of the prefix.
            places = np.array([[start - 1 + p - shared for p in positions] for start in starts])
            logits, where = self._logits_of({**inputs, "use_cache": bool(cache), **cache}, places)
            parts += gather_tokens(logits, where, read)
            tokens += sum(len(row) - shared for row in full)
            reused = max(reused, shared)
        return Scores(torch.cat(parts, dim=1), tokens, reused)

    def _values(self, raw: torch.Tensor, readout: SequenceReadout) -> torch.Tensor:
        return readout.combine(raw)

    def _logits_at(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int], count: int
    ) -> torch.Tensor:
        """Logits at some positions of the text and the forced tokens after it."""
        ids = np.concatenate([encoding.ids, np.array(list(forced), dtype=np.int64)])
        inputs = {**self.batch([Row(ids=ids)] * count), "use_cache": False}
        logits, where = self._logits_of(inputs, np.array([list(positions)] * count))
        return logits[torch.arange(count, device=logits.device)[:, None], where]

    # -- the unperturbed prefix --------------------------------------------------------------

    def _shared(self, rows: Sequence[Row], most: int) -> int:
        """Tokens all rows begin with, where reusing their keys and values pays; else 0."""
        # A token that is hidden changes the state of every later one, so that rows with masks of
        # their own share no keys even where they share tokens.
        if len(rows) < 2 or any(row.attention is not None for row in rows):
            return 0
        first = rows[0].ids[:most]
        for row in rows[1:]:
            differs = np.flatnonzero(row.ids[: len(first)] != first[: len(row.ids)])
            if differs.size:
                first = first[: differs[0]]
        shared = len(first)
        longest = max(len(row) for row in rows)
        return shared if shared >= LEAST_SHARED and LEAST_PART * shared >= longest else 0

    def _prefix(self, ids: np.ndarray, count: int, readout: SequenceReadout) -> dict[str, Any]:
        """The state after a prefix, for ``count`` rows, under the name that the module gives it.

        Whether a longer pass can go on from it is not read off its class: windows, recurrent states
        and caches of models' own are compared on the rows at hand like any other. Empty where
        the module returns no state, or takes none of that name.
        """
        stored = readout.cache
        key = ids.tobytes()
        if stored.get("ids") != key:
            last = {KEEP: 1} if self._keeps else {}
            output = self.module(input_ids=self.tensor(ids[None]), use_cache=True, **last)
            named = output.items() if isinstance(output, Mapping) else ()
            state = {
                name: value
                for name, value in cast("Iterable[tuple[str, Any]]", named)
                if hasattr(value, "reorder_cache") and self.accepts(name)
            }
            stored.update(ids=key, state=state)
        # A new state for each batch: the pass appends its own keys to the one it gets. What is
        # stored stays the bare prefix.
        fresh = copy.deepcopy(stored["state"])
        for cache in fresh.values():
            # What beam search does to a cache whose rows all go on from the first.
            cache.reorder_cache(torch.zeros(count, dtype=torch.long, device=self.device))
        return fresh


def _append(row: Row, forced: np.ndarray) -> Row:
    if forced.size == 0:
        return row
    attention = row.attention
    if attention is not None:
        attention = np.concatenate([attention, np.ones(len(forced), dtype=bool)])
    return Row(ids=np.concatenate([row.ids, forced]), attention=attention)


def _drop(row: Row, count: int) -> Row:
    return row if count == 0 else Row(ids=row.ids[count:])
