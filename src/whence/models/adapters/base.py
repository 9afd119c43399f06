"""Base of the adapters: a local model whose attention, heads and states can be read and changed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int

from whence.core.errors import CapabilityError
from whence.core.explanations import Decision
from whence.models.adapters.input_gradients import look_up, prove_gradients
from whence.models.adapters.local_model import LocalModel, gradients_of
from whence.models.adapters.shortcuts import Answers, Scores, answers, tolerance_of
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
from whence.models.values import (
    BlockStates,
    CaptureResult,
    Encoding,
    Evaluated,
    Gradients,
    HeadGradients,
    Row,
)

__all__ = ["TorchModel"]


class TorchModel(LocalModel):
    """A transformers module with its tokenizer; base of the adapters, one for each task."""

    def evaluate(self, rows: Sequence[Row], readout: Any) -> Evaluated:
        """The readout of some rows, each as if it were alone; see :mod:`.shortcuts`."""
        with torch.inference_mode(), self.running(readout.precision):
            self._prepare(rows[0].ids)
            result = answers(
                lambda group, reuse: self._scores([rows[i] for i in group], readout, reuse=reuse),
                [len(row) for row in rows],
                readout.shortcuts,
                self.tolerance(readout),
            )
            return self._evaluated(result, readout)

    def gradients(
        self,
        encoding: Encoding,
        embeddings: Float[np.ndarray, "batch tokens width"],
        readout: Any,
    ) -> Gradients:
        """Values and gradients of the readout at embedded inputs.

        Raises:
            GradientError: they are not those of the model's own answer to the ids.
        """
        probes = self.prove_gradients(encoding, readout)
        ids = np.broadcast_to(encoding.ids, embeddings.shape[:2])
        values, slopes = self.slopes(ids, embeddings, encoding.token_types, readout)
        return Gradients(values.numpy(), slopes, probes)

    def prove_gradients(self, encoding: Encoding, readout: Any) -> int:
        """See :func:`~whence.models.adapters.input_gradients.prove_gradients`."""
        return prove_gradients(self, encoding, readout)

    def slopes(
        self,
        ids: Int[np.ndarray, "batch tokens"],
        embeddings: Float[np.ndarray, "batch tokens width"],
        token_types: Int[np.ndarray, " tokens"] | None,
        readout: Any,
    ) -> tuple[
        Float[torch.Tensor, "batch outputs"], Float[np.ndarray, "batch outputs tokens width"]
    ]:
        """Values and gradients at embeddings that stand in the place of those of some ids."""

        def run(group: list[int]) -> tuple[torch.Tensor, np.ndarray]:
            leaf = self.leaf(embeddings[group])
            rows = [Row(ids=ids[i], token_types=token_types) for i in group]
            with look_up(self._tables(), self.tensor(ids[group]), leaf):
                scores = self._scores(rows, readout)
            values = self._values(scores.raw, readout)
            return values.detach().cpu(), gradients_of(values, leaf)

        self._prepare(ids[0])
        # A caller may be in inference mode, in which nothing has a gradient.
        with torch.inference_mode(False), torch.enable_grad(), self.running(readout.precision):
            parts = [run(group) for group in readout.shortcuts.groups([ids.shape[1]] * len(ids))]
        return torch.cat([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _tables(self) -> list[Any]:
        """Every table through which the input is read: the same weights under several names."""
        table = self.table
        return [
            child
            for child in self.module.modules()
            if type(child) is type(table) and child.weight is table.weight
        ]

    def tolerance(self, readout: Any) -> float:
        """Deviation of two answers that rounding explains, as a share of their size or of 1."""
        own = self.table.weight.dtype
        return tolerance_of(own, torch.bfloat16 if readout.precision == "bfloat16" else own)

    def _prepare(self, ids: np.ndarray) -> None:
        """What has to be known of the module before a pass that hooks watch or change."""

    def _scores(self, rows: Sequence[Row], readout: Any, *, reuse: bool = False) -> Scores:
        """Raw numbers of rows in one pass; of one row without ``reuse`` the bare module's call."""
        raise NotImplementedError

    def _values(self, raw: torch.Tensor, readout: Any) -> torch.Tensor:
        """The readout's outputs of raw numbers, to differentiate through."""
        raise NotImplementedError

    def _evaluated(self, result: Answers, readout: Any) -> Evaluated:
        values = self._values(result.raw, readout).cpu().numpy()
        return Evaluated(values, result.tokens, result.probes)

    def _evaluate_changed(
        self, change: Callable[[list[int]], Any], count: int, encoding: Encoding, readout: Any
    ) -> Evaluated:
        """The readout of equal rows, of which ``change`` changes those of its indices.

        Whoever asks has a row without changes among them, which shows whether they share a pass well;
        where other rows did not, these are read one by one.
        """
        row = _uncached(encoding.ids, encoding.token_types)

        def run(group: list[int], _: bool) -> Scores:
            with change(group):
                return self._scores([row] * len(group), readout)

        with torch.inference_mode(), self.running(readout.precision):
            self._prepare(encoding.ids)
            lengths, tolerance = [len(row)] * count, self.tolerance(readout)
            result = answers(run, lengths, readout.shortcuts, tolerance, compare=False)
            return self._evaluated(result, readout)

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
            self._prepare(encoding.ids)
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
                self.module,
                lambda **options: self._read(encoding, forced, **options),
                plain,
                sink,
                len(encoding.ids) + len(forced),
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
        layers = {change.layer for group in changes for change in group}

        @contextmanager
        def change(group: list[int]) -> Generator[None]:
            below = share_rows_below(self.module, layers, len(group)) if share else nullcontext()
            with below, intervene(self.module, [changes[i] for i in group]):
                yield

        return self._evaluate_changed(change, len(changes), encoding, readout)

    def head_outputs(
        self, rows: Sequence[Row], readout: Any
    ) -> dict[str, list[Float[np.ndarray, "rows queries heads width"]]]:
        """See :class:`~whence.models.access.GivesHeads`."""
        sink = OutputSink()
        self._watched(rows, readout, hook_kernels(self.module, sink))
        return sink.outputs

    def head_gradients(
        self, encoding: Encoding, readout: Any, *, direct: bool = False
    ) -> HeadGradients:
        """See :class:`~whence.models.access.GivesHeads`."""
        # The divisors of norms are computed from their weights, beside the pass.
        if direct and any(parameter.is_meta for parameter in self.module.parameters()):
            raise CapabilityError(
                f"weights of {self.ref} are in memory only while their layer runs (offloaded by "
                "accelerate), and heads are ranked with them; load the model whole"
            )
        sink = DirectGradientSink() if direct else GradientSink()
        # Gradients by heads need a graph, and the graph begins at the embedded input, as for any
        # other gradient.
        embeddings = self.embed(encoding)[None]
        self._prepare(encoding.ids)
        frozen = sink.freeze(self.module) if isinstance(sink, DirectGradientSink) else nullcontext()
        with frozen, hook_kernels(self.module, sink):
            self.slopes(encoding.ids[None], embeddings, encoding.token_types, readout)
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
        self._watched([row], readout, capture_states(self.module, sink))
        sink.check(self.architecture, len(getattr(readout, "sequences", (None,))))
        return {name: [call[0] for call in calls] for name, calls in sink.states.items()}

    def evaluate_with_states(
        self, encoding: Encoding, readout: Any, changes: Sequence[Sequence[StateReplacement]]
    ) -> Evaluated:
        """See :class:`~whence.models.access.GivesStates`."""
        return self._evaluate_changed(
            lambda group: replace_states(self.module, [changes[i] for i in group]),
            len(changes),
            encoding,
            readout,
        )

    def block_states(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int]
    ) -> BlockStates:
        """See :class:`~whence.models.access.GivesStates`."""
        sink = StateSink()
        with torch.inference_mode(), self.running():
            self._prepare(encoding.ids)
            with capture_states(self.module, sink):
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
        with torch.inference_mode(), self.running():
            self._prepare(encoding.ids)
            with replace_states(self.module, changes):
                return array_of(self._logits_at(encoding, forced, positions, len(changes)))

    def _watched(
        self, rows: Sequence[Row], readout: Any, watch: AbstractContextManager[Any]
    ) -> None:
        """One pass over some rows, for what can be watched in it."""
        with torch.inference_mode(), self.running(readout.precision):
            self._prepare(rows[0].ids)
            with watch:
                self._scores([_uncached(row.ids, row.token_types) for row in rows], readout)

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
        # As the scores' own pass: several families cannot make the cache that they fill by default.
        if self.accepts("use_cache"):
            options["use_cache"] = False
        return self.module(**self.batch([Row(ids=ids, token_types=types)]), **options)


def _uncached(ids: np.ndarray, types: np.ndarray | None) -> Row:
    # A row that states what it attends to is read from its first token on, never from a cache of
    # what rows share: a change must reach every position.
    return Row(ids=ids, attention=np.ones(len(ids), dtype=bool), token_types=types)
