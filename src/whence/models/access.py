"""Protocols of models whose attention, heads and states can be read and changed.

The values they pass are those of :mod:`whence.models.values`; the changes and sinks are described in
``whence.models.internals``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from typing_extensions import Protocol, runtime_checkable

from whence.models.values import (
    BlockStates,
    CaptureResult,
    Encoding,
    Evaluated,
    HeadGradients,
    Row,
)

__all__ = ["GivesAttention", "GivesHeads", "GivesStates"]


@runtime_checkable
class GivesAttention(Protocol):
    """A token model whose attention weights can be captured while it reads an input."""

    def attention(
        self, encoding: Encoding, sink: Any, *, forced: Sequence[int] = (), row_block: int = 64
    ) -> CaptureResult:
        """Give every weight of one pass to a sink.

        The sink is an :class:`~whence.models.internals.attention_capture.AttentionSink`; a
        :class:`~whence.models.internals.attention_capture.StatesSink` gets queries, keys and values
        too. The pass reads the encoding and, for a generating model, the ``forced`` tokens after it.

        Cost: one pass, and the weights of each layer a second time; one pass more for layers that
        compute their softmax inside the layer.

        Raises:
            CapabilityError: a layer's weights cannot be computed by rows.
        """
        ...


@runtime_checkable
class GivesHeads(Protocol):
    """A token model whose heads' outputs can be read, and changed while it runs.

    The layers are those of :class:`GivesAttention`, by name, without those that compute their
    softmax inside the layer.
    """

    def evaluate_with_changes(
        self, encoding: Encoding, readout: Any, changes: Any, *, share: bool = False
    ) -> Evaluated:
        """The readout with ``changes[b]`` made to the model's attention in row ``b``, in one pass.

        ``changes`` is a sequence of sequences of
        :data:`~whence.models.internals.interventions.Change`. With ``share``, the blocks before the
        first changed one run with one row in place of all, which some models do not take: a row
        without changes shows it, by its value or by an error.

        Raises:
            OptionError: no such head or position.
            CapabilityError: no shared attention function ran at a layer that was named.
        """
        ...

    def head_outputs(self, rows: Sequence[Row], readout: Any) -> dict[str, list[np.ndarray]]:
        """Each head's output before the output projection, for each call of each layer.

        ``[rows, queries, heads, width]`` each, for rows of one length. Cost: one pass.
        """
        ...

    def head_gradients(
        self, encoding: Encoding, readout: Any, *, direct: bool = False
    ) -> HeadGradients:
        """Gradients of the readout by each head's output. Cost: one forward, one backward pass.

        With ``direct`` along the residual stream alone: what later layers read and the divisors
        of norms are frozen.
        """
        ...


@runtime_checkable
class GivesStates(Protocol):
    """A token model whose residual state after each block can be read, and replaced."""

    def states(self, row: Row, readout: Any) -> dict[str, list[np.ndarray]]:
        """The state after each block, for each of its calls: ``[tokens, width]``; one pass.

        Raises:
            CapabilityError: no blocks, or blocks that share their weights.
        """
        ...

    def evaluate_with_states(self, encoding: Encoding, readout: Any, changes: Any) -> Evaluated:
        """The readout with ``changes[b]`` made to the states of row ``b``, in one pass.

        ``changes`` is a sequence of sequences of
        :class:`~whence.models.internals.residual_states.StateReplacement`.

        Raises:
            OptionError: no such block or position, or states of another shape.
        """
        ...

    def block_states(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int]
    ) -> BlockStates:
        """The states of the blocks that the output head reads, and the logits. Cost: one pass.

        Positions count in what that stack reads: the tokens and the ``forced`` ones after them,
        or the decoder's tokens; a classifier takes none, and its labels are one row.

        Raises:
            CapabilityError: no blocks, or no logits to read.
        """
        ...

    def logits_from_states(
        self,
        encoding: Encoding,
        forced: Sequence[int],
        positions: Sequence[int],
        states: Float[np.ndarray, "rows tokens width"],
        block: str,
    ) -> Float[np.ndarray, "rows positions logits"]:
        """The logits if ``block``, the last one, gave these states; one pass of a batch.

        Everything after the last block is the model's own: norm, pooling, head, scale and cap.
        """
        ...
