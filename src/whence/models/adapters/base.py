"""What all local transformers models share: tokens, limits, fingerprint, quiet evaluation.

The module given by the user is held as it is: never moved, cast, patched or put into another
mode for longer than one call. The tokenizer is copied, because asking a fast tokenizer for
untruncated ids changes the truncation setting of the one that is asked.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int

from whence.core.errors import CapabilityError
from whence.core.explanations import Decision
from whence.core.provenance import ModelIdentity
from whence.models.encoding import Encoder
from whence.models.internals.attention_capture import AttentionCall, AttentionSink, watching
from whence.models.internals.interventions import (
    Change,
    DirectSink,
    OutputSink,
    SlopeSink,
    changing,
    tapping,
)
from whence.models.internals.kernel_hooks import differentiating
from whence.models.internals.residual_states import (
    StateReplaced,
    StateSink,
    array_of,
    capturing,
    last_stack,
    replacing,
)
from whence.models.protocols import (
    Encoding,
    Evaluated,
    HeadSlopes,
    Precision,
    Row,
    Stack,
    Task,
    Vocabulary,
    Watched,
)

__all__ = ["TorchModel", "out_of_memory_as_memory_error"]


@contextmanager
def out_of_memory_as_memory_error() -> Generator[None]:
    """Turn every allocator's way of saying "full" into ``MemoryError``."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        text = str(error)
        if "can't allocate memory" in text or "not enough memory" in text:
            raise MemoryError(text) from error
        raise


class TorchModel:
    """A transformers module with its tokenizer; base of the adapters, one for each task."""

    task: Task = "classification"

    def __init__(
        self, module: Any, tokenizer: Any, *, ref: str, revision: str | None = None
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise CapabilityError(
                f"the tokenizer of {ref} ({type(tokenizer).__name__}) gives no character offsets, "
                "so its tokens cannot be tied to the text. Load the model with its fast tokenizer "
                "(a tokenizer.json)."
            )
        self.module = module
        self.ref = ref
        self.revision = revision
        self._tokenizer: Any = copy.deepcopy(tokenizer)
        self._parameters = frozenset(inspect.signature(module.forward).parameters)
        self._fingerprint: tuple[tuple[int, ...], str] | None = None
        self._mean: tuple[int, np.ndarray] | None = None
        self._encoder = Encoder(self._tokenizer, ref=ref, limit=self._limit())

    # -- who it is ---------------------------------------------------------------------------

    @property
    def config(self) -> Any:
        """The module's configuration."""
        return self.module.config

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the input embeddings."""
        return cast("torch.device", self.module.get_input_embeddings().weight.device)

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names; none but for classifiers."""
        return ()

    @property
    def architecture(self) -> str:
        """The module's class, for a reader."""
        return type(self.module).__name__

    @property
    def identity(self) -> ModelIdentity:
        """Reference, architecture, size, dtype, device and fingerprint."""
        weight = self.module.get_input_embeddings().weight
        quantisation = getattr(self.config, "quantization_config", None)
        method = getattr(quantisation, "quant_method", None)
        return ModelIdentity(
            ref=self.ref,
            task=self.task,
            architecture=self.architecture,
            fingerprint=self.fingerprint(),
            parameters=sum(p.numel() for p in self.module.parameters()),
            dtype=str(weight.dtype).removeprefix("torch."),
            device=str(weight.device),
            revision=self.revision,
            quantisation=None if quantisation is None else str(getattr(method, "value", method)),
        )

    def fingerprint(self) -> str:
        """SHA-256 over configuration, weights and tokenizer; made anew when a weight changed."""
        state = dict(self.module.state_dict(keep_vars=True))
        versions = tuple(_version(tensor) for tensor in state.values())
        if self._fingerprint is not None and self._fingerprint[0] == versions:
            return self._fingerprint[1]
        digest = hashlib.sha256()
        config = {
            key: value
            for key, value in self.config.to_dict().items()
            # Where it was read from and by which release is not what it is.
            if key not in {"_name_or_path", "transformers_version"}
        }
        digest.update(json.dumps(config, sort_keys=True, default=str).encode())
        digest.update(self._tokenizer.backend_tokenizer.to_str().encode())
        for name in sorted(state):
            tensor = state[name].detach()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            flat = tensor.contiguous().cpu().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
        self._fingerprint = (versions, digest.hexdigest())
        return self._fingerprint[1]

    # -- tokens ------------------------------------------------------------------------------

    def _limit(self) -> int | None:
        """Tokens the model reads, from its position table; ``None`` for relative positions."""
        text_config = self.config.get_text_config()
        stated = None
        if "relative_attention_num_buckets" not in text_config.to_dict():
            for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
                value = getattr(text_config, name, None)
                if isinstance(value, int) and value > 0:
                    stated = value
                    break
        for name, child in self.module.named_modules():
            # RoBERTa's family counts positions from the padding index on.
            padding = getattr(child, "padding_idx", None)
            if name.endswith("embeddings.position_embeddings") and padding is not None:
                stated = int(child.num_embeddings) - int(padding) - 1
                break
        tokenizer_limit = getattr(self._tokenizer, "model_max_length", None)
        if isinstance(tokenizer_limit, int) and tokenizer_limit < 1_000_000:
            stated = tokenizer_limit if stated is None else min(stated, tokenizer_limit)
        return stated

    @property
    def vocabulary(self) -> Vocabulary:
        """Special ids and the length limit."""
        tokenizer = self._tokenizer
        bos = tokenizer.bos_token_id
        return Vocabulary(
            size=int(self.module.get_input_embeddings().weight.shape[0]),
            mask_id=tokenizer.mask_token_id,
            pad_id=tokenizer.pad_token_id,
            bos_id=getattr(self.config, "bos_token_id", None) if bos is None else bos,
            unknown_id=tokenizer.unk_token_id,
            limit=self._encoder.limit,
        )

    def encode(self, source: object) -> Encoding:
        """The input as the model reads it; see :class:`~whence.models.protocols.TokenModel`."""
        return self._encoder.encode(source)

    def tokenize(self, text: str) -> Int[np.ndarray, " tokens"]:
        """Ids of a bare text, without special tokens."""
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return np.array(ids, dtype=np.int64)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of some ids, special tokens shown."""
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    # -- running -----------------------------------------------------------------------------

    @contextmanager
    def running(self, precision: Precision = "native") -> Generator[None]:
        """Evaluation mode for one call; every submodule's own mode is put back afterwards."""
        training = [child for child in self.module.modules() if child.training]
        for child in training:
            child.training = False
        try:
            with out_of_memory_as_memory_error():
                if precision == "bfloat16":
                    with torch.autocast(self.device.type, dtype=torch.bfloat16):
                        yield
                else:
                    yield
        finally:
            for child in training:
                child.training = True

    def accepts(self, name: str) -> bool:
        """Whether the module's forward pass has a parameter of this name."""
        return name in self._parameters

    def batch(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Rows padded on the right to one length, as the module's keyword arguments.

        Padding on the right leaves every real token at its own position; the id used under it
        is of no effect, since attention never reaches it.
        """
        longest = max(len(row) for row in rows)
        pad = self._tokenizer.pad_token_id
        ids = np.full((len(rows), longest), 0 if pad is None else pad, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        types = np.zeros((len(rows), longest), dtype=np.int64)
        for index, row in enumerate(rows):
            size = len(row)
            ids[index, :size] = row.ids
            mask[index, :size] = 1 if row.attention is None else row.attention
            if row.token_types is not None:
                types[index, :size] = row.token_types
        inputs = {"input_ids": self.tensor(ids), "attention_mask": self.tensor(mask)}
        if rows[0].token_types is not None and self.accepts("token_type_ids"):
            inputs["token_type_ids"] = self.tensor(types)
        return inputs

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """An array on the model's device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def attention(
        self,
        encoding: Encoding,
        sink: AttentionSink,
        *,
        forced: Sequence[int] = (),
        row_block: int = 64,
    ) -> Watched:
        """See :class:`~whence.models.protocols.GivesAttention`."""
        decision: Decision | None = None
        with torch.inference_mode(), self.running():
            with watching(self.module, sink, row_block=row_block) as read:
                if not forced:
                    decision = cast("Any", self).decide(encoding)
                # An embedding decides nothing, so nothing ran.
                if forced or not read:
                    self._read(encoding, forced)
            if read:
                return Watched((), decision)
            weights = getattr(
                self._read(encoding, forced, output_attentions=True), "attentions", None
            )
        if not weights:
            raise CapabilityError(
                f"{self.architecture} gives no attention weights: its layers call no attention "
                "function that transformers shares, and output_attentions=True returned none"
            )
        for index, layer in enumerate(weights):
            self._pass_on(sink, index, layer)
        note = (
            f"the layers of {self.architecture} keep their softmax to themselves: these weights "
            "are those that the model returned, whole; no certificate could be made"
        )
        return Watched((note,), decision)

    def evaluate_changed(
        self, encoding: Encoding, readout: Any, changes: Sequence[Sequence[Change]]
    ) -> Evaluated:
        """See :class:`~whence.models.protocols.GivesHeads`."""
        rows = [self._whole(encoding.ids, encoding.token_types)] * len(changes)
        with changing(self.module, changes):
            return cast("Any", self).evaluate(rows, readout)

    def head_outputs(
        self, rows: Sequence[Row], readout: Any
    ) -> dict[str, list[Float[np.ndarray, "rows queries heads width"]]]:
        """See :class:`~whence.models.protocols.GivesHeads`."""
        sink = OutputSink()
        with tapping(self.module, sink):
            cast("Any", self).evaluate([self._whole(r.ids, r.token_types) for r in rows], readout)
        return sink.found

    def head_slopes(self, encoding: Encoding, readout: Any, *, direct: bool = False) -> HeadSlopes:
        """See :class:`~whence.models.protocols.GivesHeads`."""
        sink = DirectSink() if direct else SlopeSink()
        given = self.embed(encoding)[None]
        held = sink.holding(self.module) if isinstance(sink, DirectSink) else nullcontext()
        with held, tapping(self.module, sink):
            cast("Any", self).gradients(encoding, given, readout)
        count = len(readout.outputs)
        slopes = {
            name: [None if len(heard) != count else np.stack(heard)[:, 0] for heard in calls]
            for name, calls in sink.slopes.items()
        }
        outputs = {name: [call[0] for call in calls] for name, calls in sink.found.items()}
        return HeadSlopes(outputs=outputs, slopes=slopes)

    def states(self, row: Row, readout: Any) -> dict[str, list[Float[np.ndarray, "tokens width"]]]:
        """See :class:`~whence.models.protocols.GivesStates`."""
        sink = StateSink()
        with capturing(self.module, sink):
            cast("Any", self).evaluate([self._whole(row.ids, row.token_types)], readout)
        sink.check(self.architecture, len(getattr(readout, "sequences", (None,))))
        return {name: [call[0] for call in calls] for name, calls in sink.found.items()}

    def evaluate_replaced(
        self, encoding: Encoding, readout: Any, changes: Sequence[Sequence[StateReplaced]]
    ) -> Evaluated:
        """See :class:`~whence.models.protocols.GivesStates`."""
        rows = [self._whole(encoding.ids, encoding.token_types)] * len(changes)
        with replacing(self.module, changes):
            return cast("Any", self).evaluate(rows, readout)

    def stack(self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int]) -> Stack:
        """See :class:`~whence.models.protocols.GivesStates`."""
        sink = StateSink()
        with torch.inference_mode(), self.running(), capturing(self.module, sink):
            answers = array_of(self._answers(encoding, forced, positions, 1)[0])
        sink.check(self.architecture, 1)
        names = last_stack(list(sink.found))
        return Stack(names, np.stack([sink.found[name][0][0] for name in names]), answers)

    def stopped(
        self,
        encoding: Encoding,
        forced: Sequence[int],
        positions: Sequence[int],
        states: Float[np.ndarray, "rows tokens width"],
        block: str,
    ) -> Float[np.ndarray, "rows positions logits"]:
        """See :class:`~whence.models.protocols.GivesStates`."""
        places = np.arange(states.shape[1])
        changes = [
            (StateReplaced(block=block, positions=places, states=(state,)),) for state in states
        ]
        with torch.inference_mode(), self.running(), replacing(self.module, changes):
            return array_of(self._answers(encoding, forced, positions, len(changes)))

    def _answers(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int], count: int
    ) -> torch.Tensor:
        """Logits of ``count`` equal rows: ``[rows, positions, logits]``."""
        raise CapabilityError(
            f"{self.ref} has no logits: what it answers after each layer cannot be read. Models "
            "that work here: classifiers and models that write"
        )

    def _whole(self, ids: np.ndarray, types: np.ndarray | None) -> Row:
        # A row that says what it attends to is read from its first token on, never from a cache
        # of what rows share: a change must reach every position.
        return Row(ids=ids, attention=np.ones(len(ids), dtype=bool), token_types=types)

    def _pass_on(self, sink: AttentionSink, index: int, weights: torch.Tensor) -> None:
        _, heads, queries, keys = weights.shape
        call = AttentionCall(
            name=f"layer.{index}",
            kind="causal" if self.task == "causal" else "bidirectional",
            heads=heads,
            queries=queries,
            keys=keys,
            query_start=0,
            key_start=0,
        )
        sink.rows(call, 0, weights.float().cpu().numpy(), np.ones((len(weights), queries), bool))
        sink.close(call, float("nan"), torch.finfo(weights.dtype).eps)

    def _read(self, encoding: Encoding, forced: Sequence[int], **options: Any) -> Any:
        """One pass over an input and forced tokens, for what can be watched in it."""
        types = encoding.token_types
        ids = np.concatenate([encoding.ids, np.array(list(forced), dtype=np.int64)])
        return self.module(**self.batch([Row(ids=ids, token_types=types)]), **options)

    # -- embeddings --------------------------------------------------------------------------

    def embed(self, encoding: Encoding) -> Float[np.ndarray, "tokens width"]:
        """The embeddings looked up for the encoding's ids, scaled as the model scales them."""
        return self.embed_ids(encoding.ids.tolist())

    def embed_ids(self, ids: Sequence[int]) -> Float[np.ndarray, "ids width"]:
        """The embeddings of some ids."""
        with torch.inference_mode(), out_of_memory_as_memory_error():
            index = torch.tensor(list(ids), dtype=torch.long, device=self.device)
            return self.module.get_input_embeddings()(index).float().cpu().numpy()

    def mean_embedding(self) -> Float[np.ndarray, " width"]:
        """The mean embedding over the whole vocabulary; made anew when the table changed."""
        version = _version(self.module.get_input_embeddings().weight)
        if self._mean is None or self._mean[0] != version:
            size = self.vocabulary.size
            total: np.ndarray = np.zeros(0)
            for start in range(0, size, 8192):
                chunk = self.embed_ids(range(start, min(size, start + 8192)))
                part = chunk.astype(np.float64).sum(axis=0)
                total = part if total.size == 0 else total + part
            self._mean = version, (total / size).astype(np.float32)
        return self._mean[1]

    def leaf(self, embeddings: Float[np.ndarray, "batch tokens width"]) -> torch.Tensor:
        """Embedded inputs as a tensor to differentiate by, in the model's own dtype."""
        dtype = self.module.get_input_embeddings().weight.dtype
        if not dtype.is_floating_point:
            dtype = torch.float32
        tensor = torch.from_numpy(np.array(embeddings, dtype=np.float32))
        return tensor.to(self.device, dtype).requires_grad_(True)


def _version(tensor: torch.Tensor) -> int:
    try:
        return tensor._version  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the only change counter
    except RuntimeError:  # inference tensors keep none
        return 0


def slopes(values: torch.Tensor, leaf: torch.Tensor) -> np.ndarray:
    """Gradients ``[batch, outputs, tokens, width]`` of ``values[batch, outputs]``."""
    count = values.shape[1]
    found: list[np.ndarray] = []
    for output in range(count):
        differentiating(output)
        (gradient,) = torch.autograd.grad(
            values[:, output].sum(), leaf, retain_graph=output + 1 < count
        )
        found.append(gradient.float().cpu().numpy())
    return np.stack(found, axis=1)
