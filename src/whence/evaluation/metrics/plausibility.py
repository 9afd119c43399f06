"""Plausibility: whether explanations mark what people marked. It says nothing of faithfulness.

A model may decide rightly for reasons that no person would give, and a true account of it is then
implausible. So these measures stand apart: they never ask the model, take no part in a verdict,
and judge scores against spans of characters that people marked. A feature counts as marked by
people when it shares a character with such a span. Equal scores are ties, in every order alike:
values are means over all ways to break them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

from whence.core.errors import InputError, OptionError, UndefinedError, unknown
from whence.core.features import Segmentation, Span
from whence.core.measurements import Interval, Measurement
from whence.core.provenance import MethodSpec

__all__ = [
    "PLAUSIBILITY",
    "average_precision",
    "marked_by_people",
    "plausibility",
    "precision_at_k",
    "span_f1",
    "token_f1",
]

BREAKS = 200
"""Ways to break ties that are drawn where a mean over all has no closed form."""


def marked_by_people(segmentation: Segmentation, spans: Sequence[Span]) -> Bool[np.ndarray, " n"]:
    """Which features share a character with a span that people marked.

    Raises:
        InputError: a span lies outside the text.
        UndefinedError: no feature is marked, or all are, so that nothing can be told apart.

    Example:
        >>> from whence.core.features import Document, Feature
        >>> text = "not good"
        >>> features = tuple(Feature(start=a, end=b, text=text[a:b], part="text")
        ...                  for a, b in ((0, 3), (4, 8)))
        >>> words = Segmentation(unit="word", document=Document.plain(text), features=features)
        >>> marked_by_people(words, [Span(start=5, end=8)]).tolist()
        [False, True]
    """
    size = len(segmentation.document.text)
    inside = np.zeros(size, dtype=bool)
    for span in spans:
        if span.end > size:
            raise InputError(
                f"a span of characters {span.start} to {span.end} is given for a text of {size}; "
                "spans count the characters of the whole document"
            )
        inside[span.start : span.end] = True
    found = np.array([inside[f.start : f.end].any() for f in segmentation.features], dtype=bool)
    if found.all() or not found.any():
        raise UndefinedError(
            f"people's spans mark {int(found.sum())} of {len(found)} features; some and not all "
            "must be marked for scores to tell them apart"
        )
    return found


def token_f1(
    scores: Float[np.ndarray, " n"],
    segmentation: Segmentation,
    spans: Sequence[Span],
    *,
    k: int | None = None,
) -> Measurement:
    """F1 of the k highest-scored features against those that people marked.

    Formula: 2 TP / (k + G), G the number people marked; TP in expectation over ties. Sign:
    higher is better. No unit. Cost: none. ``random``: of any k features; ``best``: the most that
    k allows.

    When it misleads: people mark what would convince them, not what moved the model. With
    k = G precision and recall are the same.

    Args:
        scores: of the features, of one output.
        segmentation: the features.
        spans: of characters that people marked.
        k: how many features count as marked; none: as many as people marked.

    Source: DeYoung et al. (2020), arXiv:1911.03429.
    """
    phi, truth = _checked(scores, segmentation), marked_by_people(segmentation, spans)
    taken, gold, n = _taken(k, truth), int(truth.sum()), len(truth)
    return _measurement(
        "token-f1",
        2 * _expected_hits(phi, truth, taken) / (taken + gold),
        segmentation,
        spans,
        k=taken,
        random=2 * taken * gold / n / (taken + gold),
        best=2 * min(taken, gold) / (taken + gold),
    )


def precision_at_k(
    scores: Float[np.ndarray, " n"],
    segmentation: Segmentation,
    spans: Sequence[Span],
    *,
    k: int | None = None,
) -> Measurement:
    """Share of the k highest-scored features that people marked, in expectation over ties.

    Sign: higher is better. No unit. Cost: none. ``random``: G / n. Arguments as of
    :func:`token_f1`.

    Source: Bastings et al. (2022), arXiv:2111.07367.
    """
    phi, truth = _checked(scores, segmentation), marked_by_people(segmentation, spans)
    taken = _taken(k, truth)
    return _measurement(
        "precision-at-k",
        _expected_hits(phi, truth, taken) / taken,
        segmentation,
        spans,
        k=taken,
        random=float(truth.mean()),
        best=min(taken, int(truth.sum())) / taken,
    )


def average_precision(
    scores: Float[np.ndarray, " n"], segmentation: Segmentation, spans: Sequence[Span]
) -> Measurement:
    """Mean precision at each feature that people marked, in expectation over ties.

    Formula: mean over marked features of the precision at their rank; no interpolation, which
    trapezoids under a precision-recall curve would add. Among m tied features of which r are
    marked, after c others of which a are marked, each rank c + j holds a marked one with chance
    r / m, and has then a + 1 + (j - 1)(r - 1) / (m - 1) of them at or above it. Sign: higher is
    better. No unit. Cost: none. ``random``: with all scores tied.

    Source: McSherry & Najork (2008), doi:10.1007/978-3-540-78646-7_38.

    Example:
        >>> from whence.core.features import Document, Feature
        >>> text = "not good"
        >>> features = tuple(Feature(start=a, end=b, text=text[a:b], part="text")
        ...                  for a, b in ((0, 3), (4, 8)))
        >>> words = Segmentation(unit="word", document=Document.plain(text), features=features)
        >>> span = [Span(start=4, end=8)]
        >>> [average_precision(np.array(phi), words, span).value
        ...  for phi in ([0.0, 1.0], [1.0, 0.0], [1.0, 1.0])]
        [1.0, 0.5, 0.75]
    """
    phi, truth = _checked(scores, segmentation), marked_by_people(segmentation, spans)
    return _measurement(
        "average-precision",
        _average_precision(phi, truth),
        segmentation,
        spans,
        random=_average_precision(np.zeros(len(truth)), truth),
        best=1.0,
    )


def span_f1(
    scores: Float[np.ndarray, " n"],
    segmentation: Segmentation,
    spans: Sequence[Span],
    *,
    k: int | None = None,
    overlap: float = 0.5,
    seed: int = 0,
) -> Measurement:
    """F1 of runs of marked features against people's, each matched to one other at most.

    Formula: the k highest-scored features, and those that people marked, are joined into runs of
    neighbours; a run of one kind may match one run of the other whose intersection over union
    is ``overlap`` or more. 2 matched / (runs of scores + runs of people). Matching is one to one
    and the largest there is, so that neither recall nor precision exceeds 1. Where scores tie
    at the k-th place, the mean over 200 draws of the tied, with its interval. Sign: higher is
    better. No unit. Cost: none. ``random``: the mean over 200 draws of k features.

    Args:
        scores: of the features, of one output.
        segmentation: the features.
        spans: of characters that people marked.
        k: how many features count as marked; none: as many as people marked.
        overlap: least intersection over union of a match, above 0.
        seed: of the draws.

    Source: after DeYoung et al. (2020), arXiv:1911.03429, with one-to-one matching.
    """
    phi, truth = _checked(scores, segmentation), marked_by_people(segmentation, spans)
    if not 0 < overlap <= 1:
        raise OptionError(f"overlap={overlap} asked; above 0 and at most 1 is due")
    taken, n = _taken(k, truth), len(truth)
    gold = _runs(truth)
    rng = np.random.default_rng([seed, 10])

    def once(order: np.ndarray) -> float:
        chosen = np.zeros(n, dtype=bool)
        chosen[order[:taken]] = True
        return _matched_f1(_runs(chosen), gold, overlap)

    cut = np.sort(phi)[::-1][taken - 1]
    interval = None
    if np.count_nonzero(phi >= cut) > taken:
        found = np.empty(BREAKS)
        for index in range(BREAKS):
            shuffled = rng.permutation(n)
            found[index] = once(shuffled[np.argsort(-phi[shuffled], kind="stable")])
        value = float(found.mean())
        reach = 1.96 * float(found.std(ddof=1)) / BREAKS**0.5
        interval = Interval(
            low=max(0.0, value - reach),
            high=min(1.0, value + reach),
            level=0.95,
            how=f"normal, over {BREAKS} ways to break ties",
        )
    else:
        value = once(np.argsort(-phi, kind="stable"))
    return _measurement(
        "span-f1",
        value,
        segmentation,
        spans,
        k=taken,
        overlap=overlap,
        interval=interval,
        random=float(np.mean([once(rng.permutation(n)) for _ in range(BREAKS)])),
        best=1.0 if taken == int(truth.sum()) else None,
    )


PLAUSIBILITY: dict[str, Callable[..., Measurement]] = {
    "token-f1": token_f1,
    "span-f1": span_f1,
    "average-precision": average_precision,
    "precision-at-k": precision_at_k,
}
"""Every measure of agreement with people, by its name."""


def plausibility(
    scores: Float[np.ndarray, " n"],
    segmentation: Segmentation,
    spans: Sequence[Span],
    *,
    names: Sequence[str] = tuple(PLAUSIBILITY),
) -> tuple[Measurement, ...]:
    """Several measures of agreement with people, all of them by default.

    Raises:
        OptionError: an unknown name.
        UndefinedError: people marked no feature, or all.
    """
    for name in names:
        if name not in PLAUSIBILITY:
            raise unknown("measure of plausibility", name, PLAUSIBILITY)
    return tuple(PLAUSIBILITY[name](scores, segmentation, spans) for name in names)


def _checked(
    scores: Float[np.ndarray, " n"], segmentation: Segmentation
) -> Float[np.ndarray, " n"]:
    if scores.shape != (len(segmentation),) or not np.all(np.isfinite(scores)):
        raise OptionError(
            f"{scores.shape} scores given for {len(segmentation)} features; one finite number for "
            "each is due"
        )
    return np.asarray(scores, dtype=np.float64)


def _taken(k: int | None, truth: Bool[np.ndarray, " n"]) -> int:
    if k is None:
        return int(truth.sum())
    if not 1 <= k <= len(truth):
        raise OptionError(f"k={k} asked; 1 to {len(truth)}, the number of features, is due")
    return k


def _expected_hits(phi: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"], k: int) -> float:
    """Marked features among the top k; of the tied at the k-th place each is in alike."""
    cut = np.sort(phi)[::-1][k - 1]
    above, tied = phi > cut, phi == cut
    places = k - int(above.sum())
    return float(truth[above].sum() + places * truth[tied].mean())


def _average_precision(phi: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    total, before, hits = 0.0, 0, 0
    for value in np.unique(phi)[::-1]:
        tied = phi == value
        size, marked = int(tied.sum()), int(truth[tied].sum())
        place = np.arange(1, size + 1)
        ahead = (place - 1) * (marked - 1) / max(1, size - 1)
        total += float((marked / size * (hits + 1 + ahead) / (before + place)).sum())
        before += size
        hits += marked
    return total / hits


def _runs(chosen: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Runs of neighbouring features, each as its first and the one after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _matched_f1(found: list[tuple[int, int]], gold: list[tuple[int, int]], overlap: float) -> float:
    good = np.zeros((len(found), len(gold)))
    for row, (a, b) in enumerate(found):
        for column, (c, d) in enumerate(gold):
            shared = max(0, min(b, d) - max(a, c))
            good[row, column] = shared / (b - a + d - c - shared) >= overlap
    rows, columns = linear_sum_assignment(good, maximize=True)
    return 2 * float(good[rows, columns].sum()) / (len(found) + len(gold))


def _measurement(
    name: str,
    value: float,
    segmentation: Segmentation,
    spans: Sequence[Span],
    *,
    random: float,
    best: float | None,
    interval: Interval | None = None,
    **options: int | float,
) -> Measurement:
    people = ",".join(f"{span.start}-{span.end}" for span in spans)
    return Measurement(
        name=name,
        value=value,
        unit="share",
        n=len(segmentation),
        direction="higher",
        interval=interval,
        specification=MethodSpec(
            name=name,
            options={
                "unit": segmentation.unit,
                "features": len(segmentation),
                "spans": people,
                **options,
            },
        ),
        random=random,
        best=best,
    )
