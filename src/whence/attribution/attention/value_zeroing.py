"""Value zeroing: the change when a token is still attended to, but its values are zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from whence.attribution.attention.relevance_propagation import mass_estimate, propagate
from whence.attribution.method import AttentionMethod, Estimate
from whence.core.errors import CapabilityError, unknown
from whence.games.attention_game import AttentionGame, Passes
from whence.games.batching import TokenBudget
from whence.models.internals.interventions import ZeroValues
from whence.models.internals.trace import Trace, TracedCall

__all__ = ["StateDistances", "ValueZeroing", "cosine_distances"]

_EFFECTS = ("states", "target")


def cosine_distances(
    state: Float[np.ndarray, "queries model"], changed: Float[np.ndarray, "keys queries model"]
) -> Float[np.ndarray, "queries keys"]:
    """``1 - cos`` between each position's state and the one it has without each key.

    Example:
        >>> state = np.array([[1.0, 0.0]], np.float32)
        >>> cosine_distances(state, np.array([[[2.0, 0.0]], [[0.0, 1.0]]], np.float32)).tolist()
        [[0.0, 1.0]]
    """
    # One key's values turn a state by little, so 1 - cos is what two nearly equal numbers leave.
    first = state.astype(np.float64)
    second = changed.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=2)
    product = np.einsum("qd,kqd->kq", first, second)
    cosine = np.divide(product, lengths, out=np.ones_like(product), where=lengths > 0)
    distance = np.maximum(1.0 - cosine, 0.0)
    # The states are float32: nearer than their rounding is the same.
    return np.where(distance < 1e-12, 0.0, distance).T


class StateDistances:
    """How far zeroing a key's values turns each position's state after the block, as shares."""

    def __init__(self, trace: Trace, batch: int) -> None:
        self.trace = trace
        self._keys = TokenBudget(batch)
        self._layer_cache: tuple[int, np.ndarray] | None = None

    def each(self, call: TracedCall) -> int:
        """A row of distances; the layer's whole matrix is held besides."""
        return call.keys

    def distances(self, call: TracedCall) -> Float[np.ndarray, "queries keys"]:
        """The cosine distances of a layer."""
        if self._layer_cache is None or self._layer_cache[0] != call.index:
            matrix = np.empty((call.queries, call.keys))
            # The budget is a number of passes already, so each key counts as one.
            for keys, states in self._keys.batches(
                call.keys, 1, lambda keys: self.trace.with_values_zeroed(call, keys)
            ):
                matrix[:, keys.start : keys.stop] = cosine_distances(*states)
            self._layer_cache = (call.index, matrix)
        return self._layer_cache[1]

    def rows(
        self, call: TracedCall, start: int, stop: int
    ) -> tuple[Float[np.ndarray, "c rows keys"], Float[np.ndarray, " rows"]]:
        """See the class; a position that nothing turns keeps what it has."""
        distances = self.distances(call)[start:stop]
        total = distances.sum(axis=1)
        parts = distances / np.where(total > 0, total, 1.0)[:, None]
        return parts[None], np.where(total > 0, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueZeroing(AttentionMethod):
    """What changes when a token's values are zeroed: the states of each layer, or the target.

    ``effect="states"``, the paper's: in one layer at a time, at the input that the layer had, the
    values of token ``j`` are zeroed in all heads while the weights stay. ``C[i, j]`` is the cosine
    distance between the states of position ``i`` after the whole block, with and without; rows are
    made to sum to one and layers multiplied, ``C_L ... C_1``, without an identity, for the residual
    stream and the feed-forward layer are in the states. A token's score is its entry in the row of
    the explained position (positions by shares, as for ``Rollout``), a feature's the sum over its
    tokens. A share of mass: 0 to 1, without a sign, summing to one with the special tokens' share,
    which is noted. It knows the target only by the positions it is read from. Not defined for
    encoder-decoders.

    ``effect="target"``: ``v - v(values of the feature's tokens zeroed in every layer)``, in the
    target's unit, positive raised it. Nothing is assumed of how layers combine, so this is the one
    to take where a number must mean something; what a token passes on along its own position's
    residual stream stays, so a feature at the explained position keeps a part of its effect.

    Cost: ``states``: one forward-and-backward pass, and each block once for every token, counted as
    one pass for every token. ``target``: one forward-and-backward pass and n + 1 passes.
    Misleads like every removal where causes are redundant, and zero is no neutral value vector.

    Mohebbi, Zuidema, Chrupała & Alishahi (2023), arXiv:2301.12971.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> text = "She has missed 3 payments."
        >>> e = whence.explain(model, text, method="value-zeroing")
        >>> e.unit, e.provenance.cost.gradient_evaluations
        ('share of change', 1)
        >>> e = whence.explain(model, text, method="value-zeroing", options={"effect": "target"})
        >>> e.unit is None
        True
    """

    effect: str = "states"

    quantity: ClassVar[str] = "value-zeroing distance, rolled out"
    rank: ClassVar[int] = 90

    def __post_init__(self) -> None:
        if self.effect not in _EFFECTS:
            raise unknown("effect of ValueZeroing", self.effect, _EFFECTS)

    def least(self, n: int, tokens: int) -> int:
        """``states``: 1 + tokens; ``target``: n + 2."""
        return 1 + tokens if self.effect == "states" else n + 2

    def estimate(self, game: AttentionGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`ValueZeroing`."""
        if self.effect == "target":
            return _on_target(game)
        passes = game.follow(blocks=True)
        others = ("Rollout", "AttentionFlow", "GradientWeightedAttention", "AttentionKnockout")
        if passes.encoder:
            raise game.refusal(
                "ValueZeroing of states is not defined for a model that reads with an encoder and "
                "writes with a decoder; effect='target' is",
                *others,
            )
        # Before the blocks run again: a budget that does not allow it then refuses at no cost.
        game.count(sum(run.shares.shape[1] for run in passes.runs))
        try:
            per_token, written = propagate(game, passes, StateDistances(passes.trace, game.batch))
        except CapabilityError as error:
            raise game.refusal(str(error), *others) from error
        return mass_estimate(game, passes, per_token, written, unit="share of change")


def _on_target(game: AttentionGame) -> Estimate:
    passes = game.follow()
    layers = _readers(passes)

    def change(row: int) -> tuple[ZeroValues, ...]:
        if row == 0:
            return ()
        keys = game.groups[row - 1].astype(np.int64)
        return tuple(ZeroValues(layer=layer, keys=keys) for layer in layers)

    values = game.changed(game.n + 1, change)
    return Estimate(
        scores=values[0] - values[1:],
        values=values[0],
        base_values=np.full(game.k, np.nan),
        quantity="change of the target by value zeroing",
        notes=passes.unfollowed(),
    )


def _readers(passes: Passes) -> tuple[str, ...]:
    """The layers that read tokens of the input."""
    calls = [c for run in passes.runs for c in run.calls]
    if passes.encoder:
        # A decoder's own layers read what it writes, in which no feature stands.
        calls = [*passes.encoder, *(c for c in calls if c.kind == "cross")]
    return tuple(dict.fromkeys(call.name for call in calls))
