"""Masker agreement: whether the model answers alike however absence is made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import norm

from whence.core.errors import CapabilityError, OptionError
from whence.core.measurements import Interval, Measurement
from whence.core.provenance import MethodSpec
from whence.evaluation.instance import Instance
from whence.evaluation.robustness.rank_agreement import spearman
from whence.games.cache import Cache
from whence.games.maskers import Deletion, Masker, MaskToken, Replacement
from whence.models.protocols import TokenModel

__all__ = ["MASKS", "SCAFFOLDED", "chosen_masks", "masker_agreement", "other_masker"]

MASKS = 12
"""Masks of the pool that are made otherwise: six pairs, the price that a default label can bear.
Chosen by hand when the label was designed; not calibrated."""
SCAFFOLDED = 0.4
"""Below this the two ways of making absence ask the model for different things: the limit of a
failed question in the label. Chosen by hand; tests/evaluation/robustness tries it on models that
hide from maskers."""


def masker_agreement(
    instance: Instance,
    others: Sequence[Masker] | None = None,
    *,
    masks: int = MASKS,
    cache: Cache | None = None,
) -> Measurement:
    """Spearman correlation of the model's answers to the same masks made in two ways.

    The masks are taken from the pool, as different from each other as can be; each is made again
    with another masker. With several others the least correlation counts. 1: both ways rank the
    masks alike; 0: they have nothing in common; below 0.4 an explanation says more about the
    masker than about the model, as with a model that behaves whenever it sees a mask token. No
    unit. Cost: ``masks`` evaluations for each other masker. The interval is Fisher's, widened for
    ranks (Bonett & Wright 2000, doi:10.1007/BF02294183).

    When it misleads: twelve masks leave a wide interval. Where the answers depend on one word each,
    one hiding model in nine agrees by chance on five pairs of six; ask for more masks in an audit.
    A model that hides along both ways is
    not found. Source of the attack: Slack et al. (2020), arXiv:1911.02508.

    Args:
        instance: its pool was made with the question's own masker.
        others: other maskers; none: deletion, or where that is the question's own, the mask token
            or a replacement.
        masks: number of masks.
        cache: store of evaluations.

    Raises:
        CapabilityError: an analytic game, which has one way of absence only.
        OptionError: fewer than four masks, or the same masker again.
    """
    question = instance.question
    if question is None:
        raise CapabilityError(
            "masker agreement: expected an instance of a model, got an analytic game, which has no masker"
        )
    if masks < 4:
        raise OptionError(
            f"expected masks of 4 or more, which a correlation needs; got masks={masks}"
        )
    maskers = (other_masker(instance),) if others is None else tuple(others)
    if not maskers or question.masker in maskers:
        raise OptionError(f"masker {question.masker.name!r} is the pool's own; name another one")
    rows = chosen_masks(instance.pool.masks, masks)
    coalitions, answers = instance.pool.masks[rows], instance.responses[rows]
    correlations: list[float] = []
    for masker in maskers:
        game = question.game(masker=masker, cache=cache)
        correlations.append(_correlation(answers, game(coalitions)[:, instance.output]))
        instance.spent.append(game.cost)
    value = min(correlations, default=0.0)
    return Measurement(
        # The name under which records of today hold it.
        name="operator-agreement",
        value=value,
        unit="correlation",
        n=len(rows),
        direction="higher",
        interval=_interval(value, len(rows)),
        specification=instance.specification(
            "operator_agreement",
            masks=len(rows),
            others="; ".join(str(MethodSpec.of(masker)) for masker in maskers),
        ),
        random=0.0,
        best=1.0,
    )


def other_masker(instance: Instance) -> Masker:
    """A masker unlike the one that made the pool."""
    question = instance.question
    assert question is not None
    model = question.model
    if not isinstance(question.masker, Deletion):
        return Deletion()
    if isinstance(model, TokenModel) and model.vocabulary.mask_id is not None:
        return MaskToken()
    return Replacement()


def chosen_masks(masks: Bool[np.ndarray, "m n"], count: int) -> Int[np.ndarray, " chosen"]:
    """Pairs of masks that differ most: each next pair has the least overlap with those before.

    Features then come and go independently of each other, as far as so few masks allow. Overlap
    is the squared inner product of masks written as +1 and -1; both of a pair have the same.
    """
    if len(masks) <= count:
        return np.arange(len(masks))
    signs = np.where(masks[0::2], 1.0, -1.0)
    overlap = (signs @ signs.T) ** 2
    # The pair of most equal halves: neither of the two is nearly full or nearly empty.
    chosen = [int(np.argmin((signs.sum(axis=1)) ** 2))]
    cost = overlap[chosen[0]].copy()
    while len(chosen) < count // 2:
        # Barred outright: in a sum over several pairs the overlap of one with itself may be
        # outweighed.
        cost[chosen] = np.inf
        chosen.append(int(np.argmin(cost)))
        cost = cost + overlap[chosen[-1]]
    rows = np.sort(np.array(chosen))
    return np.stack([2 * rows, 2 * rows + 1], axis=1).ravel()


def _correlation(first: Float[np.ndarray, " m"], other: Float[np.ndarray, " m"]) -> float:
    """Spearman's; two sides that both never vary agree, and one that varies alone does not."""
    if len(first) < 2:
        return 0.0
    level = [bool(np.ptp(v) <= 1e-9 * max(1.0, float(np.abs(v).max()))) for v in (first, other)]
    if any(level):
        return 1.0 if all(level) else 0.0
    # What differs by rounding alone is level.
    scale = max(1e-12, float(np.ptp(first)), float(np.ptp(other)))
    return spearman(*(np.round(v / scale, 9) for v in (first, other)))


def _interval(value: float, n: int) -> Interval | None:
    if n < 5:
        return None
    # Fisher's z of a full agreement is infinite.
    middle = np.arctanh(np.clip(value, -1 + 1e-6, 1 - 1e-6))
    width = float(norm.ppf(0.975)) * np.sqrt((1 + value**2 / 2) / (n - 3))
    low, high = np.tanh([middle - width, middle + width])
    # The clip may leave a value of exactly 1 a millionth outside of its own interval.
    low, high = min(float(low), value), max(float(high), value)
    return Interval(low=low, high=high, level=0.95, how="Fisher, for ranks")
