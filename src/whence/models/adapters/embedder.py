"""Embedding models: the similarity of two texts, as a function of the words of one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from whence.core.errors import CapabilityError, ModelOutputError, OptionError, unknown
from whence.core.explanations import Decision, NamedScore
from whence.core.targets import Link, Output, Similarity, Target
from whence.models.adapters.base import TorchModel
from whence.models.adapters.local_model import first_of
from whence.models.adapters.sentence_modules import MEAN, SentenceModules
from whence.models.adapters.shortcuts import Scores, Shortcuts
from whence.models.encoding import Encoder
from whence.models.internals.module_lock import locked
from whence.models.links import UNITS, check_link
from whence.models.protocols import Encoding, Precision, Row
from whence.models.task import require_text

__all__ = ["Embedder", "SimilarityReadout"]


@dataclass(frozen=True, slots=True, eq=False)
class SimilarityReadout:
    """The unit vectors ``[outputs, width]`` that the text's own is compared with."""

    outputs: tuple[Output, ...]
    others: torch.Tensor
    precision: Precision = "native"
    extra_tokens: int = 0
    shortcuts: Shortcuts = field(default_factory=Shortcuts.of_batches, repr=False)

    @property
    def key(self) -> str:
        """What is read, as text."""
        others = [output.name for output in self.outputs] + [
            hashlib.sha256(self.others.cpu().numpy().tobytes()).hexdigest()
        ]
        return json.dumps(["similarity", others, self.precision])


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
        sentence: SentenceModules | None = None,
        prompt: str | None = None,
    ) -> None:
        self.sentence = sentence or MEAN
        super().__init__(module, tokenizer, ref=ref, revision=revision)
        if getattr(self.config, "is_encoder_decoder", False) and not self._reads_text_alone():
            encoder = module.get_encoder()
            require_text(encoder, ref)
            super().__init__(encoder, tokenizer, ref=ref, revision=revision)
        if prompt is not None:
            self.sentence = replace(self.sentence, prompt=self._prompt(prompt))
        for part in self.sentence.modules:
            part.to(self.device)
        self._encoder.prompt = self.sentence.prompt
        self._prompt_length = self._length_of(self.sentence.prompt)

    def _reads_text_alone(self) -> bool:
        """Whether an encoder-decoder gives its decoder the text itself, as Bart does.

        Others need another text for it, so that their encoder is what embeds one. Cost: a pass over
        eight tokens.
        """
        try:
            with torch.inference_mode(), self.running():
                self.module(**self.batch([Row(ids=np.zeros(8, dtype=np.int64))]))
        except ModelOutputError:
            return False
        return True

    def _prompt(self, name: str) -> str:
        """The text of a prompt.

        Raises:
            OptionError: the model has none of this name.
        """
        if name not in self.sentence.prompts:
            raise unknown(f"prompt of {self.ref}", name, tuple(self.sentence.prompts))
        return self.sentence.prompts[name]

    def _vector_of(self, target: Similarity) -> torch.Tensor:
        """The other text's vector, behind the prompt that its target names, else behind the text's."""
        prompt = self.sentence.prompt if target.prompt is None else self._prompt(target.prompt)
        encoder = Encoder(self._tokenizer, ref=self.ref, limit=self._encoder.limit, prompt=prompt)
        with locked(self._tokenizer):
            other = encoder.encode(target.other)
            length = self._length_of(prompt)
        self._check_table(other.ids)
        with torch.inference_mode(), self.running():
            row = Row(ids=other.ids, token_types=other.token_types)
            return self._vectors([row], length)[0].clone()

    def _length_of(self, prompt: str) -> int:
        """Tokens of the prompt as sentence-transformers counts them: a last special one aside."""
        if not prompt:
            return 0
        ids = self._tokenizer(prompt)["input_ids"]
        return len(ids) - (ids[-1] in self._tokenizer.all_special_ids)

    def fingerprint(self) -> str:
        """SHA-256 over the transformer's own, and over the modules and the prompt behind it."""
        own = super().fingerprint()
        # The folder of a bare transformer, and the transformer in memory, are one model.
        if self.sentence.described == MEAN.described:
            return own
        digest = hashlib.sha256(f"{own} {self.sentence.described}".encode())
        for part in self.sentence.modules:
            for name, tensor in sorted(part.state_dict().items()):
                digest.update(f"{name} {tuple(tensor.shape)}".encode())
                digest.update(tensor.double().cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def architecture(self) -> str:
        """The module's class and how its tokens become one vector."""
        return f"{type(self.module).__name__} ({self.sentence.described})"

    def decide(self, encoding: Encoding) -> Decision:
        """The embedding's width: an embedding by itself decides nothing."""
        width = int(self.config.get_text_config().hidden_size)
        state = torch.zeros(1, 1, width, device=self.device)
        mask = torch.ones(1, 1, dtype=torch.long, device=self.device)
        width = self.sentence.vectors(state, mask, 0).shape[1]
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
            vectors.append(self._vector_of(target))
            name = f"similarity to {target.other[:60]!r}"
            outputs.append(Output(name=name, link=chosen, unit=UNITS[chosen], target=target))
        return SimilarityReadout(tuple(outputs), torch.stack(vectors), precision)

    def _scores(self, rows: Sequence[Row], readout: Any, *, reuse: bool = False) -> Scores:
        """Cosines with each other text."""
        # clone: the vectors were made in inference mode, and autograd refuses to save inference
        # tensors for the backward pass. A copy made outside of that mode is an ordinary tensor.
        cosines = self._vectors(rows) @ readout.others.clone().T
        return Scores(cosines, sum(len(row) for row in rows))

    def _values(self, raw: torch.Tensor, readout: Any) -> torch.Tensor:
        return raw

    def _vectors(self, rows: Sequence[Row], prompt: int | None = None) -> torch.Tensor:
        """Vectors of rows that begin with so many tokens of a prompt; none: those of the text's."""
        inputs = self.batch(rows)
        hidden = first_of(self.module(**inputs), "last_hidden_state")
        return self._pool(hidden, inputs["attention_mask"], prompt)

    def _pool(
        self, hidden: torch.Tensor, mask: torch.Tensor, prompt: int | None = None
    ) -> torch.Tensor:
        if hidden.shape[:2] != mask.shape:
            raise CapabilityError(
                f"{type(self.module).__name__} gives {hidden.shape[1]} states for a text of "
                f"{mask.shape[1]} tokens; expected one of each token, of which {self.ref} makes its "
                "embedding"
            )
        length = self._prompt_length if prompt is None else prompt
        vectors = self.sentence.vectors(hidden, mask, length)
        return torch.nn.functional.normalize(vectors, dim=1)
