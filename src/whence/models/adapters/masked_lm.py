"""Masked language models: a token at a mask, or a token's weight in a sparse embedding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from whence.core.errors import CapabilityError, InputError, ModelLoadError, OptionError
from whence.core.explanations import Decision, NamedScore
from whence.core.targets import Contrast, Expansion, Label, Link, MaskFill, Output, Target
from whence.models.adapters.local_model import first_of
from whence.models.adapters.placed_tokens import PlacedTokens, PlaceReadout, Question
from whence.models.adapters.shortcuts import Shortcuts
from whence.models.adapters.target_sequences import SEQUENCE_LINKS
from whence.models.links import UNITS, check_link, label_scores
from whence.models.protocols import Encoding, Precision, Row

__all__ = ["ExpansionReadout", "MaskedLM", "SparseEmbedder"]

SHOWN = 5
"""Tokens that a decision lists, as transformers' fill-mask pipeline does."""


class MaskedLM(PlacedTokens):
    """A transformers masked language model, read at the mask tokens of the text."""

    task = "masked_lm"

    def _masks(self, encoding: Encoding) -> list[int]:
        masks: list[int] = np.flatnonzero(encoding.ids == self._tokenizer.mask_token_id).tolist()
        if not masks:
            token = self._tokenizer.mask_token
            raise InputError(
                f"{self.ref} fills in masked words; expected {token!r} in the text, got none. Put it "
                "where the word stands that is asked for, or ask for an Expansion"
            )
        return masks

    def decide(self, encoding: Encoding) -> Decision:
        """The likeliest tokens at the first mask, and the likeliest at each other.

        Of a text without a mask, the tokens of the largest weights in its sparse embedding.
        """
        if not np.any(encoding.ids == self._tokenizer.mask_token_id):
            return self.heaviest(encoding, Pooling())
        chances = label_scores(
            self._logits_of(encoding)[self._masks(encoding)], "probability", independent=False
        )
        order: list[int] = np.argsort(-chances[0], kind="stable")[:SHOWN].tolist()
        best: list[int] = chances.argmax(axis=1).tolist()
        return Decision(
            text=", ".join(self._word(token) for token in best),
            scores=tuple(
                NamedScore(name=self._word(token), value=float(chances[0, token]))
                for token in order
            ),
        )

    def _word(self, token: int) -> str:
        return self.decode([token]).strip()

    def readout(
        self,
        encoding: Encoding,
        targets: Sequence[Target],
        *,
        link: Link | None = None,
        precision: Precision = "native",
    ) -> PlaceReadout | ExpansionReadout:
        """Targets resolved; the default is the likeliest token at the first mask."""
        if any(isinstance(target, Expansion) for target in targets):
            return self.expansions(encoding, targets, link=link, precision=precision)
        chosen = SEQUENCE_LINKS[0] if link is None else check_link(link, SEQUENCE_LINKS, self.ref)
        questions = [self._question(encoding, target) for target in targets or (MaskFill(),)]
        return PlaceReadout.of(questions, chosen, precision)

    def _question(self, encoding: Encoding, target: Target) -> Question:
        if isinstance(target, Label):
            target = MaskFill(token=target.label)
        masks = self._masks(encoding)
        if isinstance(target, Contrast):
            if target.label is None or target.against is None:
                raise OptionError("a contrast of tokens at a mask needs label=... and against=...")
            plus, minus = (
                self._token(encoding, token, masks[0]) for token in (target.label, target.against)
            )
            name = f"{self._word(plus)} rather than {self._word(minus)}"
            resolved = Contrast(label=plus, against=minus)
            return name, resolved, [(masks[0], plus)], [(masks[0], minus)]
        if not isinstance(target, MaskFill):
            raise CapabilityError(
                f"{self.ref} fills in masked words and has no target {type(target).__name__}. "
                "Targets that work here: MaskFill, Contrast, Expansion"
            )
        if not 0 <= target.mask < len(masks):
            raise OptionError(
                f"there is no mask token {target.mask}; the text has {len(masks)}, from 0 on"
            )
        place = masks[target.mask]
        if target.token is None:
            token = int(self._logits_of(encoding)[place].argmax())
        else:
            token = self._token(encoding, target.token, place)
        more = f" at mask {target.mask}" if len(masks) > 1 else ""
        resolved = MaskFill(token=token, mask=target.mask)
        return f"{self._word(token)}{more}", resolved, [(place, token)], ()

    def _token(self, encoding: Encoding, token: str | int, place: int) -> int:
        """The id of a word as the tokenizer writes it in the place of a mask.

        Raises:
            OptionError: an id outside the vocabulary, or a word of several tokens.
        """
        if isinstance(token, int):
            return self._checked(token)
        mask, text = str(self._tokenizer.mask_token), encoding.document.text
        # The span of a mask may hold the space before it.
        start = text.index(mask, int(encoding.offsets[place, 0]))
        filled = text[:start] + token + text[start + len(mask) :]
        return self._only(token, filled, start)

    def _only(self, word: str, text: str, start: int) -> int:
        """The one token at a word of a text."""
        output = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids = [
            token
            for token, (begin, end) in zip(
                output["input_ids"], output["offset_mapping"], strict=True
            )
            if begin < start + len(word) and end > start
        ]
        if len(ids) != 1 or ids[0] == self._tokenizer.unk_token_id:
            raise OptionError(
                f"expected one token of {self.ref}, got {word!r}, which it reads as "
                f"{self._tokenizer.convert_ids_to_tokens(ids)}; give one word of its vocabulary, or an id"
            )
        return self._checked(int(ids[0]))

    def _checked(self, token: int) -> int:
        if not 0 <= token < self.vocabulary.size:
            raise OptionError(
                f"there is no token id {token}; the vocabulary of {self.ref} is 0 to "
                f"{self.vocabulary.size - 1}"
            )
        return token

    def expansions(
        self,
        encoding: Encoding,
        targets: Sequence[Target],
        *,
        link: Link | None = None,
        precision: Precision = "native",
        pooling: Pooling | None = None,
    ) -> ExpansionReadout:
        """Weights of tokens in the sparse embedding of the text.

        Raises:
            CapabilityError: another target beside them.
        """
        chosen = "score" if link is None else check_link(link, ("score",), self.ref)
        pooling = pooling or Pooling()
        outputs: list[Output] = []
        tokens: list[int] = []
        for target in targets or (Expansion(),):
            if isinstance(target, Label):
                target = Expansion(token=target.label)
            if not isinstance(target, Expansion):
                raise CapabilityError(
                    f"{self.ref} weighs tokens and has no target {type(target).__name__} beside it. "
                    "Targets that work here: Expansion"
                )
            if target.token is None:
                token = int(self._weights(encoding, pooling).argmax())
            elif isinstance(target.token, int):
                token = self._checked(target.token)
            else:
                token = self._only(target.token, target.token, 0)
            tokens.append(token)
            outputs.append(
                Output(
                    name=f"weight of {self._word(token)}",
                    link=chosen,
                    unit=UNITS[chosen],
                    target=Expansion(token=token),
                )
            )
        return ExpansionReadout(tuple(outputs), tuple(tokens), pooling, precision)

    def _weights(self, encoding: Encoding, pooling: Pooling) -> Float[np.ndarray, " vocabulary"]:
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        with torch.inference_mode(), self.running():
            inputs = self.batch([row])
            logits = first_of(self.module(**inputs), "logits")
            return pooling(logits, inputs["attention_mask"])[0].cpu().numpy()

    def heaviest(self, encoding: Encoding, pooling: Pooling) -> Decision:
        """The tokens of the largest weights."""
        weights = self._weights(encoding, pooling)
        order: list[int] = np.argsort(-weights, kind="stable")[:SHOWN].tolist()
        scores = tuple(NamedScore(name=self._word(t), value=float(weights[t])) for t in order)
        return Decision(text=", ".join(s.name for s in scores), scores=scores, unit="score")

    def _raw(
        self, logits: torch.Tensor, seen: torch.Tensor, rows: Sequence[Row], readout: Any
    ) -> torch.Tensor:
        if isinstance(readout, ExpansionReadout):
            return readout.pooling(logits[:, :, list(readout.tokens)], seen)
        return super()._raw(logits, seen, rows, readout)

    def _values(self, raw: torch.Tensor, readout: Any) -> torch.Tensor:
        return raw if isinstance(readout, ExpansionReadout) else super()._values(raw, readout)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooling:
    """How logits of the positions become one weight: ``SpladePooling`` of sentence-transformers.

    ``log(1 + relu(logit))``, of which ``log1p_relu`` takes ``log(1 + x)`` once more, as the largest
    over the positions or their sum.
    """

    pooling_strategy: str = "max"
    activation_function: str = "relu"

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Pooling:
        """The pooling that a folder states.

        Raises:
            ModelLoadError: a setting of another kind.
        """
        stated = {
            key: settings[key]
            for key in ("pooling_strategy", "activation_function")
            if key in settings
        }
        pooling = cls(**stated)
        if pooling.pooling_strategy not in ("max", "sum") or pooling.activation_function not in (
            "relu",
            "log1p_relu",
        ):
            raise ModelLoadError(
                f"expected a SpladePooling of max or sum, over relu or log1p_relu; got {stated}"
            )
        return pooling

    def __call__(self, logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        weights = torch.log1p(torch.relu(logits.double()))
        if self.activation_function == "log1p_relu":
            weights = torch.log1p(weights)
        # A hidden position weighs nothing, and no weight is below 0.
        weights = weights * seen[:, :, None]
        return weights.sum(dim=1) if self.pooling_strategy == "sum" else weights.amax(dim=1)


@dataclass(frozen=True, slots=True, eq=False)
class ExpansionReadout:
    """Tokens whose weights in the sparse embedding are read."""

    outputs: tuple[Output, ...]
    tokens: tuple[int, ...]
    pooling: Pooling
    precision: Precision = "native"
    extra_tokens: int = 0
    shortcuts: Shortcuts = field(default_factory=Shortcuts.of_batches, repr=False)

    @property
    def key(self) -> str:
        """What is read, as text."""
        pooling = [self.pooling.pooling_strategy, self.pooling.activation_function]
        return json.dumps(["expansion", self.tokens, pooling, self.precision])


class SparseEmbedder(MaskedLM):
    """A masked language model that weighs the vocabulary, such as SPLADE."""

    task = "sparse_embedding"

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        *,
        ref: str,
        revision: str | None = None,
        pooling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(module, tokenizer, ref=ref, revision=revision)
        self.pooling = Pooling.of(pooling or {})

    def decide(self, encoding: Encoding) -> Decision:
        """The tokens of the largest weights."""
        return self.heaviest(encoding, self.pooling)

    def readout(
        self,
        encoding: Encoding,
        targets: Sequence[Target],
        *,
        link: Link | None = None,
        precision: Precision = "native",
    ) -> ExpansionReadout:
        """Targets resolved; the default is the token of the largest weight."""
        return self.expansions(
            encoding, targets, link=link, precision=precision, pooling=self.pooling
        )
