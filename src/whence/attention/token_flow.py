"""The flow of a record: what each token takes from each, layer by layer, down from the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from whence.core.attention_record import TokenFlow
from whence.core.errors import CapabilityError
from whence.games.contributions import contributions
from whence.models.protocols import Encoding, TokenModel

__all__ = ["FLOW_TOKENS", "FlowResult", "token_flow"]

FLOW_TOKENS = 256
"""Tokens of the longest text whose flow is computed. Chosen by hand: contributions take
``4 layers n^2`` bytes (3 MB for 12 layers of 256 tokens), and a screen cannot separate more
columns than that."""

QUANTITY = "ALTI contributions: how near what each token sends is to what comes out"


class FlowResult(NamedTuple):
    """The flow and its contributions, or a note on why there is none (empty: noted elsewhere)."""

    flow: TokenFlow | None
    contributions: Float[np.ndarray, "layers queries keys"] | None
    notes: tuple[str, ...]

    @classmethod
    def none(cls, *notes: str) -> FlowResult:
        """No flow."""
        return cls(None, None, notes)


def token_flow(
    model: TokenModel,
    encoding: Encoding,
    forced: Sequence[int],
    read_from: Float[np.ndarray, " queries"] | None,
) -> FlowResult:
    """Contributions of tokens to each other, and the position at which the target is read.

    ``read_from``: shares of the positions in the target, see
    :class:`~whence.attention.head_effects.Effects`; ``None``: no target was measured. Cost: one pass.
    """
    size = len(encoding.ids) + len(forced)
    if size > FLOW_TOKENS:
        return FlowResult.none(
            f"no flow was computed: the text has {size:,} tokens, at most {FLOW_TOKENS} are drawn"
        )
    if read_from is None:  # why no target was measured is noted already
        return FlowResult.none()
    try:
        values = contributions(model, encoding, forced=forced)
    except CapabilityError as error:
        return FlowResult.none(f"no flow was computed: {error}")
    if len(read_from) != size:
        return FlowResult.none(
            "no flow was computed: the target is read with a continuation that is not in the record"
        )
    if not read_from.any():
        return FlowResult.none(
            "no flow was computed: the target's gradient is zero, so no position leads to it"
        )
    target = int(read_from.argmax())
    pooled = bool(read_from[target] < 1)
    if pooled:
        # One layer more: the target takes from each position its share.
        # No path leads on from the rows of the other positions; the identity keeps this matrix one
        # of shares, like all others.
        last = np.eye(size, dtype=values.dtype)
        last[target] = read_from
        values = np.concatenate([values, last[None]])
    return FlowResult(TokenFlow(quantity=QUANTITY, target=target, pooled=pooled), values, ())
