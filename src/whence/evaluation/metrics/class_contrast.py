"""Class contrast: whether the scores of one class differ from those of another."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from whence.core.errors import OptionError, UndefinedError
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance

__all__ = ["class_contrast"]


def class_contrast(
    instance: Instance, scores: Float[np.ndarray, "n k"], *, other: int
) -> Measurement:
    """Rank correlation of the sizes of the judged output's scores with those of another output.

    Formula: Spearman(|phi_i| of the judged, |phi_i| of the other). Near 1 the same words are
    marked whatever is asked, and the explanation is of the text rather than of the class. Sign:
    lower is better. Cost: none. Random scores: 0.

    When it misleads: two labels on a scale of probabilities or log-odds mirror each other, so
    that scores are the same but for their sign whatever the method; that pair is refused.

    Args:
        instance: the input; ``instance.output`` is the judged output.
        scores: of every output of its game.
        other: the output to compare with.

    Raises:
        OptionError: the shape is wrong, the outputs are the same, or mirror each other.
        UndefinedError: one of them has scores all of one size.

    Source: Sixt et al. (2020), arXiv:1912.09818.

    Example:
        >>> from whence.evaluation.mask_pool import pool_of
        >>> from whence.games import FunctionGame
        >>> weights = np.array([[3.0, 0.0], [1.0, 2.0], [0.0, 4.0]])
        >>> game = FunctionGame(3, lambda S: S @ weights, names=("a", "b"))
        >>> round(class_contrast(Instance(game, pool_of(game)), weights, other=1).value, 9)
        -1.0
    """
    game = instance.game
    if scores.shape != (game.n, game.k) or not np.all(np.isfinite(scores)):
        raise OptionError(
            f"class contrast: {scores.shape} scores given; ({game.n}, {game.k}) finite ones are due"
        )
    if other == instance.output or not 0 <= other < game.k:
        raise OptionError(
            f"class contrast: output {other} asked beside output {instance.output} of {game.k}; "
            "another one is due"
        )
    mine, theirs = instance.pool.values[:, instance.output], instance.pool.values[:, other]
    sums = mine + theirs
    span = max(float(np.ptp(mine)), float(np.ptp(theirs))) if len(mine) else 0.0
    if len(mine) and float(np.ptp(sums)) <= 1e-6 * span:
        raise OptionError(
            "class contrast: the two outputs mirror each other on every mask, as the two labels of "
            "a pair do; their scores differ by sign alone. Ask for logits, or another label."
        )
    pair = np.abs(scores[:, [instance.output, other]])
    if np.any(np.ptp(pair, axis=0) == 0):
        raise UndefinedError("class contrast: scores all of one size have no order to compare")
    found = float(cast("Any", spearmanr(pair[:, 0], pair[:, 1])).statistic)
    return Measurement(
        name="class-contrast",
        value=found,
        unit="rank correlation",
        n=game.n,
        direction="lower",
        interval=None,
        specification=instance.specification("class_contrast", other=game.outputs[other].name),
        random=0.0,
    )
