"""The mask pool: one set of random masks per input, whose answers judge every explanation.

Masks come in antithetic pairs, a set of features and its complement, so that every feature is
present in exactly half of them; their sizes are uniform on 1 .. n - 1, so that small and large
removals count alike. Where all 2^n - 2 proper masks are no more than were asked for, all are
taken and nothing is left to chance.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import OptionError
from whence.games.game import Game

__all__ = ["SIZES", "Pool", "draw_masks", "pool_of", "pool_seed"]

SIZES = {"quick": 32, "default": 64, "audit": 256}
"""Masks in a pool, by how thorough the judgement is to be. In simulations for the label's design the
true weights of 64 words beat chance at 5 % in 90 % of cases with 32 masks, and always with 64; 256
also serve the additive share."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Masks of one input and what the model answered: ``values[m, k]`` for ``masks[m, n]``.

    Attributes:
        masks: matrix that is true where a feature is present.
        full: ``[k]`` the values with every feature present.
        complete: whether the masks are all there are, save the full and the empty one.
        seed: seed that the masks were drawn from.
    """

    masks: Bool[np.ndarray, "m n"]
    values: Float[np.ndarray, "m k"]
    full: Float[np.ndarray, " k"]
    complete: bool
    seed: int

    @property
    def n(self) -> int:
        """Number of features."""
        return self.masks.shape[1]

    def __len__(self) -> int:
        return len(self.masks)

    def halves(self) -> tuple[Pool, Pool]:
        """Two pools without a mask in common; pairs stay together.

        One half may feed a sampling explainer; the other, which it has not seen, judges it.
        """
        # A mask tells much of its complement's answer (all of it, where the answer is a sum), so
        # the other half of a divided pair would not be unseen.
        pairs = np.arange(len(self)) // 2
        first, second = pairs % 2 == 0, pairs % 2 == 1
        return self._part(first), self._part(second)

    def _part(self, rows: Bool[np.ndarray, " m"]) -> Pool:
        return Pool(self.masks[rows], self.values[rows], self.full, False, self.seed)


def draw_masks(n: int, size: int, seed: int) -> Bool[np.ndarray, "m n"]:
    """Antithetic masks of uniformly drawn sizes, without repetition; at most ``size`` of them.

    A mask at an even position is followed by its complement. All ``2^n - 2`` proper masks come
    back where they are no more than ``size``; one feature alone has none.

    Args:
        n: number of features.
        size: number of masks, even.
        seed: seed of the generator.

    Raises:
        OptionError: ``size`` is odd or below 2.

    Example:
        >>> masks = draw_masks(9, 32, 0)
        >>> masks.shape, bool((masks[0::2] == ~masks[1::2]).all())
        ((32, 9), True)
    """
    if size < 2 or size % 2:
        raise OptionError(
            f"expected an even number of masks of 2 or more, since masks come in pairs; got {size}"
        )
    if n < 2:
        return np.zeros((0, n), dtype=bool)
    if n < 24 and (1 << n) - 2 <= size:
        # Numbers below 2^(n - 1) lack the last feature: one mask of each pair, the complement has
        # it.
        numbers = np.arange(1, 1 << (n - 1))
        lower = (numbers[:, None] >> np.arange(n)) & 1 == 1
        return np.stack([lower, ~lower], axis=1).reshape(-1, n)
    rng = np.random.default_rng(seed)
    seen: set[bytes] = set()
    masks: list[np.ndarray] = []
    # There are 2^(n - 1) - 1 pairs, which is more than size / 2 here, so the loop ends.
    while len(masks) < size:
        mask = np.zeros(n, dtype=bool)
        # A size first and then a set of that size: features drawn by a coin each would give masks
        # of about n / 2 nearly always.
        mask[rng.permutation(n)[: rng.integers(1, n)]] = True
        # A pair is one draw, whichever of its two masks came up.
        key = np.packbits(mask if mask[0] else ~mask).tobytes()
        if key in seen:
            continue
        seen.add(key)
        masks += [mask, ~mask]
    return np.stack(masks)


def pool_of(game: Game, size: int = SIZES["default"], *, seed: int = 0) -> Pool:
    """Draw a pool and ask the model; the full input is asked too.

    Cost: at most ``size`` + 1 evaluations, less whatever the game already knows.
    """
    masks = draw_masks(game.n, size, seed)
    values = game(np.concatenate([masks, np.ones((1, game.n), dtype=bool)]))
    complete = game.n < 24 and len(masks) == max(0, (1 << game.n) - 2)
    return Pool(masks, values[:-1], values[-1], complete, seed)


def pool_seed(*parts: object) -> int:
    """A seed from what is judged: the same model, text and specification draw the same masks.

    Example:
        >>> pool_seed("model", "text") == pool_seed("model", "text") != pool_seed("model", "tex")
        True
    """
    # The unit separator keeps ("a", "bc") and ("ab", "c") apart, and is in no ordinary text.
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    # 48 bits: readers of JSON that hold numbers as float64 keep every whole number up to 2^53.
    return int.from_bytes(digest[:6], "little")
