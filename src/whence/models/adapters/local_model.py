"""A transformers module and its tokenizer: identity, tokens, batches, embeddings.

The user's module stays as it is: never moved, cast or patched, and in evaluation mode for no longer
than one pass. Passes of several threads over one module take turns. The tokenizer is copied, because asking a fast tokenizer for untruncated ids changes
the truncation setting of the one that is asked.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int

from whence.core.errors import CapabilityError, GradientError, InputError
from whence.core.provenance import ModelIdentity
from whence.models.adapters.gradient_flow import blocked_layer
from whence.models.adapters.identity import fingerprint_of, token_limit
from whence.models.adapters.model_state import answer_state_of
from whence.models.encoding import Encoder
from whence.models.internals.kernel_hooks import announce_gradient
from whence.models.internals.module_errors import name_module_errors
from whence.models.internals.module_lock import locked
from whence.models.public_call import once_a_call
from whence.models.task import table_of
from whence.models.values import AnswerState, Encoding, Precision, Row, Task, Vocabulary

__all__ = ["LocalModel", "first_of", "gradients_of", "out_of_memory_as_memory_error"]

VOCABULARY_CHUNK = 8192
"""Embeddings raised to float64 at once for their mean: 64 MB at a width of 1,024."""


@contextmanager
def out_of_memory_as_memory_error() -> Generator[None]:
    """Turn what allocators raise when memory runs out into ``MemoryError``."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        # The CPU allocator raises a RuntimeError like any other; its text alone tells it from an
        # error of the model.
        text = str(error)
        if "can't allocate memory" in text or "not enough memory" in text:
            raise MemoryError(text) from error
        raise


class LocalModel:
    """A transformers module with its tokenizer: identity, tokens, batches and embeddings."""

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
        self._parameters = _parameters(module)
        self._encoder = Encoder(
            self._tokenizer, ref=ref, limit=token_limit(module, self._tokenizer)
        )

    @property
    def config(self) -> Any:
        """The module's configuration."""
        return self.module.config

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the input embeddings."""
        table = self.module.get_input_embeddings()
        if not table.weight.is_meta:
            return cast("torch.device", table.weight.device)
        # Weights that accelerate brings into memory for the time of their layer's pass.
        hook = getattr(table, "_hf_hook", None)
        return torch.device(getattr(hook, "execution_device", None) or "cpu")

    @property
    def table(self) -> Any:
        """The table that the input's tokens are looked up in: of two stacks, the encoder's own."""
        if getattr(self.config, "is_encoder_decoder", False):
            # Where the stacks do not share their weights, the module's own table is the decoder's.
            table = table_of(self.module.get_encoder())
            if table is not None:
                return table
        return self.module.get_input_embeddings()

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names of a classifier; empty for other tasks."""
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
            device=str(self.device),
            revision=self.revision,
            quantisation=None if quantisation is None else str(getattr(method, "value", method)),
        )

    def fingerprint(self) -> str:
        """SHA-256 over configuration, weights, active adapters and tokenizer.

        Read from the weights themselves, once in each public call: torch counts the writes to a tensor,
        but not those of a fused optimiser or through ``.data``
        (findings/torch-fused-step-hides-from-version.sh). Cost: about four evaluations of one short
        text, 0.6 seconds a gigabyte on a processor with instructions for SHA-256.
        """

        def read() -> str:
            with locked(self.module), locked(self._tokenizer):
                return fingerprint_of(self.module, self._tokenizer)

        return once_a_call(self, "fingerprint", read)

    def answer_state(self) -> AnswerState:
        """See :class:`~whence.models.protocols.GivesAnswerState`."""

        def read() -> AnswerState:
            with locked(self.module):
                return answer_state_of(self.module, self.fingerprint())

        return once_a_call(self, "answer state", read)

    def no_gradients(self) -> str | None:
        """Why gradients of this model would be wrong; ``None`` where nothing speaks against them."""

        def read() -> str | None:
            with self.running():
                return blocked_layer(self.module)

        return once_a_call(self, "no gradients", read)

    @property
    def vocabulary(self) -> Vocabulary:
        """Special ids and the length limit."""
        tokenizer = self._tokenizer
        bos = tokenizer.bos_token_id
        # Rows of the table, not len(tokenizer): tables are often padded to a round number, and
        # what counts is which ids can be looked up.
        size = int(self.module.get_input_embeddings().weight.shape[0])

        def known(token: int | None) -> int | None:
            return token if token is not None and token < size else None

        return Vocabulary(
            size=size,
            mask_id=known(tokenizer.mask_token_id),
            pad_id=known(tokenizer.pad_token_id),
            bos_id=known(getattr(self.config, "bos_token_id", None) if bos is None else bos),
            unknown_id=known(tokenizer.unk_token_id),
            limit=self._encoder.limit,
        )

    def encode(self, source: object) -> Encoding:
        """The input as the model reads it; see :class:`~whence.models.protocols.TokenModel`."""
        with locked(self._tokenizer):
            encoding = self._encoder.encode(source)
        self._check_table(encoding.ids)
        return encoding

    def tokenize(self, text: str) -> Int[np.ndarray, " tokens"]:
        """Ids of a bare text, without special tokens."""
        # A fast tokenizer sets its truncation at each call, and refuses that while another thread reads.
        with locked(self._tokenizer):
            output = self._tokenizer(text, add_special_tokens=False, verbose=False)
        ids = np.array(output["input_ids"], dtype=np.int64)
        self._check_table(ids)
        return ids

    def _check_table(self, ids: Int[np.ndarray, " tokens"]) -> None:
        size = self.vocabulary.size
        beyond = ids[ids >= size]
        if beyond.size:
            token = self._tokenizer.convert_ids_to_tokens(int(beyond[0]))
            raise InputError(
                f"token {token!r} has id {beyond[0]}, and the embedding table of {self.ref} has {size} "
                "rows: the tokenizer was given a token that the model was not. Call "
                "model.resize_token_embeddings(len(tokenizer)) and train the new row, or take the token "
                "out of the text"
            )

    def decode(self, ids: Sequence[int]) -> str:
        """Text of some ids, special tokens shown."""
        # Without clean-up, which takes the space before punctuation and so shows another text than
        # was written.
        with locked(self._tokenizer):
            return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    @contextmanager
    def running(self, precision: Precision = "native") -> Generator[None]:
        """Evaluation mode for one pass; every submodule's own mode is put back afterwards.

        Other threads wait: a pass never meets another one's hooks, mode or changed weights.
        """
        with locked(self.module):
            # Child by child: module.eval() and module.train() set one mode for all, and callers do
            # freeze single layers (a batch norm in evaluation mode while the rest trains).
            training = [child for child in self.module.modules() if child.training]
            for child in training:
                child.training = False
            try:
                with name_module_errors(self.architecture), out_of_memory_as_memory_error():
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

        Padding on the right leaves every real token at its own position. That a model does not
        mind it is shown on the rows at hand (:mod:`whence.models.adapters.shortcuts`).
        """
        longest = max(len(row) for row in rows)
        # The module's own first: decoders that classify look for it to find the last token.
        pad = getattr(self.config, "pad_token_id", None)
        if not isinstance(pad, int) or not 0 <= pad < self.vocabulary.size:
            pad = self.vocabulary.pad_id
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

    def embed(self, encoding: Encoding) -> Float[np.ndarray, "tokens width"]:
        """The embeddings looked up for the encoding's ids, scaled as the model scales them."""
        return self.embed_ids(encoding.ids.tolist())

    def embed_ids(self, ids: Sequence[int]) -> Float[np.ndarray, "ids width"]:
        """The embeddings of some ids."""
        # running(): a table that is read in another mode, or half way through a change, has other rows.
        with torch.inference_mode(), self.running():
            index = torch.tensor(list(ids), dtype=torch.long, device=self.device)
            return first_of(self.table(index), "embeddings").float().cpu().numpy()

    def mean_embedding(self) -> Float[np.ndarray, " width"]:
        """The mean embedding over the whole vocabulary; computed once in each public call."""

        def mean() -> np.ndarray:
            size = self.vocabulary.size
            total: np.ndarray = np.zeros(0)
            for start in range(0, size, VOCABULARY_CHUNK):
                chunk = self.embed_ids(range(start, min(size, start + VOCABULARY_CHUNK)))
                part = chunk.astype(np.float64).sum(axis=0)
                total = part if total.size == 0 else total + part
            return (total / size).astype(np.float32)

        return once_a_call(self, "mean embedding", mean)

    def leaf(self, embeddings: Float[np.ndarray, "batch tokens width"]) -> torch.Tensor:
        """Embedded inputs as a tensor to differentiate by, in the model's own dtype.

        Raises:
            CapabilityError: a layer passes no gradients on; around it they would be wrong.
        """
        reason = self.no_gradients()
        if reason is not None:
            raise CapabilityError(f"{self.ref} gives no gradients: {reason}")
        dtype = self.table.weight.dtype
        # A quantised table holds integers, by which nothing can be differentiated.
        if not dtype.is_floating_point:
            dtype = torch.float32
        tensor = torch.from_numpy(np.array(embeddings, dtype=np.float32))
        return tensor.to(self.device, dtype).requires_grad_(True)


def _parameters(module: Any) -> frozenset[str]:
    """Names that a module's forward pass takes; a wrapper of adapters passes on those inside it."""
    names = frozenset(inspect.signature(module.forward).parameters)
    inner = getattr(module, "get_base_model", None)
    return names | _parameters(inner()) if callable(inner) else names


def first_of(output: Any, name: str) -> torch.Tensor:
    """The tensor of a name in what a module returned; of a tuple the first, of a tensor itself.

    Raises:
        CapabilityError: there is none.
    """
    # A module answers with a tuple where its configuration says return_dict=False, and one of
    # another author with what he chose.
    result = output.get(name) if isinstance(output, Mapping) else getattr(output, name, output)
    if isinstance(result, tuple | list) and result:
        result = cast("Sequence[Any]", result)[0]
    if not torch.is_tensor(result):
        raise CapabilityError(
            f"expected {name} as a tensor, alone, first in a tuple or by name; the model returned "
            f"{type(output).__name__}"
        )
    return result


def gradients_of(values: torch.Tensor, leaf: torch.Tensor) -> np.ndarray:
    """Gradients ``[batch, outputs, tokens, width]`` of ``values[batch, outputs]`` by ``leaf``.

    Raises:
        GradientError: autograd finds no way from a value to the leaf.
    """
    # Inputs of a batch do not depend on each other, so the gradient of the sum over the batch holds
    # the gradient of each: one backward pass for each output, whatever the size of the batch.
    count = values.shape[1]
    gradients: list[np.ndarray] = []
    for output in range(count):
        announce_gradient(output)
        gradient = None
        if values.requires_grad:
            (gradient,) = torch.autograd.grad(
                values[:, output].sum(), leaf, retain_graph=output + 1 < count, allow_unused=True
            )
        if gradient is None:
            raise GradientError("no gradient of the value reaches the embeddings")
        gradients.append(gradient.float().cpu().numpy())
    return np.stack(gradients, axis=1)
