"""A transformers module and its tokenizer: identity, tokens, batches, embeddings.

The user's module stays as it is: never moved, cast or patched, and in another mode for no longer
than one call. The tokenizer is copied, because asking a fast tokenizer for untruncated ids changes
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

from whence.core.errors import CapabilityError, GradientError
from whence.core.provenance import ModelIdentity
from whence.models.adapters.identity import (
    fingerprint_of,
    tensor_version,
    token_limit,
    weight_versions,
)
from whence.models.encoding import Encoder
from whence.models.internals.kernel_hooks import announce_gradient
from whence.models.values import Encoding, Precision, Row, Task, Vocabulary

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
        self._fingerprint: tuple[tuple[int, ...], str] | None = None
        self._mean: tuple[int, np.ndarray] | None = None
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
        return cast("torch.device", self.module.get_input_embeddings().weight.device)

    @property
    def table(self) -> Any:
        """The table that the input's tokens are looked up in: of two stacks, the encoder's own."""
        if getattr(self.config, "is_encoder_decoder", False):
            encoder = self.module.get_encoder()
            # Where the stacks do not share their weights, the module's own table is the decoder's.
            if encoder is not None and encoder.get_input_embeddings() is not None:
                return encoder.get_input_embeddings()
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
            device=str(weight.device),
            revision=self.revision,
            quantisation=None if quantisation is None else str(getattr(method, "value", method)),
        )

    def fingerprint(self) -> str:
        """SHA-256 over configuration, weights and tokenizer; computed again when a weight changed."""
        versions = weight_versions(self.module)
        if self._fingerprint is None or self._fingerprint[0] != versions:
            self._fingerprint = versions, fingerprint_of(self.module, self._tokenizer)
        return self._fingerprint[1]

    @property
    def vocabulary(self) -> Vocabulary:
        """Special ids and the length limit."""
        tokenizer = self._tokenizer
        bos = tokenizer.bos_token_id
        return Vocabulary(
            # Rows of the table, not len(tokenizer): tables are often padded to a round number, and
            # what counts is which ids can be looked up.
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
        # Without clean-up, which takes the space before punctuation and so shows another text than
        # was written.
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    @contextmanager
    def running(self, precision: Precision = "native") -> Generator[None]:
        """Evaluation mode for one call; every submodule's own mode is put back afterwards."""
        # Child by child: module.eval() and module.train() set one mode for all, and callers do
        # freeze single layers (a batch norm in evaluation mode while the rest trains).
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

        Padding on the right leaves every real token at its own position. That a model does not
        mind it is shown on the rows at hand (:mod:`whence.models.adapters.shortcuts`).
        """
        longest = max(len(row) for row in rows)
        # The module's own first: decoders that classify look for it to find the last token.
        pad = getattr(self.config, "pad_token_id", None)
        pad = self._tokenizer.pad_token_id if pad is None else pad
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
        with torch.inference_mode(), out_of_memory_as_memory_error():
            index = torch.tensor(list(ids), dtype=torch.long, device=self.device)
            return self.table(index).float().cpu().numpy()

    def mean_embedding(self) -> Float[np.ndarray, " width"]:
        """The mean embedding over the whole vocabulary; computed again when the table changed."""
        version = tensor_version(self.table.weight)
        if self._mean is None or self._mean[0] != version:
            size = self.vocabulary.size
            total: np.ndarray = np.zeros(0)
            for start in range(0, size, VOCABULARY_CHUNK):
                chunk = self.embed_ids(range(start, min(size, start + VOCABULARY_CHUNK)))
                part = chunk.astype(np.float64).sum(axis=0)
                total = part if total.size == 0 else total + part
            self._mean = version, (total / size).astype(np.float32)
        return self._mean[1]

    def leaf(self, embeddings: Float[np.ndarray, "batch tokens width"]) -> torch.Tensor:
        """Embedded inputs as a tensor to differentiate by, in the model's own dtype."""
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
