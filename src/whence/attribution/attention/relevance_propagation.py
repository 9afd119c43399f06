"""Shares propagated from the explained positions to the tokens, layer by layer, last layer first.

Each method defines how a position divides its share among itself and the positions that a layer
reads; the propagation is the same for all. It multiplies a row vector through the layers, so a
layer's weights are needed a block of rows at a time and no matrix of tokens by tokens is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from whence.attribution.method import Estimate
from whence.games.attention_game import AttentionGame, Passes, row_blocks
from whence.models.internals.trace import TracedCall

__all__ = ["LayerMixing", "mass_estimate", "outside", "propagate"]


@runtime_checkable
class LayerMixing(Protocol):
    """How each position of a layer divides its share."""

    def each(self, call: TracedCall) -> int:
        """Numbers that a row of this layer needs in memory."""
        ...

    def rows(
        self, call: TracedCall, start: int, stop: int
    ) -> tuple[Float[np.ndarray, "c rows keys"], Float[np.ndarray, " rows"]]:
        """The part that each key gets, for each output or for all outputs, and the part that stays."""
        ...


def propagate(
    game: AttentionGame, passes: Passes, mixing: LayerMixing
) -> tuple[Float[np.ndarray, "tokens k"], Float[np.ndarray, " k"]]:
    """The share of each token of the input in each output, and the share of tokens that are written.

    ``m_{l-1}[j] = sum_i m_l[i] C_l[i, j] + m_l[j] stay_l[j]``, from the shares of the explained
    positions down to the tokens. A decoder passes a part to its encoder at every layer that reads
    it.
    """
    text = np.zeros((game.k, game.size))
    written = np.zeros(game.k)
    for run in passes.runs:
        mass, crossed = _back(run.shares, run.calls, mixing, game.size)
        if passes.encoder:
            text += crossed
            written += mass.sum(axis=1)
        else:
            text += mass[:, : game.size]
            written += mass[:, game.size :].sum(axis=1)
    if passes.encoder:
        # Once for all decoders' runs together: the propagation is linear in the shares.
        text, _ = _back(text, passes.encoder, mixing, game.size)
    return text.T, written


def _back(
    mass: Float[np.ndarray, "k positions"],
    calls: Sequence[TracedCall],
    mixing: LayerMixing,
    size: int,
) -> tuple[Float[np.ndarray, "k positions"], Float[np.ndarray, "k tokens"]]:
    crossed = np.zeros((len(mass), size))
    for call in reversed(calls):
        stays = np.zeros_like(mass)
        passed = np.zeros((len(mass), call.keys))
        for start, stop in row_blocks(call, mixing.each(call)):
            parts, stay = mixing.rows(call, start, stop)
            block = mass[:, start:stop]
            stays[:, start:stop] = block * stay
            # Most mixings do not depend on the output; one matrix product then serves all outputs.
            if len(parts) == 1:
                passed += block @ parts[0]
            else:
                passed += np.einsum("kr,krj->kj", block, parts)
        # What reads the encoder leaves this stack; the position keeps only what stayed.
        if call.kind == "cross":
            crossed += passed
            mass = stays
        else:
            mass = stays + passed
    return mass, crossed


def outside(
    game: AttentionGame,
    per_token: Float[np.ndarray, "tokens k"],
    written: Float[np.ndarray, " k"],
    what: str = "mass",
) -> str:
    """A note on the share of tokens that are in no feature."""
    total = per_token.sum(axis=0) + written
    # As what features leave over, so that written tokens are in it too.
    rest = total - game.gather(per_token).sum(axis=0)
    parts = np.divide(rest, total, out=np.zeros_like(rest), where=total > 0)
    low, high = f"{100 * parts.min():.0f}", f"{100 * parts.max():.0f}"
    share = low if low == high else f"{low} to {high}"
    also = " or on what the model writes" if np.any(written > 0) else ""
    return f"{share} % of the {what} lies on special tokens{also}, in no feature"


def mass_estimate(
    game: AttentionGame,
    passes: Passes,
    per_token: Float[np.ndarray, "tokens k"],
    written: Float[np.ndarray, " k"],
    *,
    unit: str,
    what: str = "mass",
    notes: tuple[str, ...] = (),
) -> Estimate:
    """An estimate of scores without a sign; not converged where the weights are not the kernel's."""
    misses = passes.notes()
    return Estimate(
        scores=game.gather(per_token),
        values=passes.values,
        base_values=np.full(game.k, np.nan),
        unit=unit,
        outcome="not_converged" if misses else "converged",
        notes=(outside(game, per_token, written, what), *notes, *misses),
    )
