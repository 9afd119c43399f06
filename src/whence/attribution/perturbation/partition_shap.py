"""Owen values over a hierarchy of the text: what each half of a block adds, and halves of halves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.attribution.method import Estimate, GameMethod
from whence.attribution.perturbation.text_hierarchy import boundaries, cut
from whence.games.game import Game

__all__ = ["PartitionShap"]

LISTED = 8
"""Blocks that a note names; more are counted."""


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Features ``start`` to ``stop``, the coalitions they join, and the values before and after."""

    start: int
    stop: int
    contexts: Bool[np.ndarray, "c n"]
    without: Float[np.ndarray, "c k"]
    joined: Float[np.ndarray, "c k"]

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def cost(self) -> int:
        """Evaluations that a split takes: each half alone, in each context."""
        return 2 * len(self.contexts)

    @property
    def added(self) -> Float[np.ndarray, " k"]:
        return (self.joined - self.without).mean(axis=0)

    @property
    def urgency(self) -> float:
        """How much the block moves the answer, for each evaluation that a split takes."""
        return float(np.abs(self.joined - self.without).mean(axis=0).sum()) / self.cost


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionShap(GameMethod):
    """Owen values over the text's own hierarchy, from coarse to fine as far as the budget reaches.

    The Shapley value with fewer orders: a block of the hierarchy joins as a whole, before or after its
    other half. Sentences so stay together while others join, then clauses, then words. ``score[i]`` is
    the mean, over all orders that keep every block together, of what ``i`` adds. Blocks are parts,
    paragraphs, sentences, clauses (by punctuation) and features; within one of them, and wherever
    a game has no text, they are halves: each block is split at its strongest boundary, of equal ones at
    the one nearest its middle.

    The values of a hierarchy that is split to its features are exact, and not an estimate. Where the budget
    ends before, the blocks are split first that move the answer most for each evaluation; a block that is
    left whole has its exact Owen value, which its features share equally. The record names these
    blocks, and its outcome is ``budget_exhausted``. The scores add up to ``v(N) - v(empty)`` at every
    budget, which is no evidence of accuracy. The answer depends on the hierarchy: words of one
    sentence are compared in fewer mixtures of the others than Shapley's are.

    In the target's unit; positive raised it. Cost: 2 evaluations at least, and ``2^(d + 1)`` for
    each split at depth ``d``: some ``2/3 n^2`` for balanced halves. By default at most
    ``max(8 n, 512)``.

    Owen (1977), doi:10.1007/978-3-642-45494-3_7; Winter (1989), doi:10.1007/BF01268024, for nested
    blocks; the recursion is that of the partition explainer of shap, which takes its blocks from the
    tokens and draws what it splits next.

    Example:
        >>> from whence.games.game import FunctionGame
        >>> game = FunctionGame(4, lambda S: 1.0 * (S[:, 0] & S[:, 2] & S[:, 3]))
        >>> PartitionShap().estimate(game, budget=16, seed=0).scores[:, 0].tolist()
        [0.5, 0.0, 0.25, 0.25]
    """

    quantity: ClassVar[str] = "Owen value"
    rank: ClassVar[int] = 32

    def least(self, n: int) -> int:
        """2: both ends."""
        return 2

    def default_budget(self, n: int) -> int:
        """max(8 n, 512), or 2^n where that is less."""
        return min(1 << n, max(8 * n, 512))

    def estimate(self, game: Game, *, budget: int, seed: int) -> Estimate:
        """See :class:`PartitionShap`."""
        n = game.n
        none, whole = np.zeros((1, n), dtype=bool), np.ones((1, n), dtype=bool)
        ends = game(np.concatenate([whole, none]))
        before, left = game.evaluations, budget - 2
        strength = boundaries(n, game.segmentation)
        blocks = [_Block(0, n, none, ends[1:], ends[:1])]
        # Whole splits only: the values of what is split are then exact at every budget.
        while open_ := [block for block in blocks if block.size > 1 and block.cost <= left]:
            block = max(open_, key=lambda block: block.urgency)
            blocks.remove(block)
            blocks += _halves(game, block, cut(strength, block.start, block.stop))
            left = budget - 2 - (game.evaluations - before)
        scores = np.empty((n, game.k))
        for block in blocks:
            scores[block.start : block.stop] = block.added / block.size
        coarse = sorted(
            (block for block in blocks if block.size > 1), key=lambda block: block.start
        )
        more = sum(_cost(strength, block.start, block.stop, block.cost) for block in coarse)
        return Estimate(
            scores=scores,
            values=ends[0],
            base_values=ends[1],
            additive=True,
            by_construction=True,
            outcome="budget_exhausted" if coarse else "converged",
            advice=(f"{budget - left + more:,} evaluations split every block",) if coarse else (),
            notes=(_note(coarse, game),) if coarse else (),
        )


def _halves(game: Game, block: _Block, middle: int) -> list[_Block]:
    """Both halves of a block, each beside the other half and without it."""
    first, second = block.contexts.copy(), block.contexts.copy()
    first[:, block.start : middle] = True
    second[:, middle : block.stop] = True
    values = game(np.concatenate([first, second]))
    alone, other = values[: len(first)], values[len(first) :]
    stay, rise = block.without, block.joined
    return [
        _Block(
            start,
            stop,
            np.concatenate([block.contexts, beside]),
            np.concatenate([stay, theirs]),
            np.concatenate([own, rise]),
        )
        for start, stop, beside, own, theirs in (
            (block.start, middle, second, alone, other),
            (middle, block.stop, first, other, alone),
        )
    ]


def _cost(strength: Int[np.ndarray, " gaps"], start: int, stop: int, cost: int) -> int:
    """Evaluations at most that split a block down to its features."""
    if stop - start < 2:
        return 0
    middle = cut(strength, start, stop)
    return cost + sum(
        _cost(strength, *half, 2 * cost) for half in ((start, middle), (middle, stop))
    )


def _note(coarse: list[_Block], game: Game) -> str:
    names = [f"{block.start + 1} to {block.stop}" for block in coarse[:LISTED]]
    if game.segmentation is not None:
        features, text = game.segmentation.features, game.segmentation.document.text
        names = [
            repr(text[features[block.start].start : features[block.stop - 1].end])
            for block in coarse[:LISTED]
        ]
    more = f" and {len(coarse) - LISTED} more" if len(coarse) > LISTED else ""
    size = sum(block.size for block in coarse)
    return (
        f"{size} of {game.n} features are not told apart: the budget left {len(coarse)} block(s) whole, "
        f"whose features share equally: {', '.join(names)}{more}"
    )
