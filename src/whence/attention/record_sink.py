"""What a record stores of one captured pass: statistics, states, matrices, each layer's certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import regex
from jaxtyping import Bool, Float, UInt8

from whence.attention.attention_states import EXACT, StatesRecorder
from whence.attention.head_effects import HeadName
from whence.attention.statistics import HeadStatistics, LayerSummary, code_weights
from whence.attention.store import pack_layer, pack_states
from whence.core.attention_record import AttentionLayer, ReadToken
from whence.models.internals.attention_capture import (
    CERTIFICATE_LIMIT,
    AttentionCall,
    LayerStates,
)

__all__ = ["RecordSink", "StatesChoice", "StatesRecordSink"]

StatesChoice = Literal["kept", "not_asked", "over_budget", "not_reproduced"]
"""Whether a layer's states are stored, or why not; a field of records."""

# regex, since re knows no Unicode categories. White space counts too: byte-level tokens hold the
# space before them.
_PUNCTUATION = regex.compile(r"\s*[\p{P}\p{S}]+\s*")


class RecordSink:
    """Takes the weights of a captured pass and reduces them block by block.

    Args:
        tokens: tokens that the encoder, or the only stack, reads.
        decoder: tokens that a decoder reads.
        matrices: heads whose whole matrix is stored.
        states: choice whether states are stored, or why not.
    """

    def __init__(
        self,
        tokens: Sequence[ReadToken],
        decoder: Sequence[ReadToken],
        matrices: Sequence[HeadName],
        states: StatesChoice,
    ) -> None:
        self.tokens = tokens
        self.decoder = decoder
        self.states_choice: StatesChoice = states
        self.matrices: dict[HeadName, UInt8[np.ndarray, "queries keys"] | None] = dict.fromkeys(
            matrices
        )
        self.calls: list[AttentionCall] = []
        self.errors: dict[str, float] = {}
        self.limits: dict[str, float] = {}
        self.statistics: dict[str, HeadStatistics] = {}
        self.recorders: dict[str, StatesRecorder] = {}
        self.unread: dict[str, str] = {}

    def notes(self) -> tuple[str, ...]:
        """Layers of which nothing is shown although they were captured, and why."""
        return tuple(self.unread.values())

    def rows(
        self,
        call: AttentionCall,
        start: int,
        weights: Float[np.ndarray, "batch heads rows keys"],
        seen: Bool[np.ndarray, "batch rows"],
    ) -> None:
        """Reduce one block of rows."""
        if not self._over_tokens(call):
            return
        if call.name not in self.statistics:
            self.statistics[call.name] = self._statistics(call)
        self.statistics[call.name].add(start, weights[0])
        if call.name in self.recorders:
            self.recorders[call.name].add(start, weights[0])
        for (layer, head), matrix in self.matrices.items():
            if layer != call.name:
                continue
            if matrix is None:
                matrix = np.zeros((call.queries, call.keys), dtype=np.uint8)
                self.matrices[layer, head] = matrix
            matrix[start : start + weights.shape[2]] = code_weights(weights[0, head])

    def _stack(self, call: AttentionCall) -> Sequence[ReadToken]:
        in_decoder = bool(self.decoder) and call.kind == "causal"
        return self.decoder if in_decoder else self.tokens

    def _over_tokens(self, call: AttentionCall) -> bool:
        """Whether queries and keys of a call are the tokens that were read; else a note says what."""
        keys = len(self._stack(call))
        queries = len(self.decoder) if call.kind == "cross" and self.decoder else keys
        # Cross-attention of a model without a decoder reads states that are made of the text.
        elsewhere = call.kind == "cross" and not self.decoder
        if elsewhere or (call.queries, call.keys) != (queries, keys):
            self.unread[call.name] = (
                f"{call.name} is not shown: its {call.queries} queries and {call.keys} keys are not "
                f"the {queries} and {keys} tokens that were read (it reads chunks, or states that are "
                "made of several tokens)"
            )
        return call.name not in self.unread

    def _statistics(self, call: AttentionCall) -> HeadStatistics:
        tokens = self._stack(call)
        ids = np.array([token.id for token in tokens], dtype=np.int64)
        return HeadStatistics(
            call.heads,
            call.queries,
            call.keys,
            ids=None if call.kind == "cross" else ids,
            marks=_marks(tokens),
        )

    def close(self, call: AttentionCall, error: float, rounding: float) -> None:
        """Store the certificate and its limit."""
        self.calls.append(call)
        self.errors[call.name] = error
        # An output rounded to half precision cannot be met more closely than by its own step.
        self.limits[call.name] = max(CERTIFICATE_LIMIT, rounding)

    def certified(self, name: str) -> bool:
        """Whether the certificate is within its limit, or none could be computed."""
        if name in self.unread:
            return False
        return bool(np.isnan(self.errors[name]) or self.errors[name] <= self.limits[name])

    def summaries(self) -> dict[str, LayerSummary]:
        """The summary of each certified layer."""
        return {
            name: statistics.summary()
            for name, statistics in self.statistics.items()
            if self.certified(name)
        }

    def arrays(self, summaries: Mapping[str, LayerSummary]) -> dict[str, np.ndarray]:
        """All arrays of the record, by name."""
        arrays: dict[str, np.ndarray] = {}
        for name, summary in summaries.items():
            arrays.update(pack_layer(name, summary))
            if self._states_of(name) == "kept":
                recorder = self.recorders[name]
                arrays.update(pack_states(name, recorder.result(), recorder.states.dtype))
        for (name, head), matrix in self.matrices.items():
            if matrix is not None and self.certified(name):
                arrays[f"{name}/matrix.{head}"] = matrix
        return arrays

    def _states_of(self, name: str) -> StatesChoice:
        if self.states_choice != "kept":
            return self.states_choice
        recorder = self.recorders.get(name)
        exact = recorder is not None and recorder.error <= EXACT
        return "kept" if exact and self.certified(name) else "not_reproduced"

    def layers(self) -> tuple[AttentionLayer, ...]:
        """The layers' entries in the record, in the order in which they ran."""
        return tuple(self._layer(call) for call in self.calls)

    def _layer(self, call: AttentionCall) -> AttentionLayer:
        error = self.errors[call.name]
        recorder = self.recorders.get(call.name)
        return AttentionLayer(
            name=call.name,
            attention=call.kind,
            heads=call.heads,
            queries=call.queries,
            keys=call.keys,
            certificate=None if np.isnan(error) else error,
            limit=self.limits[call.name],
            shown=self.certified(call.name),
            states=self._states_of(call.name),
            states_error=None if recorder is None else recorder.error,
            states_dtype=None if recorder is None else recorder.states.dtype,
            scaling=None if recorder is None else recorder.states.scaling,
            softcap=None if recorder is None else recorder.states.softcap,
        )


class StatesRecordSink(RecordSink):
    """Takes queries and keys too."""

    def states(self, call: AttentionCall, states: LayerStates) -> None:
        """Store a layer's states, to be compared with the rows that follow."""
        if not self._over_tokens(call):
            return
        self.recorders[call.name] = StatesRecorder(states)


def _marks(tokens: Sequence[ReadToken]) -> dict[str, Bool[np.ndarray, " tokens"]]:
    """Which keys are sinks (special, or at position 0), and which are punctuation alone."""
    special = [token.special or position == 0 for position, token in enumerate(tokens)]
    punctuation = [
        not token.special and _PUNCTUATION.fullmatch(token.text) is not None for token in tokens
    ]
    return {"sink": np.array(special, dtype=bool), "punctuation": np.array(punctuation, dtype=bool)}
