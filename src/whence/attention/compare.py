"""Which heads read two inputs differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from jaxtyping import Float, Int

from whence.attention.store import Attention, Head
from whence.core.attention_record import AttentionLayer, ReadToken
from whence.core.errors import OptionError

__all__ = ["HeadChange", "compare_attention", "divergence"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadChange:
    """How differently one head reads two inputs.

    Attributes:
        layer, head: which.
        change: mean Jensen-Shannon divergence of its rows, in bit: 0 alike, 1 nothing in common;
            rows are weighted by the length of what they read.
        query: the position, in the first input, of the row that changes most, after weighting.
        effect, other_effect: the measured effects in the two records, where they were measured.
    """

    layer: str
    head: int
    change: float
    query: int
    effect: float | None = None
    other_effect: float | None = None


def divergence(
    p: Float[np.ndarray, "rows cells"], q: Float[np.ndarray, "rows cells"]
) -> Float[np.ndarray, " rows"]:
    """Jensen-Shannon divergence of rows that sum to one, in bit.

    Example:
        >>> divergence(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])).tolist()
        [1.0]
    """
    middle = (p + q) / 2

    def one(rows: np.ndarray) -> np.ndarray:
        # 0 log 0 is 0: the ratio of an empty cell is set to 1, of which the logarithm is 0.
        ratio = np.divide(rows, middle, out=np.ones_like(rows), where=rows > 0)
        return (rows * np.log2(ratio)).sum(axis=1)

    # The divergence lies in 0 .. 1 bit; rounding may leave it a step outside, and a negative change
    # would be ranked below none.
    return np.clip((one(p) + one(q)) / 2, 0.0, 1.0)


def compare_attention(first: Attention, second: Attention) -> tuple[HeadChange, ...]:
    """How much each head's reading changes from one input to another, the largest change first.

    Tokens are aligned by their ids (longest common runs). Rows of aligned queries are compared
    over aligned keys and, as one cell, all others. A row counts by ``sum_j w_ij |v_j|``, the mean
    of the two inputs: what a sink's empty value receives is no change of reading (Kobayashi et al.
    2020, arXiv:2004.10102). Cost: no pass of a model.

    Raises:
        OptionError: the records are of different models, states were not stored, or no token is
            common to both.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> one = whence.attend(model, "She has missed 3 payments.", effects=None)
        >>> two = whence.attend(model, "She has missed no payments.", effects=None)
        >>> whence.compare_attention(one, one)[0].change
        0.0
        >>> whence.compare_attention(one, two)[0].change > 0
        True
    """
    models = [a.record.provenance.model for a in (first, second)]
    if models[0].fingerprint != models[1].fingerprint:
        raise OptionError(
            f"attention of {models[0].ref} compared with attention of {models[1].ref}; heads are "
            "compared between two inputs of one model"
        )
    other = {layer.name: layer for layer in second.record.layers}
    changes: list[HeadChange] = []
    for layer in first.record.layers:
        if not layer.shown or layer.name not in other or not other[layer.name].shown:
            continue
        pairs = _Pairs(first, second, layer)
        for head in range(layer.heads):
            one, two = first.head(layer.name, head), second.head(layer.name, head)
            changes.append(pairs.change(one, two))
    return tuple(sorted(changes, key=lambda change: -change.change))


class _Pairs:
    """Aligned queries and keys of one layer."""

    def __init__(self, first: Attention, second: Attention, layer: AttentionLayer) -> None:
        texts = [
            (a.record.tokens, a.record.decoder_tokens or a.record.tokens) for a in (first, second)
        ]
        writes = layer.attention != "bidirectional"
        # Cross attention: queries of the decoder, keys of the text.
        queries = [decoder if writes else text for text, decoder in texts]
        keys = [decoder if layer.attention == "causal" else text for text, decoder in texts]
        self.layer = layer
        self.queries = aligned(*queries)
        self.keys = aligned(*keys)
        if not len(self.queries) or not len(self.keys):
            raise OptionError(
                "the two inputs have no token in common, so no rows can be compared; give inputs "
                "that share tokens"
            )

    def change(self, one: Head, two: Head) -> HeadChange:
        rows = [self._rows(head, side) for side, head in enumerate((one, two))]
        each = divergence(rows[0][0], rows[1][0])
        weight = (rows[0][1] + rows[1][1]) / 2
        total = float(weight.sum())
        share = weight / total if total > 0 else np.full(len(each), 1 / len(each))
        # After weighting, so that a row which reads nothing but a sink is not named.
        most = int(np.argmax(each * share))
        return HeadChange(
            layer=self.layer.name,
            head=one.entry.head,
            change=float((each * share).sum()),
            query=int(self.queries[most, 0]),
            effect=one.entry.effect,
            other_effect=two.entry.effect,
        )

    def _rows(self, head: Head, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows over aligned keys and the rest, summing to one, and how much each reads."""
        states = head.states
        if states is None:
            raise OptionError(
                f"the states of {head.layer.name} were not stored, so its rows cannot be compared "
                "exactly. Attend to both inputs with keep='states'."
            )
        weights = head.rows(self.queries[:, side]).astype(np.float64)
        read = weights @ states.value_norm[states.group(head.entry.head)]
        common = weights[:, self.keys[:, side]]
        # The mass on other tokens, or on a sink of the model's own.
        rest = np.maximum(0.0, 1.0 - common.sum(axis=1, keepdims=True))
        whole = np.concatenate([common, rest], axis=1)
        return whole / whole.sum(axis=1, keepdims=True), read


def aligned(first: Sequence[ReadToken], second: Sequence[ReadToken]) -> Int[np.ndarray, "pairs 2"]:
    """Positions of equal tokens in two texts, in order: a longest common run, then on both sides."""
    # autojunk would ignore every token that makes up more than 1 % of a text of 200 tokens or more:
    # commas, articles, most of what two inputs share.
    matcher = SequenceMatcher(
        a=[token.id for token in first], b=[token.id for token in second], autojunk=False
    )
    pairs = [
        (block.a + step, block.b + step)
        for block in matcher.get_matching_blocks()
        for step in range(block.size)
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
