"""Encoder-decoder models: the encoder's text is perturbed, the decoder's is forced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from whence.core.errors import ModelLoadError
from whence.models.adapters.causal import CausalLM
from whence.models.adapters.local_model import first_of
from whence.models.adapters.shortcuts import Scores
from whence.models.adapters.target_sequences import SequenceReadout, gather_tokens
from whence.models.protocols import Encoding, Row

__all__ = ["Seq2SeqLM"]


class Seq2SeqLM(CausalLM):
    """A transformers encoder-decoder; targets are what the decoder writes."""

    task = "seq2seq"

    def _continuation_ids(self, encoding: Encoding, text: str) -> np.ndarray:
        """Ids of an answer: it begins a text of its own, whatever the prompt."""
        return self.tokenize(text)

    def _start(self) -> list[int]:
        """What the decoder begins with before anything is chosen: its start, and a forced token."""
        # No fallback to bos: T5 starts with its padding token, BART with its end token, and a
        # decoder that starts with another token writes another answer.
        start = self._setting("decoder_start_token_id")
        if start is None:
            raise ModelLoadError(
                f"{self.ref} has no decoder_start_token_id in its configuration; set it there: the "
                "decoder begins with it"
            )
        forced = self._setting("forced_bos_token_id")
        return [int(start)] if forced is None else [int(start), int(forced)]

    def _setting(self, name: str) -> Any:
        """A setting of generation, from where generate() takes it."""
        value = getattr(getattr(self.module, "generation_config", None), name, None)
        return getattr(self.config, name, None) if value is None else value

    def _forced_notes(self) -> tuple[str, ...]:
        forced = self._start()[1:]
        if not forced:
            return ()
        return (
            f"the decoder is forced to begin with {self.decode(forced)!r} (forced_bos_token_id): this "
            "token is read and not scored, as the model does not choose it",
        )

    def _room(self, encoding: Encoding, longest: int) -> None:
        """The answer has positions of its own; only the encoder's text is limited."""

    def _prepare(self, ids: np.ndarray) -> None:
        """The decoder's logits are all kept: an answer is short."""

    def _greedy(self, encoding: Encoding, count: int) -> tuple[list[int], list[str]]:
        """Forced tokens are given, so that they are left out of what is written."""
        inputs = self.batch([Row(ids=encoding.ids)])
        return self._write({**inputs, "decoder_input_ids": self._decoder_ids((), 1)}, count)

    def _tables(self) -> list[Any]:
        # What the decoder reads is forced, and no part of the text. Wrappers look the text up
        # themselves, in the table that the stacks share.
        tables, table = [self.table], self.module.get_input_embeddings()
        shared = table is not tables[0] and getattr(table, "weight", None) is tables[0].weight
        return [*tables, table] if shared else tables

    def _decoder_ids(self, forced: Sequence[int], count: int) -> torch.Tensor:
        ids = torch.tensor([[*self._start(), *forced]], device=self.device)
        return ids.expand(count, -1)

    def _read(self, encoding: Encoding, forced: Sequence[int], **options: Any) -> Any:
        """The decoder begins with its start; forced tokens follow it."""
        inputs = self.batch([Row(ids=encoding.ids)])
        ids = self._decoder_ids(forced, 1)
        return self.module(**inputs, decoder_input_ids=ids, use_cache=False, **options)

    def _logits_at(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int], count: int
    ) -> torch.Tensor:
        """Logits at some positions of what the decoder reads."""
        inputs = self.batch([Row(ids=encoding.ids)] * count)
        ids = self._decoder_ids(forced, count)
        logits = first_of(self.module(**inputs, decoder_input_ids=ids, use_cache=False), "logits")
        return logits[:, list(positions)]

    def _next(self, ids: torch.Tensor) -> torch.Tensor:
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
        start = self._decoder_ids((), len(ids))
        return first_of(self.module(**inputs, decoder_input_ids=start), "logits")[:, -1]

    def _scores(
        self, rows: Sequence[Row], readout: SequenceReadout, *, reuse: bool = False
    ) -> Scores:
        """One pass of the module for each forced sequence; with ``reuse`` one of its encoder."""
        inputs = self.batch(rows)
        read = sum(len(row) for row in rows)
        tokens = read if reuse else 0
        if reuse:
            encoded = self.module.get_encoder()(**inputs)
            inputs = {"encoder_outputs": encoded, "attention_mask": inputs["attention_mask"]}
        parts: list[torch.Tensor] = []
        for index, sequence in enumerate(readout.sequences):
            ids = self._decoder_ids(sequence[:-1], len(rows))
            output = self.module(**inputs, decoder_input_ids=ids, use_cache=False)
            positions, chosen = readout.tokens_read(index)
            before = len(self._start()) - 1
            places = torch.tensor([[before + p for p in positions]] * len(rows))
            logits = first_of(output, "logits")
            parts += gather_tokens(logits, places.to(logits.device), chosen)
            tokens += len(rows) * len(sequence) + (0 if reuse else read)
        return Scores(torch.cat(parts, dim=1), tokens, read if reuse else 0)
