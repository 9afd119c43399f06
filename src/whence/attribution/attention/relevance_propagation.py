"""Shares handed back from what is explained to the tokens, layer by layer, last layer first.

Every method over mass says how a position divides what it has among the positions a layer reads
and itself; from here on they are alike. The product of the layers' matrices is never made: a row
of it is carried through them, so a layer's weights are needed a block of rows at a time and no
matrix of tokens by tokens is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from whence.attribution.method import Estimate
from whence.games.attention_game import AttentionGame, Passes, row_blocks
from whence.models.internals.trace import TracedCall

__all__ = ["Mix", "carry", "mass_estimate", "outside"]


@runtime_checkable
class Mix(Protocol):
    """How the rows of a layer divide what they have."""

    def each(self, call: TracedCall) -> int:
        """Numbers that a row of this layer needs in memory."""
        ...

    def rows(
        self, call: TracedCall, start: int, stop: int
    ) -> tuple[Float[np.ndarray, "c rows keys"], Float[np.ndarray, " rows"]]:
        """Parts of each key, for each output or for all alike, and the part that stays."""
        ...


def carry(
    game: AttentionGame, passes: Passes, mix: Mix
) -> tuple[Float[np.ndarray, "tokens k"], Float[np.ndarray, " k"]]:
    """What each token of the input gets of each output, and what tokens that are written get.

    ``m_{l-1}[j] = sum_i m_l[i] C_l[i, j] + m_l[j] stay_l[j]``, from the shares of the positions
    explained down to the tokens. A decoder hands a part on to its encoder at every layer that
    reads it.
    """
    text = np.zeros((game.k, game.size))
    written = np.zeros(game.k)
    for run in passes.runs:
        mass, crossed = _back(run.shares, run.calls, mix, game.size)
        if passes.encoder:
            text += crossed
            written += mass.sum(axis=1)
        else:
            text += mass[:, : game.size]
            written += mass[:, game.size :].sum(axis=1)
    if passes.encoder:
        text, _ = _back(text, passes.encoder, mix, game.size)
    return text.T, written


def _back(
    mass: Float[np.ndarray, "k positions"], calls: Sequence[TracedCall], mix: Mix, size: int
) -> tuple[Float[np.ndarray, "k positions"], Float[np.ndarray, "k tokens"]]:
    crossed = np.zeros((len(mass), size))
    for call in reversed(calls):
        stays = np.zeros_like(mass)
        moved = np.zeros((len(mass), call.keys))
        for start, stop in row_blocks(call, mix.each(call)):
            parts, stay = mix.rows(call, start, stop)
            own = mass[:, start:stop]
            stays[:, start:stop] = own * stay
            if len(parts) == 1:
                moved += own @ parts[0]
            else:
                moved += np.einsum("kr,krj->kj", own, parts)
        if call.kind == "cross":
            crossed += moved
            mass = stays
        else:
            mass = stays + moved
    return mass, crossed


def outside(
    game: AttentionGame,
    per_token: Float[np.ndarray, "tokens k"],
    written: Float[np.ndarray, " k"],
    what: str = "mass",
) -> str:
    """How much lies on tokens that are in no feature, in words."""
    total = per_token.sum(axis=0) + written
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
    """An estimate of scores without a sign; it failed where the weights were not the kernel's."""
    missed = passes.notes()
    return Estimate(
        scores=game.gather(per_token),
        values=passes.values,
        base_values=np.full(game.k, np.nan),
        unit=unit,
        outcome="not_converged" if missed else "converged",
        notes=(outside(game, per_token, written, what), *notes, *missed),
    )
