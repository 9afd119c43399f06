"""A trained model whose heads' jobs are known: it goes on with what it has read before."""

from __future__ import annotations

import pytest

import whence
from whence.core import OptionError

TEXT = "ta mo ki be lo sa ni go da pi ta mo ki be lo sa"
INDUCTION = [(1, head) for head in range(4)]


@pytest.fixture
def copier():
    return whence.load("embedded:copier")


def test_the_heads_are_found_by_role_and_by_effect(copier):
    found = whence.attend(copier, TEXT)
    assert found.record.decision.text == "ni"
    first, second = found.record.layers
    roles = {(h.layer, h.head): {r.name: r.value for r in h.roles} for h in found.record.heads}
    previous = [h for h in range(4) if roles[first.name, h].get("previous", 0) > 0.8]
    assert len(previous) == 1
    assert all(roles[second.name, h].get("induction", 0) > 0.8 for h in range(4))
    # The one head that nothing can stand in for is measured to matter most.
    assert (found.ranked()[0].layer, found.ranked()[0].head) == (first.name, previous[0])
    assert found.ranked()[0].low > 0


def test_heads_that_back_each_other_up_matter_together(copier):
    alone = [whence.ablate(copier, TEXT, [head]) for head in INDUCTION]
    assert max(abs(one.effect) for one in alone) < 0.1
    together = whence.ablate(copier, TEXT, INDUCTION)
    assert together.low > 1
    assert together.evaluations == 2 * 8 + 1
    for ablation in ("mean", "zero"):
        spec = whence.HeadAblation(ablation=ablation)
        exact = whence.ablate(copier, TEXT, INDUCTION, ablation=spec)
        assert exact.low is None
        assert exact.effect > 0.5
        assert exact.evaluations == (10 if ablation == "mean" else 2)


def test_the_search_finds_the_four_heads_and_the_one_that_feeds_them(copier):
    effects = whence.attend(copier, TEXT, effects=whence.HeadAblation(sets=True)).record.effects
    ranked, carries, feeds = effects.sets
    second = "model.layers.1.self_attn"
    assert [each.chosen for each in effects.sets] == ["ranked", "carries", "feeds"]
    assert sorted(carries.heads) == [(second, head) for head in range(4)]
    assert carries.low > 1
    assert len(carries.random) == 8
    assert carries.effect > max(carries.random)
    assert feeds.heads == (("model.layers.0.self_attn", 0),)
    assert sorted(ranked.heads) != sorted(carries.heads)
    together = whence.ablate(copier, TEXT, INDUCTION)
    assert carries.low < together.effect < carries.high
    alone = whence.attend(copier, TEXT).record.effects
    assert [each.chosen for each in alone.sets] == ["ranked"]


def test_a_knocked_out_edge_takes_the_copy_away(copier):
    """The last token reads what followed its earlier copy; without that edge it cannot go on."""
    import numpy as np

    from whence.models.internals.interventions import EdgeKnockout

    encoding = copier.encode(TEXT)
    readout = copier.readout(encoding, [whence.NextToken(token="ni")])
    n = len(encoding.ids)
    source = 7  # <s>, then six syllables: "ni"
    assert copier.decode([int(encoding.ids[source])]) == "ni"
    changes = [()]
    for key in (source, source + 2):
        cut = np.zeros((n, n), dtype=bool)
        cut[n - 1, key] = True
        changes.append((EdgeKnockout(layer="model.layers.1.self_attn", head=None, cut=cut),))
    whole, without, other = copier.evaluate_with_changes(encoding, readout, changes).values[:, 0]
    assert whole > np.log(0.9)
    assert without < np.log(0.1)
    assert other == pytest.approx(whole, abs=0.05)


def test_what_cannot_be_ablated(copier):
    with pytest.raises(OptionError, match="no heads"):
        whence.ablate(copier, TEXT, [])
    with pytest.raises(OptionError, match="head 4"):
        whence.ablate(copier, TEXT, [(0, 4)])
    with pytest.raises(OptionError, match="link"):
        whence.ablate(copier, TEXT, [(0, 0)], link="logits")
