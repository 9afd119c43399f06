"""Encoder-decoder models: the encoder's text is perturbed, the decoder's is forced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from whence.core.errors import ModelLoadError
from whence.models.adapters.causal import CausalLM
from whence.models.adapters.local_model import gradients_of
from whence.models.adapters.target_sequences import (
    SequenceReadout,
    TokenScores,
    gather_tokens,
    numbers,
)
from whence.models.protocols import Encoding, Evaluated, Gradients, Row

__all__ = ["Seq2SeqLM"]


class Seq2SeqLM(CausalLM):
    """A transformers encoder-decoder; targets are what the decoder writes."""

    task = "seq2seq"

    def _continuation_ids(self, encoding: Encoding, text: str) -> np.ndarray:
        """Ids of an answer: it begins a text of its own, whatever the prompt."""
        return self.tokenize(text)

    def _start(self) -> int:
        # No fallback to bos: T5 starts with its padding token, BART with its end token, and a
        # decoder that starts with another token writes another answer.
        start = self.config.decoder_start_token_id
        if start is None:
            raise ModelLoadError(
                f"{self.ref} has no decoder_start_token_id in its configuration; set it there: the "
                "decoder begins with it"
            )
        return int(start)

    def _room(self, encoding: Encoding, longest: int) -> None:
        """The answer has positions of its own; only the encoder's text is limited."""

    def greedy(self, encoding: Encoding, count: int) -> list[int]:
        """The decoder's most probable tokens, until its end token (left out unless first)."""
        stops = self._stops()
        written: list[int] = []
        with torch.inference_mode(), self.running():
            inputs = self.batch([Row(ids=encoding.ids)])
            encoded: Any = self.module.get_encoder()(**inputs)
            while len(written) < count:
                forced = torch.tensor([[self._start(), *written]], device=self.device)
                logits = self.module(
                    encoder_outputs=encoded,
                    attention_mask=inputs["attention_mask"],
                    decoder_input_ids=forced,
                    use_cache=False,
                ).logits
                token = int(logits[0, -1].argmax())
                if token in stops and written:
                    break
                written.append(token)
                if token in stops:
                    break
        return written

    def _read(self, encoding: Encoding, forced: Sequence[int], **options: Any) -> Any:
        """The decoder begins with its start token; forced tokens follow it."""
        start = torch.tensor([[self._start(), *forced]], device=self.device)
        inputs = self.batch([Row(ids=encoding.ids)])
        return self.module(**inputs, decoder_input_ids=start, use_cache=False, **options)

    def _logits_at(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int], count: int
    ) -> torch.Tensor:
        """Logits at some positions of what the decoder reads."""
        inputs = self.batch([Row(ids=encoding.ids)] * count)
        start = torch.tensor([[self._start(), *forced]], device=self.device).expand(count, -1)
        logits = self.module(**inputs, decoder_input_ids=start, use_cache=False).logits
        return logits[:, list(positions)]

    def _next(self, ids: torch.Tensor) -> torch.Tensor:
        start = torch.full((len(ids), 1), self._start(), device=ids.device)
        return self.module(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            decoder_input_ids=start,
            use_cache=False,
        ).logits[:, -1]

    def evaluate(self, rows: Sequence[Row], readout: SequenceReadout) -> Evaluated:
        """The readout of a batch: one pass of the encoder, one of the decoder per sequence."""
        with torch.inference_mode(), self.running(readout.precision):
            inputs = self.batch(rows)
            # The encoder reads the perturbed text once; each forced sequence costs a pass of the
            # decoder only.
            encoded = self.module.get_encoder()(**inputs)
            scores = self._decode(encoded, inputs["attention_mask"], readout)
            values = numbers(readout.combine(scores))
        forced = sum(len(sequence) for sequence in readout.sequences)
        return Evaluated(values, sum(len(row) + forced for row in rows))

    def _decode(
        self, encoded: Any, mask: torch.Tensor, readout: SequenceReadout
    ) -> list[TokenScores]:
        count = len(mask)
        scores: list[TokenScores] = []
        for index, sequence in enumerate(readout.sequences):
            forced = torch.tensor([[self._start(), *sequence[:-1]]], device=self.device)
            logits = self.module(
                encoder_outputs=encoded,
                attention_mask=mask,
                decoder_input_ids=forced.expand(count, -1),
                use_cache=False,
            ).logits
            positions, tokens = readout.tokens_read(index)
            places = torch.tensor([positions] * count, device=logits.device)
            rows = torch.arange(count, device=logits.device)
            scores.append(gather_tokens(logits, rows, places, tokens))
        return scores

    def gradients(
        self,
        encoding: Encoding,
        embeddings: Float[np.ndarray, "batch tokens width"],
        readout: SequenceReadout,
    ) -> Gradients:
        """Values and gradients of the readout at embedded texts of the encoder."""
        with torch.enable_grad(), self.running(readout.precision):
            leaf = self.leaf(embeddings)
            mask = torch.ones(leaf.shape[:2], dtype=torch.long, device=leaf.device)
            encoded = self.module.get_encoder()(inputs_embeds=leaf, attention_mask=mask)
            values = readout.combine(self._decode(encoded, mask, readout))
            gradients = gradients_of(values, leaf)
        return Gradients(numbers(values), gradients)
