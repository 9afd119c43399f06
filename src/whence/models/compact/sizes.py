"""Sizes and training of a small transformer; needs no torch, so that a student can be described."""

from __future__ import annotations

import math
from dataclasses import dataclass

from whence.core.errors import OptionError

__all__ = ["Sizes"]

LEAST_VOCABULARY = 300
"""256 bytes and 5 special pieces, and some room for pieces that are learnt."""

LEAST_TOKENS = 8
"""[CLS], [SEP] and a few pieces: shorter texts hold nothing to learn from. Chosen by hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Hyper-parameters of a small transformer.

    Args:
        layers: number of layers; at most the teacher's where these are matched.
        hidden: width of the states, a multiple of ``heads``.
        heads: number of attention heads in each layer.
        epochs: number of rounds over the texts, at most.
        patience: rounds without a gain on ``select`` after which training stops.
        temperature: divisor of the logits; above 1, labels that the teacher did not choose count more.
        hidden_weight: weight of the distance to the teacher's states, as a share of their size.
        attention_weight: weight of the divergence from the teacher's mean attention, in nats.
        vocabulary: number of pieces that are learnt, at most; with a matched teacher, its own are used.
        tokens: number of tokens of a text, at most; a longer one is refused.
        batch: number of texts in one step.
        rate: highest learning rate.
        dropout: share of states set to zero in training.
        seed: seed of the first weights, the order of texts and dropout.
    """

    # BERT-Tiny has 2 layers of 128 with heads of 64 (Turc et al. 2019, arXiv:1908.08962), and the
    # dropout of every BERT is 0.1 (Devlin et al. 2019, appendix A.2). The rest is chosen by hand;
    # not calibrated.
    layers: int = 2
    hidden: int = 128
    heads: int = 2
    epochs: int = 12
    patience: int = 3
    temperature: float = 2.0
    hidden_weight: float = 0.0
    attention_weight: float = 0.0
    vocabulary: int = 8000
    tokens: int = 512
    batch: int = 32
    rate: float = 1e-3
    dropout: float = 0.1
    seed: int = 0

    @property
    def white_box(self) -> bool:
        """Whether the teacher's layers are matched, beside its answers."""
        return self.hidden_weight > 0 or self.attention_weight > 0

    def refuse_invalid(self) -> None:
        """Refuse values of which no model can be made.

        Raises:
            OptionError: a value out of its range.
        """
        least = dict.fromkeys(("layers", "hidden", "heads", "epochs", "patience", "batch"), 1)
        least |= {"vocabulary": LEAST_VOCABULARY, "tokens": LEAST_TOKENS}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise OptionError(f"expected {name} of at least {bound}, got {getattr(self, name)}")
        if self.hidden % self.heads:
            raise OptionError(
                f"hidden={self.hidden} and heads={self.heads} asked; the heads share the hidden "
                "coordinates evenly, so hidden must be a multiple of heads"
            )
        for name in ("temperature", "rate"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise OptionError(f"expected {name} above 0, got {getattr(self, name)}")
        for name in ("hidden_weight", "attention_weight"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise OptionError(f"expected {name} of at least 0, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise OptionError(f"expected dropout from 0 to below 1, got {self.dropout}")
