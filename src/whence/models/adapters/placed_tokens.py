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
from whence.models.adapters.local_model import first_of
from whence.models.adapters.shortcuts import Scores, Shortcuts
from whence.models.adapters.target_sequences import Reading, SequenceReadout, gather_tokens
from whence.models.links import UNITS
from whence.models.protocols import Encoding, Row

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
        return cls(
            tuple(outputs),
            (),
            tuple(readings),
            link,
            precision,
            shortcuts=Shortcuts.of_batches(),
            anchors=tuple(anchors),
        )

    @property
    def key(self) -> str:
        """What is read, as text."""
        readings = [
            [None if r is None else [r.positions, r.tokens] for r in pair] for pair in self.readings
        ]
        return json.dumps(["place", self.anchors, readings, self.link, self.precision])


class PlacedTokens(TorchModel):
    """Base of the models whose logits are ``[tokens, classes]``."""

    def _scores(self, rows: Sequence[Row], readout: Any, *, reuse: bool = False) -> Scores:
        """The logits of the readout's classes where its anchors stand, and the norms beside them."""
        inputs = self.batch(rows)
        logits = first_of(self.module(**inputs), "logits")
        raw = self._raw(logits, inputs["attention_mask"], rows, readout)
        return Scores(raw, sum(len(row) for row in rows))

    def _raw(
        self, logits: torch.Tensor, seen: torch.Tensor, rows: Sequence[Row], readout: Any
    ) -> torch.Tensor:
        """What the readout is computed from."""
        places = [np.array(readout.anchors) if r.places is None else r.places for r in rows]
        positions, classes = readout.tokens_read(0)
        where = torch.from_numpy(np.stack(places)[:, positions]).to(logits.device)
        return torch.cat(gather_tokens(logits, where, classes), dim=1)

    def _values(self, raw: torch.Tensor, readout: Any) -> torch.Tensor:
        return readout.combine(raw)

    def _logits_of(self, encoding: Encoding) -> Float[np.ndarray, "tokens classes"]:
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        with torch.inference_mode(), self.running():
            return first_of(self.module(**self.batch([row])), "logits")[0].double().cpu().numpy()
