"""Base of the adapters: a local model whose attention, heads and states can be read and changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float

from whence.core.errors import CapabilityError
from whence.core.explanations import Decision
from whence.models.adapters.local_model import LocalModel
from whence.models.internals.attention_capture import AttentionSink, capture_attention
from whence.models.internals.head_outputs import DirectGradientSink, GradientSink, OutputSink
from whence.models.internals.interventions import Change, intervene
from whence.models.internals.kernel_hooks import hook_kernels
from whence.models.internals.residual_states import (
    StateReplacement,
    StateSink,
    array_of,
    capture_states,
    last_stack,
    replace_states,
)
from whence.models.internals.returned_weights import pass_on_returned
from whence.models.internals.shared_prefix import share_rows_below
from whence.models.values import BlockStates, CaptureResult, Encoding, Evaluated, HeadGradients, Row

__all__ = ["TorchModel"]


class TorchModel(LocalModel):
    """A transformers module with its tokenizer; base of the adapters, one for each task."""

    def attention(
        self,
        encoding: Encoding,
        sink: AttentionSink,
        *,
        forced: Sequence[int] = (),
        row_block: int = 64,
    ) -> CaptureResult:
        """See :class:`~whence.models.access.GivesAttention`."""
        decision: Decision | None = None
        plain: Any = None
        with torch.inference_mode(), self.running():
            with capture_attention(self.module, sink, row_block=row_block) as queries:
                if not forced:
                    decision = cast("Any", self).decide(encoding)
                # An embedding decides nothing, so nothing ran.
                if forced or not queries:
                    plain = self._read(encoding, forced)
            if queries:
                return CaptureResult((), decision)
            # Only where nothing could be captured.
            note = pass_on_returned(
                lambda **options: self._read(encoding, forced, **options),
                plain,
                sink,
                len(encoding.ids) + len(forced),
                self.architecture,
            )
        return CaptureResult((note,), decision)

    def evaluate_with_changes(
        self,
        encoding: Encoding,
        readout: Any,
        changes: Sequence[Sequence[Change]],
        *,
        share: bool = False,
    ) -> Evaluated:
        """See :class:`~whence.models.access.GivesHeads`."""
        rows = [_uncached(encoding.ids, encoding.token_types)] * len(changes)
        layers = {change.layer for group in changes for change in group}
        below = share_rows_below(self.module, layers, len(rows)) if share else nullcontext()
        with below, intervene(self.module, changes):
            return cast("Any", self).evaluate(rows, readout)

    def head_outputs(
        self, rows: Sequence[Row], readout: Any
    ) -> dict[str, list[Float[np.ndarray, "rows queries heads width"]]]:
        """See :class:`~whence.models.access.GivesHeads`."""
        sink = OutputSink()
        with hook_kernels(self.module, sink):
            cast("Any", self).evaluate([_uncached(r.ids, r.token_types) for r in rows], readout)
        return sink.outputs

    def head_gradients(
        self, encoding: Encoding, readout: Any, *, direct: bool = False
    ) -> HeadGradients:
        """See :class:`~whence.models.access.GivesHeads`."""
        sink = DirectGradientSink() if direct else GradientSink()
        # Gradients by heads need a graph, and the graph begins at the embedded input, as for any
        # other gradient.
        embeddings = self.embed(encoding)[None]
        frozen = sink.freeze(self.module) if isinstance(sink, DirectGradientSink) else nullcontext()
        with frozen, hook_kernels(self.module, sink):
            cast("Any", self).gradients(encoding, embeddings, readout)
        count = len(readout.outputs)
        gradients = {
            # Autograd calls a hook only where a gradient arrives. Fewer calls than explained
            # numbers do not say which numbers they were of, so the layer counts as one that the
            # readout does not depend on.
            name: [None if len(each) != count else np.stack(each)[:, 0] for each in calls]
            for name, calls in sink.gradients.items()
        }
        outputs = {name: [call[0] for call in calls] for name, calls in sink.outputs.items()}
        return HeadGradients(outputs=outputs, gradients=gradients)

    def states(self, row: Row, readout: Any) -> dict[str, list[Float[np.ndarray, "tokens width"]]]:
        """See :class:`~whence.models.access.GivesStates`."""
        sink = StateSink()
        with capture_states(self.module, sink):
            cast("Any", self).evaluate([_uncached(row.ids, row.token_types)], readout)
        sink.check(self.architecture, len(getattr(readout, "sequences", (None,))))
        return {name: [call[0] for call in calls] for name, calls in sink.states.items()}

    def evaluate_with_states(
        self, encoding: Encoding, readout: Any, changes: Sequence[Sequence[StateReplacement]]
    ) -> Evaluated:
        """See :class:`~whence.models.access.GivesStates`."""
        rows = [_uncached(encoding.ids, encoding.token_types)] * len(changes)
        with replace_states(self.module, changes):
            return cast("Any", self).evaluate(rows, readout)

    def block_states(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int]
    ) -> BlockStates:
        """See :class:`~whence.models.access.GivesStates`."""
        sink = StateSink()
        with torch.inference_mode(), self.running(), capture_states(self.module, sink):
            logits = array_of(self._logits_at(encoding, forced, positions, 1)[0])
        sink.check(self.architecture, 1)
        names = last_stack(list(sink.states))
        return BlockStates(names, np.stack([sink.states[name][0][0] for name in names]), logits)

    def logits_from_states(
        self,
        encoding: Encoding,
        forced: Sequence[int],
        positions: Sequence[int],
        states: Float[np.ndarray, "rows tokens width"],
        block: str,
    ) -> Float[np.ndarray, "rows positions logits"]:
        """See :class:`~whence.models.access.GivesStates`."""
        places = np.arange(states.shape[1])
        changes = [
            (StateReplacement(block=block, positions=places, states=(state,)),) for state in states
        ]
        with torch.inference_mode(), self.running(), replace_states(self.module, changes):
            return array_of(self._logits_at(encoding, forced, positions, len(changes)))

    def _logits_at(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int], count: int
    ) -> torch.Tensor:
        """Logits of ``count`` equal rows: ``[rows, positions, logits]``."""
        raise CapabilityError(
            f"{self.ref} has no logits: what it answers after each layer cannot be read. Models "
            "that work here: classifiers and models that write"
        )

    def decoder_ids(self, encoding: Encoding) -> list[int]:
        """Ids that a decoder behind an encoder reads of a text by itself; none without one.

        Classifiers of Bart's kind let it read the text again, moved by one token. Cost: one pass.
        """
        if not getattr(self.config, "is_encoder_decoder", False) or not hasattr(
            self.module, "get_decoder"
        ):
            return []
        ids: list[int] = []

        def store(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            read = kwargs.get("input_ids", args[0] if args else None)
            if torch.is_tensor(read):
                ids.extend(read[0].tolist())

        with torch.inference_mode(), self.running():
            handle = self.module.get_decoder().register_forward_pre_hook(store, with_kwargs=True)
            try:
                self._read(encoding, ())
            finally:
                handle.remove()
        return ids

    def _read(self, encoding: Encoding, forced: Sequence[int], **options: Any) -> Any:
        """One pass over an input and forced tokens, for what can be watched in it."""
        types = encoding.token_types
        ids = np.concatenate([encoding.ids, np.array(list(forced), dtype=np.int64)])
        return self.module(**self.batch([Row(ids=ids, token_types=types)]), **options)


def _uncached(ids: np.ndarray, types: np.ndarray | None) -> Row:
    # A row that states what it attends to is read from its first token on, never from a cache of
    # what rows share: a change must reach every position.
    return Row(ids=ids, attention=np.ones(len(ids), dtype=bool), token_types=types)
