"""Attention knock-out: what the target loses when its position cannot read a feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from whence.attribution.method import AttentionMethod, Estimate
from whence.core.errors import OptionError, unknown
from whence.games.attention_game import AttentionGame, Passes, Run
from whence.models.internals.interventions import EdgeKnockout
from whence.models.internals.trace import TracedCall

__all__ = ["AttentionKnockout"]

_READERS = ("explained", "everyone")


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionKnockout(AttentionMethod):
    """How far the target falls when its position may not read a feature's tokens.

    ``score[i] = v - v(edges from the explained positions to the tokens of i cut)``, in the target's
    unit; positive raised it. An edge that is cut has weight zero in every head and the row's other
    weights grow to sum to one, as if the token were masked for this reader alone. The explained
    positions are those where the target has a gradient by the last attention layer's outputs: the
    first token's of many encoders, the writing positions of a decoder, all where states are pooled.

    A position always reads itself, since its state reaches it along the residual stream too; a
    feature at the explained position keeps its effect, which is noted.

    Args:
        first_layer, last_layer: window in which edges are cut, both ends within it, counted
            from 0, or from the end where negative. The default is all layers.
        readers: ``explained``, or ``everyone``: no position may read the feature (in a causal model
            these are the later positions), so that what other positions relay is cut too.

    Cost: one forward-and-backward pass to find the positions, and n + 1 passes, batched. Misleads
    where the feature reached other positions before the window: with ``explained``, what they relay
    still arrives, and the score is of the direct reading alone. In a model with an encoder the
    decoder's reading of it is cut; with ``everyone`` the encoder's own too.

    Geva, Bastings, Filippova & Globerson (2023), arXiv:2304.14767.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "She has missed 3 payments.", method="attention-knockout")
        >>> e.unit is None, e.provenance.cost.evaluations == len(e.segmentation) + 1
        (True, True)
    """

    first_layer: int = 0
    last_layer: int = -1
    readers: str = "explained"

    quantity: ClassVar[str] = "effect of attention knock-out"
    rank: ClassVar[int] = 70

    def __post_init__(self) -> None:
        if self.readers not in _READERS:
            raise unknown("readers of AttentionKnockout", self.readers, _READERS)

    def least(self, n: int, tokens: int) -> int:
        """N + 2: the positions, the text as it is, and every feature once."""
        return n + 2

    def estimate(self, game: AttentionGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`AttentionKnockout`."""
        passes = game.follow()
        layers = self._layers(passes)
        explained = [_explained(run) for run in passes.runs]

        def change(row: int) -> tuple[EdgeKnockout, ...]:
            if row == 0:
                return ()
            tokens = game.groups[row - 1]
            cuts = {
                kind: self._cuts(passes, explained, tokens, kind) for kind in {*layers.values()}
            }
            return tuple(
                # A layer that shares its weights runs several times in each run, others once.
                EdgeKnockout(
                    layer=name,
                    head=None,
                    cut=tuple(
                        cut for calls, cut in cuts[kind] for call in calls if call.name == name
                    ),
                )
                for name, kind in layers.items()
            )

        values = game.changed(game.n + 1, change)
        return Estimate(
            scores=values[0] - values[1:],
            values=values[0],
            base_values=np.full(game.k, np.nan),
            notes=(*_uncut_note(game, passes, explained), *passes.unfollowed()),
        )

    def _layers(self, passes: Passes) -> dict[str, str]:
        """Names of the layers in the window, and what they read: own, cross, or the encoder's."""
        calls = passes.runs[0].calls
        if not passes.encoder:
            return dict.fromkeys(self._window([c.name for c in calls]), "own")
        cross = self._window([c.name for c in calls if c.kind == "cross"])
        layers = dict.fromkeys(cross, "cross")
        if self.readers == "everyone":
            layers |= dict.fromkeys(self._window([c.name for c in passes.encoder]), "encoder")
        return layers

    def _window(self, names: list[str]) -> list[str]:
        count = len(names)
        first, last = (
            layer + count if layer < 0 else layer for layer in (self.first_layer, self.last_layer)
        )
        if not 0 <= first <= last < count:
            raise OptionError(
                f"expected layers from 0 to {count - 1}, the first not behind the last; got "
                f"{self.first_layer} to {self.last_layer}"
            )
        window = names[first : last + 1]
        # ALBERT runs one module at every depth. A change is made to a module, so it is made at all
        # depths.
        if len(set(names)) < count and len(window) < count:
            raise OptionError("layers that share their weights cannot be cut one by one; cut all")
        return window

    def _cuts(
        self,
        passes: Passes,
        explained: list[Bool[np.ndarray, " _"]],
        tokens: np.ndarray,
        kind: str,
    ) -> list[tuple[tuple[TracedCall, ...], Bool[np.ndarray, "_ _"]]]:
        """The calls of each run, and which edges are cut in them."""
        cuts: list[tuple[tuple[TracedCall, ...], np.ndarray]] = []
        if kind == "encoder":
            stacks = [(passes.encoder, np.ones(passes.encoder[0].queries, dtype=bool))]
        else:
            stacks = [(run.calls, who) for run, who in zip(passes.runs, explained, strict=True)]
        for calls, positions in stacks:
            call = next(c for c in calls if (c.kind == "cross") == (kind == "cross"))
            cut = np.zeros((call.queries, call.keys), dtype=bool)
            # The input's tokens are the first keys of every layer that is cut; those that are
            # written come behind them.
            cut[:, tokens] = True if self.readers == "everyone" else positions[:, None]
            # In a cross layer row i and column i are different tokens, so nothing is spared.
            if kind != "cross":
                np.fill_diagonal(cut, False)
            cuts.append((calls, cut))
        return cuts


def _explained(run: Run) -> Bool[np.ndarray, " _"]:
    return run.shares.max(axis=0) > 0


def _uncut_note(
    game: AttentionGame, passes: Passes, explained: list[Bool[np.ndarray, " _"]]
) -> tuple[str, ...]:
    if passes.encoder:
        return ()
    tokens = np.zeros(game.size, dtype=bool)
    for positions in explained:
        # Positions behind the input are of forced tokens, which are in no feature.
        tokens |= positions[: game.size]
    count = sum(bool(tokens[group].any()) for group in game.groups)
    if not count:
        return ()
    return (
        f"{count} of {game.n} features stand at a position that is explained: what a position "
        "knows of itself cannot be cut",
    )
