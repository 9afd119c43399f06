"""What a teacher's layers hold of batches of texts: states and mean attention, as tensors.

The teacher is asked in its own evaluation mode, without gradients, and left as it was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from whence.core.errors import CapabilityError
from whence.models.adapters.base import TorchModel
from whence.models.compact.losses import layer_pairs
from whence.models.internals.attention_capture import AttentionCall, capture_attention
from whence.models.internals.residual_states import StateSink, capture_states, last_stack
from whence.models.protocols import Row

__all__ = ["KEPT_BYTES", "TeacherViews", "View"]

KEPT_BYTES = 1 << 29
"""Bytes of a teacher's layers that are stored between epochs; what is beyond them is asked anew each time.
Chosen by hand; not calibrated."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A teacher's layers on one batch, one entry for each layer of the student."""

    states: tuple[Float[torch.Tensor, "texts tokens width"], ...]
    attention: tuple[Float[torch.Tensor, "texts tokens tokens"], ...]

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return sum(t.numel() * t.element_size() for t in (*self.states, *self.attention))


class TeacherViews:
    """The layers of a teacher that a student of ``layers`` layers is held against.

    Cost: one pass of the teacher a batch, and the weights of its attention a second time; again
    in each epoch for batches that ``kept_bytes`` had no room for.

    Args:
        teacher: classifier that reads its tokens in order, one state for each.
        layers: number of layers of the student; see :func:`~whence.models.compact.losses.layer_pairs`.
        attention: flag for its attention; without it only states are computed.
        kept_bytes: memory for states that are stored, in bytes.

    Raises:
        CapabilityError: when a batch is asked: no list of blocks, fewer than the student has,
            or attention that cannot be had.
    """

    def __init__(
        self, teacher: TorchModel, *, layers: int, attention: bool, kept_bytes: int = KEPT_BYTES
    ) -> None:
        if teacher.config.is_encoder_decoder:
            raise CapabilityError(
                f"{teacher.ref} reads its input twice, in an encoder and shifted in a decoder, so "
                "its states are not one a token. Distil its answers alone: hidden_weight=0.0 and "
                "attention_weight=0.0"
            )
        self._teacher = teacher
        self._layers = layers
        self._attention = attention
        self._room = kept_bytes
        self._stored: dict[int, View] = {}

    def of(self, number: int, rows: Sequence[Row]) -> View:
        """The teacher on batch ``number``, which must always be of the same rows."""
        if number in self._stored:
            return self._stored[number]
        view = self._ask(rows)
        # The first batches that fit stay for good. A cache that drops the oldest would miss every
        # time, since each epoch asks for all batches.
        if view.bytes <= self._room:
            self._room -= view.bytes
            self._stored[number] = view
        return view

    def _ask(self, rows: Sequence[Row]) -> View:
        teacher, states, weights = self._teacher, StateSink(), _MeanAttention()
        # The head is left out: what it makes of padding is of no concern here.
        body: Any = teacher.module.base_model
        with torch.inference_mode(), teacher.running(), capture_states(body, states):
            batch = teacher.batch(rows)
            if self._attention:
                with capture_attention(body, weights):
                    body(**batch)
            else:
                body(**batch)
        states.check(teacher.architecture, 1)
        names = last_stack(list(states.states))
        if len(names) < self._layers:
            raise CapabilityError(
                f"a student of {self._layers} layers asked of {teacher.ref}, which has "
                f"{len(names)}: a layer copies one of the teacher's. Give layers={len(names)} "
                "at most, or distil the answers alone"
            )
        pairs = layer_pairs(self._layers, len(names))
        chosen = tuple(torch.from_numpy(states.states[names[p]][0]).float() for p in pairs)
        if not self._attention:
            return View(chosen, ())
        result = list(weights.means.values())
        if len(result) != len(names):
            raise CapabilityError(
                f"attention of {len(names)} layers asked of {teacher.architecture}; "
                f"{len(result)} layers called an attention function that transformers shares. "
                "Give attention_weight=0.0"
            )
        return View(chosen, tuple(torch.from_numpy(result[p]) for p in pairs))


@dataclass(slots=True, eq=False)
class _MeanAttention:
    """The mean over heads of each layer's weights."""

    means: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])

    def rows(
        self,
        call: AttentionCall,
        start: int,
        weights: Float[np.ndarray, "batch heads rows keys"],
        seen: Bool[np.ndarray, "batch rows"],
    ) -> None:
        if call.name not in self.means:
            shape = (len(weights), call.queries, call.keys)
            self.means[call.name] = np.zeros(shape, dtype=np.float32)
        self.means[call.name][:, start : start + weights.shape[2]] = weights.mean(axis=1)

    def close(self, call: AttentionCall, error: float, rounding: float) -> None:
        pass
