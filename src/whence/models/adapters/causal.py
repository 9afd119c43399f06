"""Causal language models: prompts and conversations, continuations and next tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float

from whence.core.explanations import Decision, NamedScore
from whence.core.targets import Link, Target
from whence.models.adapters.base import TorchModel
from whence.models.adapters.local_model import gradients_of
from whence.models.adapters.target_sequences import (
    SEQUENCE_LINKS,
    SequenceReadout,
    TokenScores,
    Writer,
    gather_tokens,
    numbers,
    resolve_sequences,
)
from whence.models.encoding import too_long
from whence.models.links import check_link
from whence.models.protocols import Encoding, Evaluated, Gradients, Precision, Row

__all__ = ["CausalLM"]

LEAST_SHARED = 16
"""Tokens that a batch must share at its start before their keys and values are stored. Reuse was faster
from 8 on, and more so the longer the prefix (benchmarks/prefix.py)."""


LEAST_PART = 4
"""The prefix must be at least one part in so many of the longest row: of a shorter one the pass that
computes it costs more than it saves. Chosen by hand; not calibrated."""


class CausalLM(TorchModel):
    """A transformers causal language model, read by teacher forcing."""

    task = "causal"

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
        writer = Writer(
            ref=self.ref,
            tokenize=lambda text: self._continuation_ids(encoding, text),
            decode=self.decode,
            generate=lambda count: self.greedy(encoding, count),
            size=self.vocabulary.size,
        )
        readout = resolve_sequences(targets, writer, link=resolved, precision=precision)
        # The last token is predicted but never read, so it needs no position.
        self._room(encoding, max(len(sequence) for sequence in readout.sequences) - 1)
        return readout

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
        """The most probable next token, ``count`` times or until the end token.

        The end token itself is left out unless it comes first.
        """
        stops = self._stops()
        room = self.vocabulary.limit
        if room is not None:
            # One more than there are free positions: the last token is written and never read.
            count = min(count, room - len(encoding.ids) + 1)
        # Not generate(): a model's generation_config may set sampling, penalties or beams, and the
        # tokens would no longer be those that its logits rank first.
        written: list[int] = []
        with torch.inference_mode(), self.running():
            ids = self.tensor(encoding.ids[None])
            while len(written) < count:
                tail = torch.tensor([written], dtype=torch.long, device=ids.device)
                token = int(self._next(torch.cat([ids, tail], dim=1))[0].argmax())
                if token in stops and written:
                    break
                written.append(token)
                if token in stops:
                    break
        return written

    def _stops(self) -> set[int]:
        generation = getattr(self.module, "generation_config", None)
        ids: set[int] = set()
        for source in (self.config, generation, self._tokenizer):
            stop = getattr(source, "eos_token_id", None)
            if isinstance(stop, int):
                ids.add(stop)
            elif isinstance(stop, list | tuple):
                ids.update(int(token) for token in stop)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return ids

    def _next(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits of the token that follows each row."""
        last = {"logits_to_keep": 1} if self.accepts("logits_to_keep") else {}
        mask = torch.ones_like(ids)
        output = self.module(input_ids=ids, attention_mask=mask, use_cache=False, **last)
        return output.logits[:, -1]

    def evaluate(self, rows: Sequence[Row], readout: SequenceReadout) -> Evaluated:
        """The readout of a batch, one pass for each forced sequence."""
        with torch.inference_mode(), self.running(readout.precision):
            scores: list[TokenScores] = []
            count = 0
            for index, sequence in enumerate(readout.sequences):
                forced = np.array(sequence[:-1], dtype=np.int64)
                full = [_append(row, forced) for row in rows]
                pair, tokens = self._forced(full, [len(row) for row in rows], index, readout)
                scores.append(pair)
                count += tokens
            values = numbers(readout.combine(scores))
        return Evaluated(values, count)

    def _forced(
        self, rows: Sequence[Row], starts: Sequence[int], sequence: int, readout: SequenceReadout
    ) -> tuple[TokenScores, int]:
        """Scores of one forced sequence's tokens, and how many tokens were read for them.

        ``starts`` are the lengths of the prompts.
        """
        positions, tokens = readout.tokens_read(sequence)
        # The last token of the shortest prompt is left to its own row: the logits at its place
        # predict the first forced token, and a prefix that holds it would leave nothing to run.
        shared = self._shared(rows, min(starts) - 1)
        cache = self._prefix(rows[0].ids[:shared], len(rows), readout) if shared else None
        if cache is None:
            shared = 0
        inputs = self.batch([_drop(row, shared) for row in rows])
        if cache is not None:
            ones = torch.ones((len(rows), shared), dtype=torch.long, device=self.device)
            inputs["attention_mask"] = torch.cat([ones, inputs["attention_mask"]], dim=1)
        # The position in each row that predicts each token, counted from the end of the prefix.
        places = np.array([[start - 1 + p - shared for p in positions] for start in starts])
        keep: dict[str, Any] = {}
        if self.accepts("logits_to_keep"):
            # logits_to_keep names columns for the whole batch. Rows of several lengths are read at
            # several columns: all of them are kept, and each row finds its own in the union.
            union, where = np.unique(places, return_inverse=True)
            places = where.reshape(places.shape)
            keep["logits_to_keep"] = self.tensor(union)
        logits = self.module(
            **inputs, past_key_values=cache, use_cache=cache is not None, **keep
        ).logits
        index = torch.arange(len(rows), device=logits.device)
        scores = gather_tokens(logits, index, torch.from_numpy(places).to(logits.device), tokens)
        return scores, sum(len(row) - shared for row in rows)

    def _logits_at(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int], count: int
    ) -> torch.Tensor:
        """Logits at some positions of the text and the forced tokens after it."""
        ids = np.concatenate([encoding.ids, np.array(list(forced), dtype=np.int64)])
        inputs = self.batch([Row(ids=ids)] * count)
        places = self.tensor(np.array(list(positions), dtype=np.int64))
        if self.accepts("logits_to_keep"):
            return self.module(**inputs, use_cache=False, logits_to_keep=places).logits
        return self.module(**inputs, use_cache=False).logits[:, places]

    # -- the unperturbed prefix --------------------------------------------------------------

    def _shared(self, rows: Sequence[Row], most: int) -> int:
        """Tokens all rows begin with, where reusing their keys and values pays; else 0."""
        # A token that is hidden changes the state of every later one, so that rows with masks of
        # their own share no keys even where they share tokens.
        if len(rows) < 2 or any(row.attention is not None for row in rows):
            return 0
        if not self.accepts("past_key_values"):
            return 0
        first = rows[0].ids[:most]
        for row in rows[1:]:
            differs = np.flatnonzero(row.ids[: len(first)] != first[: len(row.ids)])
            if differs.size:
                first = first[: differs[0]]
        shared = len(first)
        longest = max(len(row) for row in rows)
        return shared if shared >= LEAST_SHARED and LEAST_PART * shared >= longest else 0

    def _prefix(self, ids: np.ndarray, count: int, readout: SequenceReadout) -> Any | None:
        """A cache of a prefix for ``count`` rows; ``None`` where the model's cache is not plain.

        Only caches that store every key and value unchanged are reused: a sliding or recurrent
        layer stores a part of its state, from which a longer pass cannot be continued safely.
        """
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        stored = readout.cache
        key = ids.tobytes()
        if stored.get("ids") != key:
            stored.clear()
            last = {"logits_to_keep": 1} if self.accepts("logits_to_keep") else {}
            output = self.module(input_ids=self.tensor(ids[None]), use_cache=True, **last)
            cache: Any = getattr(output, "past_key_values", None)
            # type() and not isinstance(): the layers of sliding windows derive from the plain one.
            plain = isinstance(cache, DynamicCache) and all(
                type(layer) is DynamicLayer for layer in cache.layers
            )
            stored["ids"] = key
            stored["layers"] = (
                [(layer.keys, layer.values) for layer in cast("Any", cache).layers]
                if plain
                else None
            )
        if stored["layers"] is None:
            return None
        # A new cache for each batch: the pass appends its own keys to the one it gets. What is
        # stored stays the bare prefix.
        fresh = DynamicCache()
        for index, (keys, values) in enumerate(stored["layers"]):
            fresh.update(keys.expand(count, -1, -1, -1), values.expand(count, -1, -1, -1), index)
        return fresh

    # -- gradients ---------------------------------------------------------------------------

    def gradients(
        self,
        encoding: Encoding,
        embeddings: Float[np.ndarray, "batch tokens width"],
        readout: SequenceReadout,
    ) -> Gradients:
        """Values and gradients of the readout at embedded prompts."""
        with torch.enable_grad(), self.running(readout.precision):
            leaf = self.leaf(embeddings)
            count = len(leaf)
            scores: list[TokenScores] = []
            for index, sequence in enumerate(readout.sequences):
                forced = torch.tensor(sequence[:-1], dtype=torch.long, device=leaf.device)
                with torch.no_grad():
                    tail = self.module.get_input_embeddings()(forced).to(leaf.dtype)
                whole = torch.cat([leaf, tail.expand(count, -1, -1)], dim=1)
                mask = torch.ones(whole.shape[:2], dtype=torch.long, device=leaf.device)
                positions, tokens = readout.tokens_read(index)
                # The prompt is followed by all forced tokens but the last, so the last
                # len(sequence) positions are the prompt's last token, which predicts the first
                # forced one, and what follows it.
                start = len(sequence)
                keep = {"logits_to_keep": start} if self.accepts("logits_to_keep") else {}
                logits = self.module(
                    inputs_embeds=whole, attention_mask=mask, use_cache=False, **keep
                ).logits[:, -start:]
                places = torch.tensor([positions] * count, device=logits.device)
                rows = torch.arange(count, device=logits.device)
                scores.append(gather_tokens(logits, rows, places, tokens))
            values = readout.combine(scores)
            gradients = gradients_of(values, leaf)
        return Gradients(numbers(values), gradients)


def _append(row: Row, forced: np.ndarray) -> Row:
    if forced.size == 0:
        return row
    attention = row.attention
    if attention is not None:
        attention = np.concatenate([attention, np.ones(len(forced), dtype=bool)])
    return Row(ids=np.concatenate([row.ids, forced]), attention=attention)


def _drop(row: Row, count: int) -> Row:
    return row if count == 0 else Row(ids=row.ids[count:])
