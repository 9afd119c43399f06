"""Operator agreement: whether the answers to masks depend on how absence is made.

A model may answer one way where it sees that words were masked, and another way to people. Every
explanation by masking then describes what it does to masked texts only. The test asks some masks
of the pool again, made otherwise: where the answers rank the masks alike, the kind of absence
does not matter; where the ranking falls apart or turns over, no score from this pool is evidence.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from whence.core.errors import CapabilityError
from whence.core.measurements import Interval, Measurement
from whence.core.provenance import MethodSpec
from whence.evaluation.instance import Instance
from whence.games.cache import Cache
from whence.games.maskers import Deletion, Masker, MaskToken, Replacement
from whence.games.question import Question

__all__ = ["MASKS", "alternative", "operator_agreement", "rank_correlation"]

MASKS = 12
"""Masks asked again."""


def alternative(question: Question) -> Masker | None:
    """Another way to make absence, as unlike the question's as the model allows.

    Deletion leaves no trace of what is gone; where that is the question's own way, the mask token
    (or a fixed text, for a model without one) leaves a plain one.
    """
    for other in (Deletion(), MaskToken(), Replacement()):
        if type(other) is type(question.masker):
            continue
        try:
            question.game(masker=other)
        except CapabilityError:
            continue
        return other
    return None


def operator_agreement(
    instance: Instance,
    *,
    masks: int = MASKS,
    cache: Cache | None = None,
) -> Measurement | None:
    """Spearman correlation of the pool's answers with those to the same masks made otherwise.

    Unit: correlation; 1: how absence is made does not matter; below 0.4 the pool says more about
    its masks than about the text. Cost: ``masks`` evaluations. ``None`` for an analytic game, a
    pool with fewer than four masks, or a model with one way only. Where neither way's answers
    vary there is nothing to disagree on, and the value is 1.

    The interval is Fisher's, of the rank correlation (variance 1.06 / (m - 3)).

    Args:
        instance: with its pool.
        masks: asked again, spread evenly over the pool's sizes.
        cache: where evaluations are kept.
    """
    question = instance.question
    if question is None or len(instance.pool) < 4:
        return None
    other = alternative(question)
    if other is None:
        return None
    rows = _spread(instance.pool.masks.sum(axis=1), masks)
    game = question.game(masker=other, cache=cache)
    answers = game(instance.pool.masks[rows])[:, instance.output]
    instance.spent.append(game.cost)
    value = rank_correlation(instance.responses[rows], answers)
    m = len(rows)
    interval = None
    if m > 3:
        middle, reach = (
            np.arctanh(np.clip(value, -0.999999, 0.999999)),
            1.96 * np.sqrt(1.06 / (m - 3)),
        )
        low, high = np.tanh([middle - reach, middle + reach])
        interval = Interval(low=float(low), high=float(high), level=0.95, how="Fisher, of ranks")
    return Measurement(
        name="operator-agreement",
        value=value,
        unit="rank correlation",
        n=m,
        direction="higher",
        interval=interval,
        specification=instance.specification(
            "operator_agreement", masks=masks, other=str(MethodSpec.of(other))
        ),
        random=0.0,
        best=1.0,
    )


def _spread(sizes: Int[np.ndarray, " m"], count: int) -> Int[np.ndarray, " c"]:
    order = np.argsort(sizes, kind="stable")
    chosen = np.unique(np.linspace(0, len(sizes) - 1, min(count, len(sizes))).round().astype(int))
    return order[chosen]


def rank_correlation(one: Float[np.ndarray, " m"], other: Float[np.ndarray, " m"]) -> float:
    """Spearman's correlation; 1 where neither varies, 0 where one of them does not.

    Example:
        >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 9.0]))
        1.0
    """
    flat = [bool(np.ptp(v) <= 1e-9 * max(1.0, float(np.abs(v).max()))) for v in (one, other)]
    if any(flat):
        return 1.0 if all(flat) else 0.0
    ranks = [rankdata(v) - (len(v) + 1) / 2 for v in (one, other)]
    value = ranks[0] @ ranks[1] / np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1]))
    return float(np.clip(value, -1.0, 1.0))
