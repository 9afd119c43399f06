"""The attention game: refusals by name, its budget, and batches that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from tests.asking import explain
from tests.zoo.families import FAMILIES

import whence
from whence.core import BudgetError, CapabilityError
from whence.games import Words, align
from whence.games.attention_game import AttentionGame
from whence.models.internals.interventions import ZeroValues

TEXT = "He denies chest pain"


def game_of(model, **options):
    encoding = model.encode(TEXT)
    _, tokens = align(Words().segment(encoding.document), encoding)
    return AttentionGame(model, encoding, model.readout(encoding, []), tokens, **options)


class Narrow:
    """A model whose memory holds so many rows at once."""

    def __init__(self, model, rows):
        self.model, self.rows, self.asked = model, rows, []

    def evaluate_with_changes(self, encoding, readout, changes):
        self.asked.append(len(changes))
        if len(changes) > self.rows:
            raise MemoryError("full")
        return self.model.evaluate_with_changes(encoding, readout, changes)


def zeroed(row):
    layer = "bert.encoder.layer.0.attention.self"
    return (ZeroValues(layer=layer, keys=np.array([row])),)


def test_batches_are_halved_until_they_fit():
    model = whence.load(FAMILIES["bert"]().pair)
    wanted = game_of(model).changed(4, zeroed)
    narrow = game_of(model)
    narrow._heads = Narrow(model, 1)
    assert narrow.changed(4, zeroed) == pytest.approx(wanted, abs=1e-5)
    assert narrow._heads.asked == [4, 2, 1, 1, 1, 1]
    assert narrow.evaluations == 4
    never = game_of(model)
    never._heads = Narrow(model, 0)
    with pytest.raises(MemoryError):
        never.changed(1, zeroed)
    assert never.evaluations == 0


def test_no_change_takes_no_pass():
    game = game_of(whence.load(FAMILIES["bert"]().pair), budget=0)
    assert game.changed(0, zeroed).shape == (0, game.k)
    assert game.cost.evaluations == 0


def test_a_budget_is_kept():
    game = game_of(whence.load(FAMILIES["bert"]().pair), budget=3)
    game.follow()
    assert game.remaining == 2
    with pytest.raises(BudgetError, match="3 passes asked, 2 of 3 left"):
        game.changed(3, zeroed)
    assert (game.evaluations, game.gradient_passes) == (0, 1)


def test_models_without_attention_are_refused_with_what_works():
    model = whence.load(FAMILIES["bert"]().pair)
    names = [
        "identity",
        "task",
        "labels",
        "vocabulary",
        "encode",
        "tokenize",
        "decode",
        "decide",
        "readout",
        "evaluate",
    ]
    bare = type("Bare", (), {name: getattr(model, name) for name in names})()
    with pytest.raises(CapabilityError, match=r"gives no attention.*LeaveOneOut"):
        game_of(bare, alternatives=("LeaveOneOut",))


def test_layers_that_cannot_be_told_apart_are_refused():
    model = whence.load(FAMILIES["gpt2"]().pair)
    encoding = model.encode(TEXT)
    _, tokens = align(Words().segment(encoding.document), encoding)
    readout = model.readout(encoding, [whence.NextToken()])
    game = AttentionGame(model, encoding, readout, tokens, alternatives=("LeaveOneOut",))
    passes = game.follow()

    class Odd:
        sequences, outputs, extra_tokens = ((1,),) * 3, readout.outputs, 0

    game._readout = Odd()
    with pytest.raises(CapabilityError, match=r"2 times for 3 forced.*LeaveOneOut"):
        game._by_run(passes.trace)


def test_a_decoder_hands_on_to_its_encoder():
    model = whence.load(FAMILIES["t5"]().pair)
    target = whence.Continuation(text=" a b")
    result = explain(model, TEXT, method="alti", target=target)
    assert (result.scores >= 0).all()
    assert 0 < result.scores.sum() <= 1 + 1e-6
