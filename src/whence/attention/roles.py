"""Roles of heads with scores, and clusters of similar heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from whence.attention.statistics import INDEX, LayerSummary
from whence.core.attention_record import AttentionLayer
from whence.core.explanations import NamedScore

__all__ = ["ALIKE", "LEAST", "ROLES", "clusters_of", "roles_of"]

ROLES: dict[str, str] = {
    "previous": "previous",
    "self": "self",
    "next": "next",
    "local": "local",
    "sink": "sink",
    "delimiter": "punctuation",
    "duplicate": "duplicate",
    "induction": "induction",
}
"""The statistic that defines each role; ``broad`` is defined by the entropy."""

LEAST = 0.3
"""Roles of a lower score are left out. Chosen by hand; not calibrated."""

BROAD = 0.9
"""Share of the largest possible entropy from which a head is called broad. Chosen by hand; not
calibrated."""

ALIKE = 0.15
"""Heads whose patterns are nearer than this, as 1 - cosine, are of one cluster. Chosen by hand; not
calibrated."""


def roles_of(
    statistics: Float[np.ndarray, " statistic"], uniform: Float[np.ndarray, " statistic"]
) -> tuple[NamedScore, ...]:
    """The roles of one head, the highest score first.

    ``score = (s - u) / (1 - u)``: the share of mass ``s`` above the ``u`` of a head with equal weights
    on all keys it may read; 0 is no more than that, 1 is all mass. ``broad`` is the entropy over that
    of such a head. A role describes where a head reads on this text; what it does is its effect.

    Example:
        >>> s, u = np.full(len(INDEX), np.nan), np.full(len(INDEX), np.nan)
        >>> s[INDEX["previous"]], u[INDEX["previous"]] = 0.9, 0.2
        >>> [(r.name, round(r.value, 3)) for r in roles_of(s, u)]
        [('previous', 0.875)]
    """
    roles: list[NamedScore] = []
    for role, name in ROLES.items():
        share, equal = float(statistics[INDEX[name]]), float(uniform[INDEX[name]])
        # With u = 1 every head has all mass there (a text of one token): no share is above it.
        if np.isnan(share) or np.isnan(equal) or equal >= 1:
            continue
        score = (share - equal) / (1 - equal)
        if score >= LEAST:
            roles.append(NamedScore(name=role, value=min(1.0, score)))
    most = float(uniform[INDEX["entropy"]])
    broad = float(statistics[INDEX["entropy"]]) / most if most > 0 else 0.0
    if broad >= BROAD:
        roles.append(NamedScore(name="broad", value=min(1.0, broad)))
    return tuple(sorted(roles, key=lambda role: (-role.value, role.name)))


def clusters_of(
    layers: Sequence[AttentionLayer], summaries: Mapping[str, LayerSummary]
) -> dict[tuple[str, int], int]:
    """The cluster of every head, numbered from the largest on.

    Average linkage on ``1 - cosine`` of the square roots of the mean thumbnails; heads of
    different kinds (causal, bidirectional, cross) or sizes are never of one cluster.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    groups: dict[tuple[str, int, int], list[tuple[str, int, np.ndarray]]] = {}
    for layer in layers:
        if layer.name not in summaries:
            continue
        for head, code in enumerate(summaries[layer.name].mean):
            key = (layer.attention, *code.shape)
            pattern = code.reshape(-1).astype(np.float64)
            groups.setdefault(key, []).append((layer.name, head, pattern))
    clusters: list[list[tuple[str, int]]] = []
    for members in groups.values():
        labels = np.ones(len(members), dtype=np.int64)
        if len(members) > 1:
            patterns = np.stack([pattern for _, _, pattern in members])
            # A head that reads nothing has no direction; it is a cluster of its own.
            patterns[~patterns.any(axis=1), 0] = 1.0
            tree = linkage(patterns, method="average", metric="cosine")
            # Rounding may leave the distance of two equal patterns just below 0, which fcluster
            # refuses.
            labels = fcluster(np.maximum(tree, 0), ALIKE, criterion="distance")
        clusters.extend(
            [(n, h) for (n, h, _), of in zip(members, labels, strict=True) if of == label]
            for label in np.unique(labels)
        )
    clusters.sort(key=len, reverse=True)
    return {head: number for number, heads in enumerate(clusters) for head in heads}
