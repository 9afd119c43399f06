"""Batches within a budget of tokens: their sizes, halving, what is kept, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.zoo.families import FAMILIES

import whence
from whence.core import OptionError
from whence.games import Words, align
from whence.games.batching import TokenBudget, batched
from whence.games.embedding_game import EmbeddingGame


class Memory:
    """Holds so many inputs at once."""

    def __init__(self, room):
        self.room, self.asked = room, []

    def __call__(self, places):
        self.asked.append(len(places))
        if len(places) > self.room:
            raise MemoryError("full")
        return list(places)


@given(
    tokens=st.integers(1, 200),
    count=st.integers(0, 30),
    length=st.integers(0, 40),
    room=st.integers(1, 12),
)
def test_every_place_once_and_in_order(tokens, count, length, room):
    budget, run = TokenBudget(tokens), Memory(room)
    fits = budget.fits(length)
    found = list(budget.batches(count, length, run))
    assert [place for _, part in found for place in part] == list(range(count))
    assert all(list(places) == part for places, part in found)
    assert all(len(places) <= min(room, fits) for places, _ in found)
    if count:
        assert fits == 1 or fits * length <= tokens or length == 0
        # Halved no further than it must be, and never enlarged.
        assert max(len(places) for places, _ in found) >= min(room, fits, count) / 2
        assert run.asked == sorted(run.asked, reverse=True)


def test_what_did_not_fit_once_is_not_tried_again():
    budget, run = TokenBudget(80), Memory(2)
    list(budget.batches(8, 10, run))
    assert run.asked == [8, 4, 2, 2, 2, 2]
    assert budget.tokens == 20
    run.asked.clear()
    list(budget.batches(3, 10, run))
    assert run.asked == [2, 1]


def test_an_odd_batch_is_halved_downwards_and_other_lengths_follow():
    budget, run = TokenBudget(75), Memory(3)
    list(budget.batches(7, 10, run))
    assert run.asked == [7, 3, 3, 1]
    assert budget.tokens == 30
    assert budget.fits(15) == 2


def test_batches_come_one_by_one_before_the_next_runs():
    run = Memory(2)
    parts = TokenBudget(20).batches(6, 10, run)
    assert next(parts) == (range(2), [0, 1])
    assert run.asked == [2]


def test_one_input_that_does_not_fit_is_told_and_what_ran_before_is_kept():
    ran = []

    def run(places):
        if 2 in places:
            raise MemoryError("full")
        return list(places)

    with pytest.raises(MemoryError, match="full"):
        ran.extend(part for _, part in TokenBudget(20).batches(4, 10, run))
    assert ran == [[0, 1]]


def test_other_errors_pass_through():
    def run(places):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(TokenBudget(20).batches(4, 10, run))


@pytest.mark.parametrize("tokens", [0, -3])
def test_a_budget_is_one_token_at_least(tokens):
    with pytest.raises(OptionError, match=f"got token_budget={tokens}"):
        TokenBudget(tokens)
    with pytest.raises(OptionError, match=f"got token_budget={tokens}"):
        batched([1, 2], 3, tokens, list)


def test_items_are_run_in_their_batches():
    asked = []

    def run(items):
        asked.append(list(items))
        if len(items) > 2:
            raise MemoryError("full")
        return [item.upper() for item in items]

    assert batched("abcde", 10, 50, run) == list("ABCDE")
    assert asked == [list("abcde"), ["a", "b"], ["c", "d"], ["e"]]
    assert batched([], 10, 50, run) == []


class Narrow:
    """A model whose memory holds so many embedded inputs at once."""

    def __init__(self, model, rows):
        self.model, self.rows, self.asked = model, rows, []

    def gradients(self, encoding, points, readout):
        self.asked.append(len(points))
        if len(points) > self.rows:
            raise MemoryError("full")
        return self.model.gradients(encoding, points, readout)


def test_the_embedded_game_halves_its_batches_and_takes_no_point():
    model = whence.load(FAMILIES["bert"]().pair)
    encoding = model.encode("He denies chest pain")
    _, tokens = align(Words().segment(encoding.document), encoding)
    readout = model.readout(encoding, [])
    game = EmbeddingGame(model, encoding, readout, tokens)
    points = game.point() * np.linspace(0.2, 1, 5, dtype=np.float32)[:, None, None]
    values, slopes = game.at(points)
    narrow = EmbeddingGame(model, encoding, readout, tokens, budget=5)
    narrow._gradients = Narrow(model, 2)
    found = narrow.at(points)
    assert narrow._gradients.asked == [5, 2, 2, 1]
    assert (narrow.gradient_passes, narrow.remaining) == (5, 0)
    assert found[0] == pytest.approx(values, abs=1e-5)
    assert found[1] == pytest.approx(slopes, abs=1e-5)
    values, slopes = narrow.at(points[:0])
    assert values.shape == (0, narrow.k)
    assert slopes.shape == (0, narrow.k, *points.shape[1:])
