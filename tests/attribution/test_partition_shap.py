"""Owen values: the mean over orders that keep blocks together, at every budget exact for its blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.asking import explain
from tests.attribution import naive
from tests.attribution.test_game_methods import plain, run, table_game

import whence
from whence.attribution import PartitionShap
from whence.attribution.perturbation.text_hierarchy import boundaries, cut
from whence.core import Document
from whence.games import FunctionGame, Words

BALANCED = {
    1: 0,
    2: (0, 1),
    3: (0, (1, 2)),
    4: ((0, 1), (2, 3)),
    5: ((0, 1), (2, (3, 4))),
    6: ((0, (1, 2)), (3, (4, 5))),
}
TEXT = "Anna paid, Ben did not. She waits."
# Anna paid , | Ben did not . || She waits .
BLOCKS = (((0, (1, 2)), ((3, 4), (5, 6))), (7, (8, 9)))


def blocks_of(tree):
    """The features of every node of a tree, the whole first."""
    if isinstance(tree, int):
        return [[tree]]
    left, right = map(blocks_of, tree)
    return [left[0] + right[0], *left, *right]


@given(st.integers(1, 6), st.integers(0, 1000))
def test_balanced_halves_where_there_is_no_text(n, seed):
    game = table_game(n, seed)
    found = run(PartitionShap(), game, budget=100)
    assert np.allclose(found.scores[:, 0], naive.owen(plain(game), n, BALANCED[n]), atol=1e-9)
    assert (found.outcome, found.notes, found.advice) == ("converged", (), ())


def text_game(seed, budget=None):
    game = table_game(10, seed, budget=budget)
    game.segmentation = Words().segment(Document.plain(TEXT))
    return game


def test_blocks_are_sentences_then_clauses_then_halves():
    game = text_game(5)
    found = run(PartitionShap(), game, budget=1000)
    assert np.allclose(found.scores[:, 0], naive.owen(plain(text_game(5)), 10, BLOCKS), atol=1e-9)
    # 2 + 2 + 8 + 24 + 48 + ... by depth: 2^(d + 1) for each of the splits at depth d.
    assert game.evaluations == 2 + 2 * (1 + 2 * 2 + 3 * 4 + 3 * 8)


@pytest.mark.parametrize("budget", [2, 4, 7, 8, 12, 20, 33, 60, 83])
def test_what_is_split_is_exact_at_every_budget(budget):
    exact = naive.owen(plain(text_game(5)), 10, BLOCKS)
    game = text_game(5, budget=budget)
    found = PartitionShap().estimate(game, budget=budget, seed=0)
    scores = found.scores[:, 0]
    whole, seen = [], set()
    for block in blocks_of(BLOCKS):
        # Of blocks within a block that was left whole nothing is known.
        if len(block) > 1 and np.ptp(scores[block]) < 1e-12 and not seen & set(block):
            whole.append(block)
            seen |= set(block)
    for block in whole:
        assert scores[block].sum() == pytest.approx(exact[block].sum(), abs=1e-9)
    rest = [i for i in range(10) if i not in seen]
    assert np.allclose(scores[rest], exact[rest], atol=1e-9)
    assert found.outcome == "budget_exhausted"
    assert found.notes[0].startswith(f"{len(seen)} of 10 features are not told apart")
    assert f"left {len(whole)} block(s) whole" in found.notes[0]
    assert found.scores.sum() == pytest.approx((found.values - found.base_values)[0])


def test_the_record_names_what_was_left_whole_and_what_a_split_takes():
    game = text_game(5, budget=4)
    found = PartitionShap().estimate(game, budget=4, seed=0)
    assert found.notes == (
        "10 of 10 features are not told apart: the budget left 2 block(s) whole, whose features "
        "share equally: 'Anna paid, Ben did not.', 'She waits.'",
    )
    assert found.advice == ("84 evaluations split every block",)
    enough = PartitionShap().estimate(text_game(5, budget=84), budget=84, seed=0)
    assert enough.outcome == "converged"
    short = PartitionShap().estimate(text_game(5, budget=83), budget=83, seed=0)
    assert short.outcome == "budget_exhausted"
    assert short.advice == found.advice


def test_what_moves_the_answer_is_split_first():
    rows = lambda S: 5.0 * S[:, 1] * S[:, 2] + 0.01 * S[:, 12]  # noqa: E731
    game = FunctionGame(16, rows)
    found = PartitionShap().estimate(game, budget=48, seed=0)
    assert found.scores[1:3, 0].round(6).tolist() == [2.5, 2.5]
    assert "features 9 to" not in found.notes[0]
    assert found.scores[[0, 3], 0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "strengths"),
    [
        ("One (or two) is", [1, 0, 0, 0, 1]),
        ("3,000 dollars; 1.5 left", [0, 0, 1, 0]),
        ("First one.\n\nSecond", [0, 0, 3]),
        ("これは、猫", [0, 0, 0, 1]),
    ],
)
def test_boundaries_of_a_text(text, strengths):
    segmentation = Words().segment(Document.plain(text))
    assert boundaries(len(segmentation), segmentation).tolist() == strengths


def test_the_texts_of_a_pair_are_apart():
    document = Document.join({"premise": "It rains. It pours", "hypothesis": "It is wet"})
    segmentation = Words().segment(document)
    assert boundaries(8, segmentation).tolist() == [0, 0, 2, 0, 4, 0, 0]
    assert cut(boundaries(8, segmentation), 0, 8) == 5


def test_a_model_is_asked_by_its_text():
    model = whence.load(lambda texts: [2.0 * ("late" in t and "twice" in t) for t in texts])
    text = "He was late. It happened twice, they say."
    found = explain(model, text, method="partition-shap", budget=6)
    assert found.outcome == "budget_exhausted"
    assert found.scores[:4, 0].sum() == pytest.approx(1.0)
    assert "'He was late.'" in found.notes[-1]
    assert found.completeness.by_construction
    whole = explain(model, text, method="partition-shap")
    by_word = {
        f.text: s for f, s in zip(whole.segmentation.features, whole.scores[:, 0], strict=True)
    }
    assert by_word["late"] == pytest.approx(1.0)
    assert by_word["twice"] == pytest.approx(1.0)
