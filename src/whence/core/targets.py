"""What is explained: one number per output.

A target says what is asked; the model's adapter resolves it to an :class:`Output`, which says
what is measured, in which unit. Sign: a positive score raised that number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whence.core.record import Value

__all__ = [
    "LINKS",
    "Continuation",
    "Contrast",
    "Expansion",
    "Label",
    "Link",
    "MaskFill",
    "NextToken",
    "Output",
    "Similarity",
    "Target",
    "TokenLabel",
]

Link = Literal["logit", "log_probability", "probability", "log_odds", "cosine", "score"]
"""The scale of an output. ``cosine`` is for similarities, ``score`` for numbers as they are: those of a
callable and of a regression."""

LINKS: tuple[Link, ...] = (
    "logit",
    "log_probability",
    "probability",
    "log_odds",
    "cosine",
    "score",
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Label(Value):
    """The score of one label of a classifier, by name or index; ``None``: the predicted one."""

    kind: Literal["label"] = "label"
    label: str | int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Contrast(Value):
    """Why ``label`` rather than ``against``: the difference of their scores on the link's scale.

    For a classifier both name labels (``against=None``: the runner-up). For a generating model
    both are continuations.
    """

    kind: Literal["contrast"] = "contrast"
    label: str | int | None = None
    against: str | int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NextToken(Value):
    """The score of one next token, as text or id; ``None``: the most probable one."""

    kind: Literal["next_token"] = "next_token"
    token: str | int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Continuation(Value):
    """The score of a continuation; ``text=None``: the model's own greedy one.

    On the scale of log-probabilities a continuation's score is the sum over its tokens; on any
    other link it is that link of the whole continuation's probability (``logit`` is the sum of
    the tokens' logits). ``per_token=True`` gives one output a token in place of the sum.
    ``token_ids`` gives the tokens exactly where text would be ambiguous.
    """

    kind: Literal["continuation"] = "continuation"
    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    max_new_tokens: int = 16
    per_token: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Similarity(Value):
    """The cosine similarity of the text's embedding with that of ``other``.

    ``prompt`` names the prompt of the model that stands before ``other``; none: that of the text.
    """

    kind: Literal["similarity"] = "similarity"
    other: str = ""
    prompt: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenLabel(Value):
    """The label of the words at characters ``start`` to ``end``, from a model that labels tokens.

    A word (a run of characters without white space) has the label of its first token there, as in
    training. Behind the first word ``B-X`` goes on as ``I-X``, where the model has that label; a name
    without its prefix stands for both. Several words score like a continuation: the sum of their
    log-probabilities, that link of the product of their probabilities, or the sum of their logits.

    Attributes:
        label: name or index; none: the predicted one of the first word.
        start, end: characters of the document; none: the entity that the model is surest of.
    """

    kind: Literal["token_label"] = "token_label"
    label: str | int | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MaskFill(Value):
    """The score of one token at a mask token of the text, from a masked language model.

    Attributes:
        token: text that is one token there, or an id; none: the most probable one.
        mask: number of the mask token in the text, from 0.
    """

    kind: Literal["mask_fill"] = "mask_fill"
    token: str | int | None = None
    mask: int = 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Expansion(Value):
    """The weight of a token in the sparse embedding of a text, from a model such as SPLADE.

    ``w = max over positions of log(1 + relu(logit))`` (Formal et al. 2021, arXiv:2109.10086).

    Attributes:
        token: text that is one token, or an id; none: the one of the largest weight.
    """

    kind: Literal["expansion"] = "expansion"
    token: str | int | None = None


Target = (
    Label | Contrast | NextToken | Continuation | Similarity | TokenLabel | MaskFill | Expansion
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Output(Value):
    """One number that is explained: its name for a reader, and the scale it is measured on.

    ``unit`` is what a score of 1 means: ``"logit"``, ``"nat"`` for log-probabilities and
    log-odds, ``"probability"``, ``"cosine"``, ``"score"``.
    """

    name: str
    link: Link
    unit: str
    target: Target
