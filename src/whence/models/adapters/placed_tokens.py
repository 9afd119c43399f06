"""Models that answer at each token: scores read where some tokens of the input stand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from whence.core.targets import Link, Output, Target
from whence.models.adapters.base import TorchModel
from whence.models.adapters.local_model import gradients_of
from whence.models.adapters.target_sequences import (
    Reading,
    SequenceReadout,
    gather_tokens,
    numbers,
)
from whence.models.links import UNITS
from whence.models.protocols import Encoding, Evaluated, Gradients, Row

__all__ = ["PlaceReadout", "PlacedTokens", "Question"]

Question = tuple[str, Target, Sequence[tuple[int, int]], Sequence[tuple[int, int]]]
"""Name, target, what is read as pairs of (token of the input, class), and what is taken from it."""


@dataclass(slots=True, eq=False)
class PlaceReadout(SequenceReadout):
    """Classes read at ``anchors``, tokens of the input that keep their place in every row.

    A reading's positions count in ``anchors``, and its tokens are classes.
    """

    anchors: tuple[int, ...] = ()

    @classmethod
    def of(cls, questions: Sequence[Question], link: Link, precision: Any) -> PlaceReadout:
        """The readout of some questions."""
        pairs = [pair for _, _, plus, minus in questions for pair in (*plus, *minus)]
        anchors = sorted({token for token, _ in pairs})
        place = {token: index for index, token in enumerate(anchors)}

        def reading(read: Sequence[tuple[int, int]]) -> Reading | None:
            if not read:
                return None
            return Reading(0, tuple(place[token] for token, _ in read), tuple(c for _, c in read))

        outputs: list[Output] = []
        readings: list[tuple[Reading, Reading | None]] = []
        for name, target, plus, minus in questions:
            first = reading(plus)
            assert first is not None
            outputs.append(Output(name=name, link=link, unit=UNITS[link], target=target))
            readings.append((first, reading(minus)))
        return cls(tuple(outputs), (), tuple(readings), link, precision, anchors=tuple(anchors))

    @property
    def key(self) -> str:
        """What is read, as text."""
        readings = [
            [None if r is None else [r.positions, r.tokens] for r in pair] for pair in self.readings
        ]
        return json.dumps(["place", self.anchors, readings, self.link, self.precision])


class PlacedTokens(TorchModel):
    """Base of the models whose logits are ``[tokens, classes]``."""

    def evaluate(self, rows: Sequence[Row], readout: PlaceReadout) -> Evaluated:
        """The readout of a batch in one pass, each row read where its anchors stand."""
        places = np.stack(
            [np.array(readout.anchors) if row.places is None else row.places for row in rows]
        )
        with torch.inference_mode(), self.running(readout.precision):
            logits = self.module(**self.batch(rows)).logits
            values = numbers(_read(logits, places, readout))
        return Evaluated(values, sum(len(row) for row in rows))

    def _logits_of(self, encoding: Encoding) -> Float[np.ndarray, "tokens classes"]:
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        with torch.inference_mode(), self.running():
            return self.module(**self.batch([row])).logits[0].double().cpu().numpy()

    def gradients(
        self,
        encoding: Encoding,
        embeddings: Float[np.ndarray, "batch tokens width"],
        readout: PlaceReadout,
    ) -> Gradients:
        """Values and gradients of the readout at embedded inputs."""
        with torch.enable_grad(), self.running(readout.precision):
            leaf = self.leaf(embeddings)
            logits = self.logits_at(leaf, encoding)
            places = np.tile(np.array(readout.anchors), (len(leaf), 1))
            values = _read(logits, places, readout)
            gradients = gradients_of(values, leaf)
        return Gradients(numbers(values), gradients)

    def logits_at(self, leaf: torch.Tensor, encoding: Encoding) -> torch.Tensor:
        """Logits of embedded inputs, with every token seen."""
        inputs: dict[str, Any] = {
            "inputs_embeds": leaf,
            "attention_mask": torch.ones(leaf.shape[:2], dtype=torch.long, device=leaf.device),
        }
        if encoding.token_types is not None and self.accepts("token_type_ids"):
            inputs["token_type_ids"] = self.tensor(encoding.token_types).expand(len(leaf), -1)
        return self.module(**inputs).logits


def _read(logits: torch.Tensor, places: np.ndarray, readout: PlaceReadout) -> torch.Tensor:
    positions, classes = readout.tokens_read(0)
    where = torch.from_numpy(places[:, positions]).to(logits.device)
    rows = torch.arange(len(places), device=logits.device)
    return readout.combine([gather_tokens(logits, rows, where, classes)])
