"""Roles from statistics of known patterns; clusters of heads alike."""

from __future__ import annotations

import numpy as np
import pytest

from whence.attention.roles import clusters_of, roles_of
from whence.attention.statistics import HeadStatistics
from whence.core.attention_record import AttentionLayer

N = 24
IDS = np.tile(np.arange(8), 3)


def rows(kind):
    weights = np.zeros((N, N), dtype=np.float32)
    for i in range(N):
        earlier = [j for j in range(i) if IDS[j] == IDS[i]]
        place = {
            "previous": max(i - 1, 0),
            "self": i,
            "sink": 0,
            "duplicate": earlier[-1] if earlier else i,
            "induction": earlier[-1] + 1 if earlier else i,
        }.get(kind)
        if place is None:
            weights[i, : i + 1] = 1 / (i + 1)
        else:
            weights[i, place] = 1
    return weights


KINDS = ["previous", "self", "sink", "duplicate", "induction", "broad"]


def summary(kinds, seed=0):
    weights = np.stack([rows(kind) for kind in kinds])
    marks = {"sink": np.arange(N) == 0, "punctuation": np.arange(N) == 5}
    found = HeadStatistics(len(kinds), N, N, ids=IDS, marks=marks)
    found.add(0, weights)
    return found.summary()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pattern_has_its_role(kind):
    found = summary(KINDS)
    roles = roles_of(found.statistics[KINDS.index(kind)], found.uniform)
    assert roles[0].name in (kind, "local")
    named = {role.name: role.value for role in roles}
    assert named[kind] == pytest.approx(1, abs=0.02)
    wrong = {"previous", "sink", "duplicate", "induction", "broad"} - {kind}
    assert not wrong & {name for name, value in named.items() if value > 0.9}


def test_reading_all_alike_is_no_role_but_broad():
    found = summary(KINDS)
    roles = roles_of(found.uniform, found.uniform)
    assert [role.name for role in roles] == ["broad"]


def test_heads_alike_are_of_one_cluster():
    kinds = ["previous", "sink", "previous", "broad", "previous", "sink"]
    layer = AttentionLayer(
        name="a",
        attention="causal",
        heads=6,
        queries=N,
        keys=N,
        certificate=0.0,
        limit=1e-3,
        shown=True,
    )
    found = clusters_of([layer], {"a": summary(kinds)})
    numbers = [found["a", head] for head in range(6)]
    assert numbers[0] == numbers[2] == numbers[4] == 0
    assert numbers[1] == numbers[5] == 1
    assert numbers[3] == 2
    other = AttentionLayer(
        name="b",
        attention="bidirectional",
        heads=6,
        queries=N,
        keys=N,
        certificate=0.0,
        limit=1e-3,
        shown=True,
    )
    both = clusters_of([layer, other], {"a": summary(kinds), "b": summary(kinds)})
    assert not {both["a", h] for h in range(6)} & {both["b", h] for h in range(6)}
    assert clusters_of([layer], {}) == {}
