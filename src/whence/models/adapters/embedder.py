"""Embedding models: the similarity of two texts, as a function of the words of one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from whence.core.errors import CapabilityError, OptionError
from whence.core.explanations import Decision, NamedScore
from whence.core.targets import Link, Output, Similarity, Target
from whence.models.adapters.base import TorchModel
from whence.models.adapters.local_model import first_of
from whence.models.adapters.shortcuts import Scores, Shortcuts
from whence.models.links import UNITS, check_link
from whence.models.protocols import Encoding, Precision, Row

__all__ = ["Embedder", "Pooling", "SimilarityReadout"]

Pooling = Literal["mean", "cls", "last"]


@dataclass(frozen=True, slots=True, eq=False)
class SimilarityReadout:
    """The unit vectors ``[outputs, width]`` that the text's own is compared with."""

    outputs: tuple[Output, ...]
    others: torch.Tensor
    pooling: Pooling
    precision: Precision = "native"
    extra_tokens: int = 0
    shortcuts: Shortcuts = field(default_factory=Shortcuts.of_batches, repr=False)

    @property
    def key(self) -> str:
        """What is read, as text."""
        others = [output.name for output in self.outputs] + [
            hashlib.sha256(self.others.cpu().numpy().tobytes()).hexdigest()
        ]
        return json.dumps(["similarity", others, self.pooling, self.precision])


class Embedder(TorchModel):
    """A transformers encoder whose pooled, normalised output is the text's embedding."""

    task = "embedding"

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        *,
        ref: str,
        revision: str | None = None,
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__(module, tokenizer, ref=ref, revision=revision)
        self.pooling: Pooling = pooling

    @property
    def architecture(self) -> str:
        """The module's class and how its tokens become one vector."""
        return f"{type(self.module).__name__} ({self.pooling} pooling)"

    def decide(self, encoding: Encoding) -> Decision:
        """The embedding's width: an embedding by itself decides nothing."""
        width = int(self.module.get_input_embeddings().weight.shape[1])
        score = NamedScore(name="width", value=float(width))
        return Decision(text=f"an embedding of {width} numbers", scores=(score,), unit="count")

    def readout(
        self,
        encoding: Encoding,
        targets: Sequence[Target],
        *,
        link: Link | None = None,
        precision: Precision = "native",
    ) -> SimilarityReadout:
        """Similarities with other texts; there is no default, the other text must be named."""
        chosen = "cosine" if link is None else check_link(link, ("cosine",), self.ref)
        if not targets:
            raise OptionError(
                f"{self.ref} embeds texts; say with which text to compare: "
                "target=Similarity(other='...')"
            )
        outputs: list[Output] = []
        vectors: list[torch.Tensor] = []
        for target in targets:
            if not isinstance(target, Similarity):
                raise CapabilityError(
                    f"{self.ref} embeds texts and has no target {type(target).__name__}. "
                    "Targets that work here: Similarity"
                )
            other = self.encode(target.other)
            row = Row(ids=other.ids, token_types=other.token_types)
            with torch.inference_mode(), self.running():
                vectors.append(self._vectors([row])[0].clone())
            name = f"similarity to {target.other[:60]!r}"
            outputs.append(Output(name=name, link=chosen, unit=UNITS[chosen], target=target))
        return SimilarityReadout(tuple(outputs), torch.stack(vectors), self.pooling, precision)

    def _scores(self, rows: Sequence[Row], readout: Any, *, reuse: bool = False) -> Scores:
        """Cosines with each other text."""
        # clone: the vectors were made in inference mode, and autograd refuses to save inference
        # tensors for the backward pass. A copy made outside of that mode is an ordinary tensor.
        cosines = self._vectors(rows) @ readout.others.clone().T
        return Scores(cosines, sum(len(row) for row in rows))

    def _values(self, raw: torch.Tensor, readout: Any) -> torch.Tensor:
        return raw

    def _vectors(self, rows: Sequence[Row]) -> torch.Tensor:
        inputs = self.batch(rows)
        return self._pool(
            first_of(self.module(**inputs), "last_hidden_state"), inputs["attention_mask"]
        )

    def _pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.pooling == "cls":
            pooled = hidden[:, 0].double()
        elif self.pooling == "last":
            places = torch.arange(mask.shape[1], device=mask.device)
            # The last token that is read has the highest place among those not masked: padded
            # places count 0.
            last = (mask * places).argmax(dim=1)
            pooled = hidden[torch.arange(len(mask), device=mask.device), last].double()
        else:
            weight = mask[:, :, None].double()
            # clamp: a row whose tokens are all hidden has no weight, and a vector of zeros has a
            # cosine of 0 with every text, where 0 / 0 is NaN.
            pooled = (hidden.double() * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        return torch.nn.functional.normalize(pooled, dim=1)
